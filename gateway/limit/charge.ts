/** What a consumption means for a request: nothing when it was admitted, or a Refusal that says when to come back. */

import { type Consumption, Refusal } from '../model.ts'

export function refusalOf(consumption: Consumption, reason: 'address.limit' | 'key.limit'): Refusal | null {
  return consumption.admitted ? null : new Refusal(reason, { retryAfterMs: consumption.retryAfterMs })
}

/** Counters that cannot tell let nobody in. */
export function unavailable(error: unknown): Refusal {
  return new Refusal('counters.unavailable', { log: error instanceof Error ? error.message : String(error) })
}
