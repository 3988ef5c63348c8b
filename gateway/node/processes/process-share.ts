/** Limits where several processes of one node count by themselves: each admits its part, as nodes do without Redis (SECURITY rule 32). */

import { shareOf } from '../../limit/rate.ts'
import type { Counters, LocalCounters } from '../../ports.ts'

export function processShare(memory: LocalCounters, processes: number): Counters {
  return {
    consume: (key, rule, nowMs) => memory.consume(key, shareOf(rule, processes), nowMs),
    consumeHere: (key, rule, nowMs) => memory.consumeHere(key, shareOf(rule, processes), nowMs),
    charge: (demands, nowMs) => memory.chargeShare(demands, nowMs, processes),
  }
}
