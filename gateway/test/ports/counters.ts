/** What every Counters adapter must do; one suite, asked of each. The clock is the caller's, so no test waits. */

import { expect, test } from 'vitest'
import type { RateRule } from '../../model.ts'
import type { Counters } from '../../ports.ts'

const RULE: RateRule = { burst: 3, intervalMs: 1000 }

/** `open` gives fresh counters, or the same ones again: keys are never reused. */
export function countersSuite(name: string, open: () => Promise<Counters>): void {
  const nowMs = Date.now()
  let keys = 0
  const freshKey = () => `${name}-${process.pid}-${Date.now()}-${keys++}`

  test(`[FR-022] ${name}: a burst is admitted at once and the next is told how long to wait`, async () => {
    const counters = await open()
    const key = freshKey()
    for (let at = 0; at < 3; at += 1) expect(await counters.consume(key, RULE, nowMs)).toMatchObject({ admitted: true })
    expect(await counters.consume(key, RULE, nowMs)).toEqual({ admitted: false, retryAfterMs: 1000 })
    expect(await counters.consume(key, RULE, nowMs + 400)).toEqual({ admitted: false, retryAfterMs: 600 })
  })

  test(`[FR-022] ${name}: a refusal costs nothing, and each interval lets one more through`, async () => {
    const counters = await open()
    const key = freshKey()
    for (let at = 0; at < 3; at += 1) await counters.consume(key, RULE, nowMs)
    for (let at = 0; at < 5; at += 1) await counters.consume(key, RULE, nowMs)
    expect(await counters.consume(key, RULE, nowMs + 1000)).toEqual({ admitted: true, freeAtMs: nowMs + 4000 })
    expect(await counters.consume(key, RULE, nowMs + 1000)).toMatchObject({ admitted: false })
  })

  test(`[FR-022] ${name}: a clock that is set back locks nobody out for longer than a full burst`, async () => {
    const counters = await open()
    const key = freshKey()
    for (let at = 0; at < 3; at += 1) await counters.consume(key, RULE, nowMs + 3_600_000)
    expect(await counters.consume(key, RULE, nowMs)).toEqual({ admitted: false, retryAfterMs: 1000 })
    expect(await counters.consume(key, RULE, nowMs + 1000)).toMatchObject({ admitted: true })
  })

  test(`[FR-022] ${name}: keys do not share a count`, async () => {
    const counters = await open()
    const [one, other] = [freshKey(), freshKey()]
    for (let at = 0; at < 3; at += 1) await counters.consume(one, RULE, nowMs)
    expect(await counters.consume(other, RULE, nowMs)).toMatchObject({ admitted: true })
  })

  test(`[FR-022] ${name}: of a hundred at once exactly the burst is admitted`, async () => {
    const counters = await open()
    const key = freshKey()
    const all = await Promise.all(Array.from({ length: 100 }, () => counters.consume(key, RULE, nowMs)))
    expect(all.filter((consumption) => consumption.admitted)).toHaveLength(3)
  })

  test(`[FR-022] ${name}: a rule with fractions of a millisecond keeps its rate`, async () => {
    const counters = await open()
    const key = freshKey()
    const rule = { burst: 1, intervalMs: 1000 / 3 }
    expect(await counters.consume(key, rule, nowMs)).toMatchObject({ admitted: true })
    expect(await counters.consume(key, rule, nowMs + 333)).toMatchObject({ admitted: false })
    expect(await counters.consume(key, rule, nowMs + 334)).toMatchObject({ admitted: true })
  })
}
