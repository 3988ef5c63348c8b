/** What every Counters adapter must do; one suite, asked of each. The clock is the caller's, so no test waits. */

import { expect, test } from 'vitest'
import type { Counters, Demand } from '../../ports.ts'
import type { Limit, RateRule } from '../../rules.ts'

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

  const rate = (key: string, burst: number): Demand => ({ key, limit: rateLimit(burst) })
  const places = (key: string, max: number): Demand => ({ key, limit: placesLimit(max) })
  const charge = async (counters: Counters, demands: readonly Demand[], atMs = nowMs) =>
    counters.charge(demands, atMs, 'refuse')

  test(`[FR-042] ${name}: several limits are charged together, and each says how it stands`, async () => {
    const counters = await open()
    const demands = [rate(freshKey(), 3), rate(freshKey(), 2), places(freshKey(), 5)]
    const first = await charge(counters, demands)
    expect(first.standings).toEqual([
      { isAdmitted: true, left: 2, resetMs: 1000 },
      { isAdmitted: true, left: 1, resetMs: 1000 },
      { isAdmitted: true, left: 4, resetMs: null },
    ])
    const second = await charge(counters, demands)
    expect(second.standings[1]).toEqual({ isAdmitted: true, left: 0, resetMs: 1000 })
    first.lease!.release()
    second.lease!.release()
  })

  test(`[FR-042] ${name}: all are charged or none: what refuses costs the others nothing`, async () => {
    const counters = await open()
    const [wide, narrow, room] = [rate(freshKey(), 10), rate(freshKey(), 1), places(freshKey(), 5)]
    const passed = await charge(counters, [wide, narrow, room])
    for (let at = 0; at < 5; at += 1) {
      const refused = await charge(counters, [room, narrow, wide])
      expect(refused.lease).toBeNull()
      expect(refused.standings).toEqual([
        { isAdmitted: true, left: 4, resetMs: null },
        { isAdmitted: false, left: 0, resetMs: 1000 },
        { isAdmitted: true, left: 9, resetMs: 1000 },
      ])
    }
    passed.lease!.release()
  })

  test(`[FR-042] ${name}: places are as many as there are, given back once, and then free`, async () => {
    const counters = await open()
    const room = places(freshKey(), 2)
    const [one, two] = [await charge(counters, [room]), await charge(counters, [room])]
    expect(await charge(counters, [room])).toEqual({
      lease: null,
      standings: [{ isAdmitted: false, left: 0, resetMs: null }],
    })
    for (let at = 0; at < 3; at += 1) one.lease!.release()
    const three = await charge(counters, [room])
    expect(three.standings[0]).toMatchObject({ isAdmitted: true, left: 0 })
    expect((await charge(counters, [room])).lease).toBeNull()
    for (const { lease } of [two, three]) lease!.release()
    expect((await charge(counters, [room])).standings[0]).toMatchObject({ isAdmitted: true, left: 1 })
  })

  test(`[FR-042] ${name}: of two hundred at once exactly the limits are admitted`, async () => {
    const counters = await open()
    const demands = [rate(freshKey(), 50), places(freshKey(), 7)]
    const all = await Promise.all(Array.from({ length: 200 }, () => charge(counters, demands)))
    const leases = all.filter(({ lease }) => lease !== null)
    expect(leases).toHaveLength(7)
    for (const { lease } of leases) lease!.release()
  })

  test(`[FR-042] ${name}: what this node counts by itself is counted apart`, async () => {
    const counters = await open()
    const key = freshKey()
    for (let at = 0; at < 3; at += 1) expect(counters.consumeHere(key, RULE, nowMs)).toMatchObject({ admitted: true })
    expect(counters.consumeHere(key, RULE, nowMs)).toEqual({ admitted: false, retryAfterMs: 1000 })
    expect(await counters.consume(key, RULE, nowMs)).toMatchObject({ admitted: true })
  })
}

export function rateLimit(burst: number): Limit {
  return { kind: 'rate', id: 'test', per: 'user', rule: { burst, intervalMs: 1000 }, text: 'test' }
}

export function placesLimit(max: number): Limit {
  return { kind: 'connections', id: 'test', per: 'user', max, text: 'test' }
}
