/** One step of a limit that stands in the way of a request: charged, or a Refusal that says when to come back. */

import { type RateRule, Refusal, type Soon } from '../model.ts'
import type { Counters } from '../ports.ts'

/** Null when the request is within the limit. What is in memory is answered without a promise. */
export function charge(
  counters: Counters,
  key: string,
  rule: RateRule,
  nowMs: number,
  reason: 'address.limit' | 'key.limit',
): Soon<Refusal | null> {
  const consumed = counters.consume(key, rule, nowMs)
  if (consumed instanceof Promise) {
    return consumed.then(
      (later) => (later.admitted ? null : new Refusal(reason, { retryAfterMs: later.retryAfterMs })),
      unavailable,
    )
  }
  return consumed.admitted ? null : new Refusal(reason, { retryAfterMs: consumed.retryAfterMs })
}

/** Counters that cannot tell let nobody in. */
function unavailable(error: unknown): Refusal {
  return new Refusal('counters.unavailable', { log: error instanceof Error ? error.message : String(error) })
}
