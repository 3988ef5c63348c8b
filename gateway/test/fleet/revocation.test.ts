/** Four gateway processes on one Postgres and one Redis, under load: what was revoked on one is refused by all, at once. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RevocationFleet, runRounds, startRevocationFleet, TIMES } from './rounds.ts'

const NODES = 4
/** What is promised while the carrier works is milliseconds; this bound only tells a broken carrier from a busy machine. */
const BOUND_MS = 2_000
/** The bench asks without a pause; beside that bound this is none. */
const PAUSE_MS = 5

let started: RevocationFleet

beforeAll(async () => {
  started = await startRevocationFleet(NODES)
}, 120_000)

afterAll(() => started?.close(), 60_000)

test('[FR-035] 500 revocations of every kind under load: none is honoured late, and valid credentials are served throughout', async () => {
  const { delayMs, servedMs, summary, refused } = await runRounds(started, PAUSE_MS)
  process.stdout.write(`${summary.join('\n')}\n`)
  expect(refused).toEqual([])
  expect(delayMs).toHaveLength(Object.values(TIMES).reduce((sum, times) => sum + times, 0) * NODES)
  expect(Math.max(...delayMs, ...servedMs)).toBeLessThan(BOUND_MS)
}, 240_000)
