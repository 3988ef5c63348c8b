/** Falling behind: when a share of the requests is turned away, when it is not, and that a real process recovers. */

import { expect, test } from 'vitest'
import { LAG_MS_MAX, LASTING_MS, LagGauge } from './lag.ts'

const SAMPLE_MS = 100

/** A process whose timers come late by `lagMs`, for so long. */
function run(gauge: LagGauge, fromMs: number, forMs: number, lagMs: number): number {
  let nowMs = fromMs
  while (nowMs < fromMs + forMs) {
    nowMs += SAMPLE_MS + lagMs
    gauge.sample(nowMs)
  }
  return nowMs
}

test('[FR-058] one long stall sheds nothing, and lasting lag sheds more and more, up to a share that leaves some', () => {
  const gauge = new LagGauge(0)
  gauge.sample(30_000)
  expect(gauge).toMatchObject({ lagMs: 29_900, shedShare: 0 })
  // A machine that sleeps again as soon as it is awake.
  gauge.sample(60_000)
  expect(gauge.shedShare).toBe(0)
  let nowMs = run(gauge, 60_000, 10_000, 0)
  expect(gauge.shedShare).toBe(0)
  nowMs = run(gauge, nowMs, LASTING_MS, LAG_MS_MAX + 50)
  const first = gauge.shedShare
  expect(first).toBeLessThan(0.1)
  nowMs = run(gauge, nowMs, 1000, LAG_MS_MAX + 50)
  expect(gauge.shedShare).toBeGreaterThan(first)
  nowMs = run(gauge, nowMs, 60_000, LAG_MS_MAX + 50)
  expect(gauge.shedShare).toBe(0.95)
  nowMs = run(gauge, nowMs, 1000, 0)
  expect(gauge.shedShare).toBeLessThan(0.95)
  run(gauge, nowMs, 10_000, 0)
  expect(gauge.shedShare).toBe(0)
})

test('[FR-058] lag within the bound sheds nothing, however long it lasts', () => {
  const gauge = new LagGauge(0)
  run(gauge, 0, 600_000, LAG_MS_MAX)
  expect(gauge.shedShare).toBe(0)
})
