/**
 * One request decided as the gateway would decide it, by the gateway's own line: only who stands behind a credential comes
 * from the policy file. So what a test says, what `explain` says and what the gateway does are one thing by construction.
 */

import { type Authentication, type HeaderList, type Outcome, type OwnAnswer, type RawHead, Refusal } from '../model.ts'
import { answerRefusal, decide } from '../pipeline.ts'
import type { Ports } from '../ports.ts'
import { type ProblemCode, REASONS } from '../problem/catalogue.ts'
import type { Snapshot } from '../snapshot.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import type { Persona } from './people.ts'

export interface SimulatedRequest {
  /** `WEBSOCKET` is an upgrade. */
  readonly method: string
  /** A path with its query, or a whole URL. */
  readonly url: string
  /** The client's address; null for one that is nobody's. */
  readonly from: string | null
  readonly atMs: number
  readonly headers: Readonly<Record<string, string>>
}

export interface Simulation {
  readonly request: SimulatedRequest
  readonly outcome: Outcome
  /** What the client gets from the gateway itself; null when the upstream answers, or one of the gateway's own pages. */
  readonly answer: OwnAnswer | null
  /** Of a refusal. */
  readonly code: ProblemCode | null
}

/** RFC 5737: an address of documents, in no network that a policy would name. */
const NOWHERE = '192.0.2.1'
const COUNTER_KEYS_MAX = 64
const SIGNED = '(signed)'

/** The request of a person, or of nobody. */
export function simulate(snapshot: Snapshot, persona: Persona, request: SimulatedRequest): Promise<Simulation> {
  return simulateWith(snapshot, personaPorts(persona), request, linesOf(persona, request))
}

/** The request with the credential in `lines`, verified by `ports`. Counters, assertions and the journal are always stood in for. */
export async function simulateWith(
  snapshot: Snapshot,
  credentials: Pick<Ports, 'sessions' | 'tokens' | 'keys' | 'revocations'>,
  request: SimulatedRequest,
  lines: HeaderList,
): Promise<Simulation> {
  const ports: Ports = {
    ...credentials,
    counters: memoryCounters(COUNTER_KEYS_MAX),
    servers: null,
    assertions: { assertionFor: () => SIGNED },
    sealer: { seal: () => 'sealed', open: () => null },
    journal: { record() {}, fault() {} },
  }
  const outcome = await decide(snapshot, ports, rawHeadOf(snapshot, request, lines))
  if (outcome.kind === 'forward') for (const lease of outcome.leases) lease.release()
  if (outcome.kind === 'preflight') return { request, outcome, answer: outcome.answer, code: null }
  if (outcome.kind !== 'refuse') return { request, outcome, answer: null, code: null }
  const answer = await answerRefusal(snapshot, ports, outcome)
  return { request, outcome, answer, code: REASONS[outcome.refusal.reason] }
}

/** Every credential but the person's own is a bad one. */
function personaPorts({ name, principal }: Persona): Pick<Ports, 'sessions' | 'tokens' | 'keys' | 'revocations'> {
  const found: Authentication = { principal, proofs: [], rate: null, setCookies: [] }
  const isOwn = (kind: string, text: string) => principal?.credential === kind && text === name
  return {
    sessions: { verifyCookie: (cookie) => (isOwn('session', cookie) ? found : new Refusal('session.malformed')) },
    tokens: { verifyToken: (token) => (isOwn('token', token) ? found : new Refusal('token.malformed')) },
    keys: { verifyKey: (key) => (isOwn('key', key) ? found : new Refusal('key.unknown')) },
    revocations: null,
  }
}

/** A browser says with its cookies which page sent them: one of ours, unless the request says otherwise. */
function linesOf({ principal, lines }: Persona, { headers }: SimulatedRequest): HeaderList {
  if (principal?.credential !== 'session') return lines
  const says = Object.keys(headers).some((name) => /^(?:sec-fetch-site|origin)$/i.test(name))
  return says ? lines : [...lines, 'Sec-Fetch-Site', 'same-origin']
}

/** The path is not parsed here: what is odd about it is for admission to judge. */
function rawHeadOf(snapshot: Snapshot, request: SimulatedRequest, credential: HeaderList): RawHead {
  const { method, url, from, atMs, headers } = request
  const whole = /^https?:\/\/([^/?#]*)(.*)$/i.exec(url)
  const isUpgrade = method === 'WEBSOCKET'
  const given = Object.entries(headers).flat()
  const hasHost = Object.keys(headers).some((name) => name.toLowerCase() === 'host')
  const host = hasHost ? [] : ['Host', whole?.[1] ?? snapshot.admission.authority]
  return {
    requestId: 'simulated',
    receivedAtMs: atMs,
    method: isUpgrade ? 'GET' : method,
    target: whole === null ? url : whole[2]!.replace(/^(?!\/)/, '/'),
    httpVersion: '1.1',
    headers: [...host, ...credential, ...(isUpgrade ? UPGRADE : []), ...given],
    peerAddress: from ?? NOWHERE,
    isUpgrade,
  }
}

/** RFC 6455 §4.1; the key is the one of its example. */
const UPGRADE: HeaderList = [
  ...['Connection', 'Upgrade', 'Upgrade', 'websocket'],
  ...['Sec-WebSocket-Version', '13', 'Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
]
