/** One request and its answer from first to last: holds what `record` needs, and writes the record exactly once. */

import { type ForwardPlan, type Outcome, type RawHead, Refusal, type Refused } from '../model.ts'
import { decide, record } from '../pipeline.ts'
import type { Counters } from '../ports.ts'
import type { Gateway } from './gateway.ts'
import type { Place } from './pressure/pressure.ts'

export interface Exchange {
  /** As it was when the exchange began: a reload in between concerns the next one. */
  readonly gateway: Gateway
  readonly requestId: string
  readonly receivedAtMs: number
  /** Null until it has been decided. */
  outcome: Outcome | null
  /** How the upstream or the client failed an exchange that had been allowed. */
  failure: Refusal | null
  /** Which server was asked last, and how often one was; null where there is nothing to tell. */
  asked: { readonly server: string; readonly tries: number } | null
  /** Among the requests under way; null where none was taken. */
  place: Place | null
  isRecorded: boolean
  /** Settles when it is decided and what follows from that has begun; null where nothing is decided. */
  started: Promise<void> | null
}

export function openExchange(gateway: Gateway, requestId: string, receivedAtMs: number): Exchange {
  return {
    gateway,
    requestId,
    receivedAtMs,
    outcome: null,
    failure: null,
    asked: null,
    place: null,
    isRecorded: false,
    started: null,
  }
}

/** A log that moves on faster than we can decide is one that we cannot follow. */
const DECISIONS_MAX = 3
const STALE = Object.freeze(new Refusal('revocation.stale'))

/**
 * A decision that an entry of the log or a stall of this process overtook is made again, with the log read first. It is the
 * same request: what it was charged and the places it took stay as they are.
 */
export async function decideAgain(
  exchange: Exchange,
  raw: RawHead,
  plan: ForwardPlan,
  times: number,
): Promise<Outcome> {
  const { snapshot, ports } = exchange.gateway
  exchange.outcome = plan
  const isKnown = ports.revocations === null || (await ports.revocations.catchUp())
  if (!isKnown || times > DECISIONS_MAX) return failedExchange(exchange, STALE)
  const again = await decide(snapshot, { ...ports, counters: PAID }, { ...raw, receivedAtMs: Date.now() })
  if (again.kind === 'forward') return { ...again, leases: plan.leases, answerHeaders: plan.answerHeaders }
  release(plan)
  return again
}

/** Admits what was charged before, and takes nothing. */
const PAID: Counters = {
  consume: (_key, _rule, nowMs) => ({ admitted: true, freeAtMs: nowMs }),
  consumeHere: (_key, _rule, nowMs) => ({ admitted: true, freeAtMs: nowMs }),
  charge: (demands) => ({ lease: null, standings: demands.map(() => ({ isAdmitted: true, left: 0, resetMs: null })) }),
}

/** Safe to call from every way an exchange can end; the first one counts. */
export function recordExchange(exchange: Exchange, status: number, isAborted: boolean): void {
  if (exchange.isRecorded) return
  exchange.isRecorded = true
  if (exchange.place !== null) exchange.gateway.pressure.leave(exchange.place)
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
        asked: exchange.asked,
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
