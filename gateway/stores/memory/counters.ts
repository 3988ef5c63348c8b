/** Counters for one process: tests, development, a single node, and the share a node counts while Redis is away. */

import { consume } from '../../limit/rate.ts'
import type { Counters } from '../../ports.ts'

/** At most `keysMax` keys: the one untouched for longest goes first, and it is the likeliest to hold nothing any more. */
export function memoryCounters(keysMax: number): Counters {
  const freeAtMs = new Map<string, number>()
  return {
    consume(key, rule, nowMs) {
      // Nothing honest lies further ahead than a full burst: a clock that was set back must not lock anybody out.
      const before = Math.min(freeAtMs.get(key) ?? 0, nowMs + rule.burst * rule.intervalMs)
      const consumption = consume(rule, before, nowMs)
      freeAtMs.delete(key) // re-insert last, refused or not, so the first key is always the stalest
      freeAtMs.set(key, consumption.admitted ? consumption.freeAtMs : before)
      if (freeAtMs.size > keysMax) freeAtMs.delete(freeAtMs.keys().next().value!)
      return consumption
    },
  }
}
