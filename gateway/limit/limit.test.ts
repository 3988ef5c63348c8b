/** The arithmetic of rates, exact; the client-address limit, and the one a credential brings with it. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RequestHead } from '../model.ts'
import type { Counters } from '../ports.ts'
import type { RateRule } from '../rules.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { principalOf } from '../test/support/principal.ts'
import { limitAddress, networkOf } from './address.ts'
import { limitCredential } from './credential.ts'
import { consume, honest, rateRule, shareOf, standingOf } from './rate.ts'

const rule: RateRule = { burst: 3, intervalMs: 100 }

test('[FR-002] a burst is admitted whole, and then one request each interval', () => {
  let freeAtMs = 0
  const admitted: boolean[] = []
  for (const nowMs of [1000, 1000, 1000, 1000, 1099, 1100, 1100]) {
    const consumption = consume(rule, freeAtMs, nowMs)
    admitted.push(consumption.admitted)
    if (consumption.admitted) freeAtMs = consumption.freeAtMs
  }
  expect(admitted).toEqual([true, true, true, false, false, true, false])
})

test('[FR-002] a refusal says how long to wait, and waiting that long is enough', () => {
  const refused = consume({ burst: 1, intervalMs: 500 }, 1700, 1300)
  expect(refused).toEqual({ admitted: false, retryAfterMs: 400 })
  expect(consume({ burst: 1, intervalMs: 500 }, 1700, 1700).admitted).toBe(true)
})

const networks = [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8::9', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
] as const

for (const [address, network] of networks) {
  test(`[FR-002] ${address} is counted as ${network}`, () => expect(networkOf(address)).toBe(network))
}

test('[FR-002] the limit is asked before anything else is known of the caller, on this node alone, and off means off', () => {
  const shared = () => {
    throw new Error('asked the other nodes')
  }
  const counters: Counters = { ...memoryCounters(10), consume: shared, charge: shared }
  const head = { clientAddress: '192.0.2.7', receivedAtMs: 5 } as RequestHead
  expect(limitAddress(null, counters, head)).toBeNull()
  for (let at = 0; at < 3; at += 1) expect(limitAddress(rule, counters, head)).toBeNull()
  expect(limitAddress(rule, counters, head)).toMatchObject({ reason: 'address.limit', retryAfterMs: 100 })
  expect(limitAddress(rule, counters, { ...head, clientAddress: '192.0.2.8' })).toBeNull()
})

test('[FR-023] counters that cannot tell refuse, and the log says why', async () => {
  const gone = () => Promise.reject(new Error('gone'))
  const counters = { ...memoryCounters(1), consume: gone }
  const authentication = { principal: principalOf('ada'), rate: rule, proofs: [], setCookies: [] }
  expect(await limitCredential(counters, authentication, 5)).toMatchObject({
    reason: 'counters.unavailable',
    log: 'gone',
  })
})

test('[FR-042] the last one of a burst is never lost to rounding, whatever the rate', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300 }), fc.constantFrom(1000, 60_000, 3_600_000), (count, windowMs) => {
      const rule = rateRule(count, windowMs)
      const nowMs = 1_795_000_000_123
      let freeAtMs = 0
      for (let at = 0; at < count; at += 1) {
        const consumption = consume(rule, freeAtMs, nowMs)
        if (!consumption.admitted) return false
        freeAtMs = consumption.freeAtMs
        if (standingOf(rule, freeAtMs, nowMs, true).left !== count - at - 1) return false
      }
      return !consume(rule, freeAtMs, nowMs).admitted && consume(rule, freeAtMs, nowMs + windowMs).admitted
    }),
    { numRuns: 200 },
  )
})

test('[FR-042] what is left, and when there is more, is what asking again would find', () => {
  const rates = fc.record({ burst: fc.integer({ min: 1, max: 20 }), intervalMs: fc.integer({ min: 1, max: 5000 }) })
  fc.assert(
    fc.property(rates, fc.integer({ min: -10_000, max: 100_000 }), (rule, aheadMs) => {
      const nowMs = 1_795_000_000_000
      const before = honest(rule, nowMs + aheadMs, nowMs)
      const { left, resetMs } = standingOf(rule, before, nowMs, true)
      let admitted = 0
      let freeAtMs = before
      for (let asked = consume(rule, freeAtMs, nowMs); asked.admitted; asked = consume(rule, freeAtMs, nowMs)) {
        freeAtMs = asked.freeAtMs
        admitted += 1
      }
      const later = standingOf(rule, before, nowMs + Math.ceil(resetMs!), true)
      expect(left).toBe(admitted)
      expect(left > 0 ? later.left === rule.burst : later.left >= 1).toBe(true)
    }),
    { numRuns: 500 },
  )
})

test('[FR-042] shares: all nodes together count no more than the rule, as long as it can be divided', () => {
  const rule = rateRule(20, 60_000)
  expect(shareOf(rule, 1)).toBe(rule)
  expect(shareOf(rule, 3)).toEqual({ burst: 6, intervalMs: 9000 })
  expect(shareOf(rule, 64)).toEqual({ burst: 1, intervalMs: 192_000 })
})
