/** Counters in memory, by the suite of the port, and their bound. */

import { expect, test } from 'vitest'
import { countersSuite } from '../../test/ports/counters.ts'
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
