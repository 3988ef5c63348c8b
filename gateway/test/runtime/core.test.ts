/** The scenario table on the core alone: no socket, no runtime, one literal in and one value out. */

import { beforeAll } from 'vitest'
import { compile } from '../../config/compile.ts'
import { parsePolicy } from '../../config/parse.ts'
import { createEndpoints } from '../../endpoints/app.ts'
import { tokenVerifier } from '../../jwt/verify.ts'
import type { RawHead } from '../../model.ts'
import { answerRefusal, decide } from '../../pipeline.ts'
import type { Ports } from '../../ports.ts'
import { memoryCounters } from '../../stores/memory/counters.ts'
import { ownRequest } from '../../transform/own-request.ts'
import { mintPeople } from '../scenario/people.ts'
import { type Runtime, runScenarios } from '../scenario/run.ts'
import { SCENARIO_POLICY } from '../scenario/table.ts'

const ORIGIN = 'http://books.test'
let runtime: Runtime

beforeAll(async () => {
  const text = SCENARIO_POLICY.replace('UPSTREAM', 'http://127.0.0.1:9').replace('ORIGIN', ORIGIN)
  const parsed = parsePolicy(text, { file: 'scenario.yaml', readEnv: () => undefined, readFile: () => '' })
  if ('issues' in parsed) throw new Error(JSON.stringify(parsed.issues))
  const compiled = compile(parsed.config, 'test', parsed.places)
  if ('issues' in compiled) throw new Error(JSON.stringify(compiled.issues))
  const { people, jwks } = await mintPeople(ORIGIN)
  const ports: Ports = {
    counters: memoryCounters(1000),
    sessions: null,
    tokens: await tokenVerifier({ issuer: ORIGIN, audience: ORIGIN, keys: jwks }),
    keys: null,
    revocations: null,
    servers: null,
    assertions: null,
    sealer: null,
    journal: { record: () => {}, fault: () => {} },
  }
  const { sessionCookieName } = compiled.snapshot.admission
  const none = { provider: null, sessions: null, sealer: null }
  const endpoints = createEndpoints({
    origin: ORIGIN,
    sessionCookieName,
    ...none,
    nowMs: () => Date.now(),
    log: () => {},
  })
  runtime = {
    people,
    async send({ method, target, headers, body }) {
      const host = headers.some((text, at) => at % 2 === 0 && text.toLowerCase() === 'host')
        ? []
        : ['Host', 'books.test']
      const framing = body === null ? [] : ['Content-Length', String(body.length)]
      const raw: RawHead = {
        requestId: 'r1',
        receivedAtMs: Date.now(),
        method,
        target,
        httpVersion: '1.1',
        headers: [...host, ...headers, ...framing],
        peerAddress: '192.0.2.7',
        isUpgrade: false,
      }
      const outcome = await decide(compiled.snapshot, ports, raw)
      if (outcome.kind === 'own') {
        const answer = await endpoints.fetch(ownRequest(compiled.snapshot, outcome.head, null))
        return { status: answer.status, body: await answer.text(), upstream: null }
      }
      if (outcome.kind === 'preflight') throw new Error('no row of the table is a preflight')
      if (outcome.kind === 'refuse') {
        const answer = await answerRefusal(compiled.snapshot, ports, outcome)
        return { status: answer.status, body: answer.body, upstream: null }
      }
      return { status: 200, body: '', upstream: { method, target: outcome.path, headers: outcome.headers } }
    },
  }
})

runScenarios('core', () => runtime)
