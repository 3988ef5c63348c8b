/** The limit a credential brings with it, such as an API key's own: counted once the request is allowed, whoever else shares its owner. */

import { type Authentication, type Consumption, Refusal, type Soon } from '../model.ts'
import type { Counters } from '../ports.ts'

/** Null when the request is within the limit, or when its credential has none. */
export function limitCredential(
  counters: Counters,
  { principal, rate }: Authentication,
  nowMs: number,
): Soon<Refusal | null> {
  if (rate === null || principal === null) return null
  const consumed = counters.consume(`key:${principal.keyId}`, rate, nowMs)
  return consumed instanceof Promise ? consumed.then(toRefusal, unavailable) : toRefusal(consumed)
}

function toRefusal(consumption: Consumption): Refusal | null {
  return consumption.admitted ? null : new Refusal('key.limit', { retryAfterMs: consumption.retryAfterMs })
}

/** Counters that cannot tell let nobody in. */
function unavailable(error: unknown): Refusal {
  return new Refusal('counters.unavailable', { log: error instanceof Error ? error.message : String(error) })
}
