/**
 * The database frozen and gone under a node that remembers its callers: it serves them within the bound and refuses them past
 * it, public routes do not notice, and it mends itself (SECURITY rule 19).
 */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { type PrivateServer, startPostgres, startRedis } from '../support/servers.ts'
import type { Credential } from './measure.ts'
import { createIssuer, fleetPolicy, type TestIssuer } from './policy.ts'
import { createStage, type Stage, SUBJECTS } from './subjects.ts'

const STALENESS_MS = 2_000
/** From the end of a bound to the moment a busy machine gets round to it. */
const SLACK_MS = 700
const KINDS = ['session, by sign-out', 'API key', 'foreign token, by jti'] as const

let postgres: PrivateServer
let redis: PrivateServer
let upstream: Upstream
let issuer: TestIssuer
let fleet: Fleet
let stage: Stage

beforeAll(async () => {
  ;[postgres, redis, upstream, issuer] = await Promise.all([
    startPostgres(),
    startRedis(),
    startUpstream(),
    createIssuer(),
  ])
  fleet = await startFleet({
    policy: fleetPolicy(issuer, `${STALENESS_MS / 1000}s`),
    upstreamUrl: upstream.url,
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    count: 2,
  })
  stage = await createStage(fleet, issuer)
}, 120_000)

afterAll(async () => {
  await fleet?.close()
  for (const server of [upstream, postgres, redis]) await server?.close()
}, 60_000)

interface Asked {
  readonly sentAtMs: number
  readonly tookMs: number
  /** 0 for an answer that was cut before its end. */
  readonly status: number
}

/** Asks every node again and again, until told; gives what each answered. */
function ask(path: string, credential: Credential) {
  let isStopped = false
  const asking = fleet.nodes.map(async (node) => {
    const asked: Asked[] = []
    while (!isStopped) {
      const sentAtMs = performance.now()
      const status = await node.send('GET', path, credential).then(
        (answer) => answer.status,
        () => 0,
      )
      asked.push({ sentAtMs, tookMs: performance.now() - sentAtMs, status })
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return asked
  })
  return async () => {
    isStopped = true
    return Promise.all(asking)
  }
}

const FAULTS = [
  {
    title: 'frozen',
    begin: async () => postgres.pause(),
    mend: async () => postgres.resume(),
  },
  { title: 'gone', begin: () => postgres.kill(), mend: () => postgres.start() },
] as const

for (const [at, { title, begin, mend }] of FAULTS.entries()) {
  test(`[FR-035] Postgres ${title}: what is remembered is served within the bound and 503 past it, public routes do not notice, and it mends by itself`, async () => {
    const credentials = await Promise.all(
      KINDS.map(async (kind, of) => (await SUBJECTS[kind]!(stage, `database-${10 * at + of}`)).credential),
    )
    for (const credential of credentials) {
      for (const node of fleet.nodes) expect((await node.send('GET', '/api/whoami', credential)).status).toBe(200)
    }
    const asking = credentials.map((credential) => ask('/api/whoami', credential))
    const askingPublic = ask('/api/health', {})
    const beganAtMs = performance.now()
    await begin()
    await new Promise((resolve) => setTimeout(resolve, 3 * STALENESS_MS))
    const mendsAtMs = performance.now()
    await mend()
    for (const credential of credentials) {
      for (const node of fleet.nodes) await untilServed(() => node.send('GET', '/api/whoami', credential))
    }
    const mendedAtMs = performance.now()
    expect(mendedAtMs - mendsAtMs).toBeLessThan(5000)

    for (const answers of (await Promise.all(asking.map((stop) => stop()))).flat()) {
      // One that was asked just before its end may have waited for it.
      const during = answers.filter(({ sentAtMs, tookMs }) => sentAtMs >= beganAtMs && sentAtMs + tookMs < mendsAtMs)
      const ofStatus = (wanted: number) => during.filter(({ status }) => status === wanted)
      // Whoever was being answered as the bound was reached is cut, and nobody else.
      const cut = ofStatus(0)
      expect(ofStatus(200).length + ofStatus(503).length + cut.length).toBe(during.length)
      expect(cut.length).toBeLessThanOrEqual(1)
      for (const { sentAtMs } of cut) {
        expect(Math.abs(sentAtMs - ofStatus(503)[0]!.sentAtMs)).toBeLessThan(SLACK_MS)
      }
      // The last read of the log was up to half the bound old when it began, and what is open is cut a little before the bound.
      expect(ofStatus(503)[0]!.sentAtMs - beganAtMs).toBeGreaterThan(STALENESS_MS / 2 - SLACK_MS)
      expect(ofStatus(200).at(-1)!.sentAtMs - beganAtMs).toBeLessThan(STALENESS_MS + SLACK_MS)
      expect(Math.max(...during.map(({ tookMs }) => tookMs))).toBeLessThan(250 + SLACK_MS)
    }
    for (const answers of await askingPublic()) {
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
      expect(Math.max(...answers.map(({ tookMs }) => tookMs))).toBeLessThan(SLACK_MS)
    }
  }, 60_000)
}

async function untilServed(send: () => Promise<{ readonly status: number }>): Promise<void> {
  const endsAtMs = performance.now() + 15_000
  while ((await send()).status !== 200) {
    if (performance.now() > endsAtMs) throw new Error('it never mended')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
