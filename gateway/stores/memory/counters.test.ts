/** Counters in memory, by the suite of the port, and their bound. */

import { expect, test } from 'vitest'
import { countersSuite, placesLimit, rateLimit } from '../../test/ports/counters.ts'
import { memoryCounters } from './counters.ts'

countersSuite('memory', async () => memoryCounters(1000))

test('[FR-022] memory: however many keys come, only so many are kept, and the busy one is among them', () => {
  const counters = memoryCounters(10)
  const rule = { burst: 2, intervalMs: 1000 }
  for (let at = 0; at < 100; at += 1) {
    counters.consume(`key ${at}`, { burst: 1000, intervalMs: 1 }, 0)
    counters.consume('busy', rule, 0)
  }
  expect(counters.consume('busy', rule, 0)).toMatchObject({ admitted: false })
})

test('[FR-042] memory: a flood of addresses drops nothing of what else is counted', () => {
  const counters = memoryCounters(10)
  const demands = [{ key: 'ada', limit: rateLimit(1) }]
  counters.charge(demands, 0, 'share')
  for (let at = 0; at < 100; at += 1) counters.consumeHere(`address ${at}`, { burst: 1, intervalMs: 1 }, 0)
  expect(counters.chargeShare(demands, 0, 1).standings[0]).toMatchObject({ isAdmitted: false })
})

test('[FR-042] memory: a share is a part of each limit and at least one, and places held elsewhere fill it', () => {
  const counters = memoryCounters(10)
  const rate = [{ key: 'rate', limit: rateLimit(10) }]
  expect(counters.chargeShare(rate, 0, 4).standings).toEqual([{ isAdmitted: true, left: 1, resetMs: 4000 }])
  const places = [{ key: 'places', limit: placesLimit(9) }]
  const elsewhere = counters.hold(['places'])
  expect(counters.chargeShare(places, 0, 9).lease).toBeNull()
  elsewhere.release()
  expect(counters.chargeShare(places, 0, 100).lease).not.toBeNull()
  expect(counters.chargeShare(places, 0, 100).lease).toBeNull()
})

test('[FR-042] memory: a flood of keys takes no more room than there is, and drops the ones untouched for longest', () => {
  const counters = memoryCounters(3)
  const once = { burst: 1, intervalMs: 60_000 }
  const counts = [counters.consume, counters.consumeHere]
  for (const count of counts) {
    for (const key of ['a', 'b', 'c']) expect(count(key, once, 0)).toMatchObject({ admitted: true })
    expect(count('a', once, 0)).toMatchObject({ admitted: false })
    expect(count('d', once, 0)).toMatchObject({ admitted: true })
    expect(count('a', once, 0)).toMatchObject({ admitted: false })
    expect(count('b', once, 0)).toMatchObject({ admitted: true })
  }
})
