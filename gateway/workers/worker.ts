/** The Workers runtime, whole: a compiled policy, ports of one isolate, and the same four calls into the core as on Node. */

import { compile, type PolicyConfig } from '../config/compile.ts'
import { createEndpoints } from '../endpoints/app.ts'
import { tokenVerifier } from '../jwt/verify.ts'
import { type Outcome, type OwnAnswer, Refusal, type Refused } from '../model.ts'
import { answer, answerRefusal, decide, record } from '../pipeline.ts'
import type { Ports } from '../ports.ts'
import type { Snapshot } from '../snapshot.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { ownRequest } from '../transform/own-request.ts'
import policy from './generated/policy.json' with { type: 'json' }
import { rawHeadOf } from './raw-head.ts'
import { forward, toHeaders, upstreamHead } from './relay.ts'

interface Env {
  readonly POSTERN_JWKS?: string
}

/** Everything an isolate keeps; holds no I/O object, for those belong to one request. */
interface Gateway {
  readonly snapshot: Snapshot
  readonly ports: Ports
  readonly endpoints: { fetch(request: Request): Promise<Response> | Response }
}

let gateway: Promise<Gateway> | undefined

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const requestId = crypto.randomUUID()
    const receivedAtMs = Date.now()
    try {
      gateway ??= build(env)
      return await serve(await gateway, request, requestId, receivedAtMs)
    } catch (error) {
      gateway = undefined
      log({ level: 'error', requestId, fault: error instanceof Error ? error.stack : String(error) })
      const body = `${JSON.stringify({ status: 503, code: 'cannot-decide', title: 'Cannot decide', requestId })}\n`
      return new Response(body, {
        status: 503,
        headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
      })
    }
  },
}

async function serve(gateway: Gateway, request: Request, requestId: string, receivedAtMs: number): Promise<Response> {
  const { snapshot, ports, endpoints } = gateway
  const outcome = await decide(snapshot, ports, rawHeadOf(request, requestId, receivedAtMs))
  const [response, refusal] = await respond(outcome)
  const failure =
    outcome.kind === 'forward' && refusal !== null ? { reason: refusal.reason, log: refusal.log ?? '' } : null
  ports.journal.record(
    record(snapshot, outcome, receivedAtMs, {
      status: response.status,
      endedAtMs: Date.now(),
      isAborted: false,
      failure,
      asked: null,
    }),
  )
  return response

  async function respond(outcome: Outcome): Promise<[Response, Refusal | null]> {
    if (outcome.kind === 'refuse') return [await refuse(outcome), outcome.refusal]
    if (outcome.kind === 'preflight') return [toResponse(outcome.answer), null]
    if (outcome.kind === 'own') return [await endpoints.fetch(ownRequest(snapshot, outcome.head, null)), null]
    const upstream = await forward(outcome, request)
    if (upstream instanceof Refusal)
      return [
        await refuse({ ...outcome, kind: 'refuse', requestId, refusal: upstream, isAuthenticated: true }),
        upstream,
      ]
    const { status, headers } = answer(snapshot, outcome, upstreamHead(upstream))
    const webSocket = upstream.webSocket ?? null
    return [new Response(upstream.body, { status, headers: toHeaders(headers), webSocket, encodeBody: 'manual' }), null]
  }

  async function refuse(refused: Refused): Promise<Response> {
    return toResponse(await answerRefusal(snapshot, ports, refused))
  }

  function toResponse(own: OwnAnswer): Response {
    const body = own.status === 204 ? null : own.body
    return new Response(body, { status: own.status, headers: toHeaders(own.headers) })
  }
}

async function build(env: Env): Promise<Gateway> {
  const compiled = compile(policy.config as PolicyConfig, policy.version)
  if ('issues' in compiled) throw new Error('the embedded policy does not compile: build the Worker again')
  const { snapshot } = compiled
  const keys = JSON.parse(env.POSTERN_JWKS ?? '{"keys":[]}')
  const ports: Ports = {
    counters: memoryCounters(COUNTER_KEYS_MAX),
    sessions: null,
    tokens: await tokenVerifier({ issuer: snapshot.origin, audience: snapshot.origin, keys }),
    keys: null,
    revocations: null,
    servers: null,
    assertions: null,
    sealer: null,
    journal: {
      record: (record) => log(record),
      fault: (requestId, error) => log({ level: 'error', requestId, fault: String(error) }),
    },
  }
  const endpoints = createEndpoints({
    origin: snapshot.origin,
    sessionCookieName: snapshot.admission.sessionCookieName,
    provider: null,
    sessions: null,
    sealer: null,
    nowMs: () => Date.now(),
    log: (error) => ports.journal.fault('-', error),
  })
  return { snapshot, ports, endpoints }
}

/** Client addresses an isolate counts at once. */
const COUNTER_KEYS_MAX = 10_000

/** Workers Logs take one JSON line each. */
function log(line: object): void {
  // biome-ignore lint/suspicious/noConsole: the console is this runtime's log.
  console.log(JSON.stringify(line))
}
