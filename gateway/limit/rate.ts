/**
 * Rate limiting by GCRA: one number per key, no window edges to game.
 * Pure: the caller brings the clock and keeps the number, in memory, Redis or a Durable Object.
 */

import type { Consumption } from '../model.ts'
import type { Standing } from '../ports.ts'
import type { RateRule } from '../rules.ts'

export function consume(rule: RateRule, freeAtMs: number, nowMs: number): Consumption {
  const startMs = Math.max(freeAtMs, nowMs)
  const waitMs = startMs - nowMs - (rule.burst - 1) * rule.intervalMs
  if (waitMs > 0) return { admitted: false, retryAfterMs: waitMs }
  return { admitted: true, freeAtMs: startMs + rule.intervalMs }
}

/** Nothing honest lies further ahead than a full burst: a clock that was set back must not lock anybody out. */
export function honest(rule: RateRule, freeAtMs: number, nowMs: number): number {
  return Math.min(freeAtMs, nowMs + rule.burst * rule.intervalMs)
}

/** How the rate stands with this number kept for it. */
export function standingOf(rule: RateRule, freeAtMs: number, nowMs: number, isAdmitted: boolean): Standing {
  const aheadMs = Math.max(freeAtMs, nowMs) - nowMs
  const left = Math.max(0, Math.floor(rule.burst - aheadMs / rule.intervalMs + ROUNDING))
  return { isAdmitted, left, resetMs: left > 0 ? aheadMs : Math.max(0, aheadMs - (rule.burst - 1) * rule.intervalMs) }
}

/** A quotient of two multiples of one interval may fall short of the whole number it is. */
const ROUNDING = 1e-6

/** The part of a rate that one of so many nodes counts by itself; never less than one at a time. */
export function shareOf(rule: RateRule, nodes: number): RateRule {
  if (nodes === 1) return rule
  return { burst: Math.max(1, Math.floor(rule.burst / nodes)), intervalMs: rule.intervalMs * nodes }
}

/**
 * So many in so much time. The interval is a whole number of 1/4096 ms, rounded up: sums of it and of times of this century
 * are then exact in a double, so that the last one of a burst is never lost to rounding.
 */
export function rateRule(count: number, windowMs: number): RateRule {
  return { burst: count, intervalMs: Math.ceil((windowMs / count) * 4096) / 4096 }
}
