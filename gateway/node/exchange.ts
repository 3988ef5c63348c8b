/** One request and its answer from first to last: holds what `record` needs, and writes the record exactly once. */

import { type Outcome, type RawHead, Refusal, type Refused } from '../model.ts'
import { decide, record } from '../pipeline.ts'
import type { Gateway } from './gateway.ts'

export interface Exchange {
  /** As it was when the exchange began: a reload in between concerns the next one. */
  readonly gateway: Gateway
  readonly requestId: string
  readonly receivedAtMs: number
  /** Null until it has been decided. */
  outcome: Outcome | null
  /** How the upstream or the client failed an exchange that had been allowed. */
  failure: Refusal | null
  isRecorded: boolean
}

export function openExchange(gateway: Gateway, requestId: string, receivedAtMs: number): Exchange {
  return { gateway, requestId, receivedAtMs, outcome: null, failure: null, isRecorded: false }
}

/** A log that moves on faster than we can decide is one that we cannot follow. */
const DECISIONS_MAX = 3
const STALE = Object.freeze(new Refusal('revocation.stale'))

/** A decision that an entry of the log or a stall of this process overtook is made again, with the log read first. */
export async function decideAgain(exchange: Exchange, raw: RawHead, outcome: Outcome, times: number): Promise<Outcome> {
  const { snapshot, ports } = exchange.gateway
  const isKnown = ports.revocations === null || (await ports.revocations.catchUp())
  exchange.outcome = outcome
  release(outcome) // places too are taken again
  if (!isKnown || times > DECISIONS_MAX) return failedExchange(exchange, STALE)
  return decide(snapshot, ports, { ...raw, receivedAtMs: Date.now() })
}

/** Safe to call from every way an exchange can end; the first one counts. */
export function recordExchange(exchange: Exchange, status: number, isAborted: boolean): void {
  if (exchange.isRecorded) return
  exchange.isRecorded = true
  const outcome = exchange.outcome ?? undecided(exchange)
  release(outcome)
  const { failure, receivedAtMs } = exchange
  const { snapshot, ports } = exchange.gateway
  try {
    ports.journal.record(
      record(snapshot, outcome, receivedAtMs, {
        status,
        endedAtMs: Date.now(),
        isAborted,
        failure: failure === null ? null : { reason: failure.reason, log: failure.log ?? '' },
      }),
    )
  } catch (error) {
    ports.journal.fault(exchange.requestId, error)
  }
}

/** The places it took in limits on connections. Safe to call more than once. */
function release(outcome: Outcome | null): void {
  if (outcome?.kind === 'forward') for (const lease of outcome.leases) lease.release()
}

/** An allowed exchange that failed afterwards, as the refusal that its client sees. */
export function failedExchange(exchange: Exchange, refusal: Refusal): Refused {
  const { outcome, requestId } = exchange
  release(outcome)
  if (outcome === null || outcome.kind === 'own') {
    const head = outcome?.head ?? null
    return { kind: 'refuse', requestId, refusal, head, match: null, principal: null, isAuthenticated: false }
  }
  const { head, match } = outcome
  const principal = outcome.kind === 'preflight' ? null : outcome.principal
  const isAuthenticated = outcome.kind === 'refuse' ? outcome.isAuthenticated : principal !== null
  return { kind: 'refuse', requestId, refusal, head, match, principal, isAuthenticated }
}

/** The client left, or we failed, before there was a decision. */
function undecided(exchange: Exchange): Refused {
  return failedExchange(exchange, exchange.failure ?? new Refusal('head.malformed'))
}
