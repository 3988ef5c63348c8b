/** The last step of every exchange, refusals and aborts included: one record, exactly once, holding nothing secret. */

import type { AccessRecord, Outcome, Principal, RequestHead } from '../model.ts'
import type { Route } from '../rules.ts'

/** What only the runtime knows when the exchange is over. */
export interface Ending {
  readonly status: number
  readonly endedAtMs: number
  readonly isAborted: boolean
  /** How the upstream failed, as a reason and a line for operators; null when it did not. */
  readonly failure: { readonly reason: string; readonly log: string } | null
  /** Which server was asked last, and how often one was; null where there is only one and it was asked once, or none was. */
  readonly asked: { readonly server: string; readonly tries: number } | null
}

const NONE: readonly string[] = Object.freeze([])

let secondMs = Number.NaN
let second = ''

/** RFC 3339, of which most requests share all but the last digits with the one before. */
function isoOf(atMs: number): string {
  const ms = atMs % 1000
  if (atMs - ms !== secondMs) {
    secondMs = atMs - ms
    second = new Date(secondMs).toISOString().slice(0, -'000Z'.length)
  }
  return `${second}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`
}

/** `receivedAtMs` stands in for the head of a request that could not be read. */
export function accessRecord(
  policy: string,
  outcome: Outcome,
  proposed: AccessRecord['proposed'],
  receivedAtMs: number,
  ending: Ending,
): AccessRecord {
  const head: RequestHead | null = outcome.head
  const route: Route | null = outcome.kind === 'own' ? null : (outcome.match?.route ?? null)
  const principal: Principal | null = outcome.kind === 'own' || outcome.kind === 'preflight' ? null : outcome.principal
  const refusal = outcome.kind === 'refuse' ? outcome.refusal : null
  const written: AccessRecord = {
    requestId: outcome.kind === 'refuse' ? outcome.requestId : outcome.head.requestId,
    at: isoOf(receivedAtMs),
    durationMs: Math.max(0, ending.endedAtMs - receivedAtMs),
    method: head?.method ?? '-',
    path: head?.target.path ?? '-',
    status: ending.status,
    route: route?.id ?? null,
    upstream: outcome.kind === 'forward' ? outcome.upstream.id : null,
    subject: principal?.subject ?? null,
    credential: principal?.credential ?? null,
    roles: principal?.roles ?? NONE,
    scopes: principal?.scopes ?? NONE,
    policy,
    proposed,
    clientAddress: head?.clientAddress ?? null,
    reason: ending.failure?.reason ?? refusal?.reason ?? null,
    log: ending.failure?.log ?? refusal?.log ?? null,
    droppedHeaders: head?.droppedHeaders ?? 0,
    droppedGroups: outcome.kind === 'forward' ? outcome.droppedGroups : 0,
    isAborted: ending.isAborted,
  }
  return ending.asked === null ? written : { ...written, ...ending.asked }
}
