/** The client-address limit: exact arithmetic, and one subscriber counts as one. */

import { expect, test } from 'vitest'
import type { Consumption, RateRule, RequestHead } from '../model.ts'
import { limitAddress, networkOf } from './address.ts'
import { consume } from './rate.ts'

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

test('[FR-002] the limit is asked before anything else is known of the caller, and off means off', async () => {
  const keys: string[] = []
  const counters = {
    consume(key: string): Consumption {
      keys.push(key)
      return { admitted: false, retryAfterMs: 1500 }
    },
  }
  const head = { clientAddress: '192.0.2.7', receivedAtMs: 5 } as RequestHead
  expect(limitAddress(null, counters, head)).toBeNull()
  expect(await limitAddress(rule, counters, head)).toMatchObject({ reason: 'address.limit', retryAfterMs: 1500 })
  expect(keys).toEqual(['address:192.0.2.7'])
})

test('[FR-023] counters that cannot tell refuse, and the log says why', async () => {
  const counters = { consume: () => Promise.reject(new Error('gone')) }
  const head = { clientAddress: '192.0.2.7', receivedAtMs: 5 } as RequestHead
  expect(await limitAddress(rule, counters, head)).toMatchObject({ reason: 'counters.unavailable', log: 'gone' })
})
