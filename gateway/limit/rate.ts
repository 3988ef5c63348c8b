/**
 * Rate limiting by GCRA: one number per key, no window edges to game.
 * Pure: the caller brings the clock and keeps the number, in memory, Redis or a Durable Object.
 */

import type { Consumption, RateRule } from '../model.ts'

export function consume(rule: RateRule, freeAtMs: number, nowMs: number): Consumption {
  const startMs = Math.max(freeAtMs, nowMs)
  const waitMs = startMs - nowMs - (rule.burst - 1) * rule.intervalMs
  if (waitMs > 0) return { admitted: false, retryAfterMs: waitMs }
  return { admitted: true, freeAtMs: startMs + rule.intervalMs }
}
