/** Counters for one process: tests, development, a single node, and the share a node counts while Redis is away. */

import { consume } from '../../limit/rate.ts'
import type { Counters } from '../../ports.ts'

/** At most `keysMax` keys: the one untouched for longest goes first, and it is the likeliest to hold nothing any more. */
export function memoryCounters(keysMax: number): Counters {
  const freeAtMs = new Map<string, number>()
  return {
    consume(key, rule, nowMs) {
      const consumption = consume(rule, freeAtMs.get(key) ?? 0, nowMs)
      if (!consumption.admitted) return consumption
      freeAtMs.delete(key) // re-insert last, so the first key is always the stalest
      freeAtMs.set(key, consumption.freeAtMs)
      if (freeAtMs.size > keysMax) freeAtMs.delete(freeAtMs.keys().next().value!)
      return consumption
    },
  }
}
