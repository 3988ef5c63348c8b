/** Counters in a real Redis, by the suite of the port, shared by nodes, and without it. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { countersSuite } from '../../test/ports/counters.ts'
import { type Switch, startSwitch, until } from '../../test/ports/switch.ts'
import { memoryCounters } from '../memory/counters.ts'
import { connectRedis } from './connect.ts'
import { redisCounters } from './counters.ts'

const RULE = { burst: 2, intervalMs: 60_000 }

function redisUrl(): string {
  const url = process.env.POSTERN_TEST_REDIS_URL
  if (url === undefined) throw new Error('POSTERN_TEST_REDIS_URL names no Redis: run the tests with `npm test`')
  return url
}

describe('with Redis there', () => {
  let redis: Awaited<ReturnType<typeof connectRedis>>
  beforeAll(async () => {
    redis = await connectRedis(redisUrl(), () => {})
  })
  afterAll(() => redis.disconnect())

  countersSuite('redis', async () => redisCounters(redis, memoryCounters(100), fail))

  test('[FR-022] redis: two nodes share one count', async () => {
    const other = await connectRedis(redisUrl(), () => {})
    const [one, two] = [redisCounters(redis, memoryCounters(9), fail), redisCounters(other, memoryCounters(9), fail)]
    const key = `shared-${Date.now()}-${process.pid}`
    const nowMs = Date.now()
    expect(await one.consume(key, RULE, nowMs)).toMatchObject({ admitted: true })
    expect(await two.consume(key, RULE, nowMs)).toMatchObject({ admitted: true })
    expect(await one.consume(key, RULE, nowMs)).toMatchObject({ admitted: false })
    other.disconnect()
  })

  test('[FR-022] redis: a counter leaves no key behind for longer than it counts', async () => {
    const key = `ttl-${Date.now()}-${process.pid}`
    await redisCounters(redis, memoryCounters(9), fail).consume(key, { burst: 1, intervalMs: 5000 }, Date.now())
    const ttl = await redis.pttl(`postern:rate:${key}`)
    expect(ttl).toBeGreaterThan(0)
    expect(ttl).toBeLessThanOrEqual(5000)
  })

  test('[FR-022] redis: a number written far ahead locks nobody out for longer than a full burst', async () => {
    const key = `ahead-${Date.now()}-${process.pid}`
    const nowMs = Date.now()
    await redis.set(`postern:rate:${key}`, String(nowMs + 86_400_000), 'PX', 60_000)
    const counters = redisCounters(redis, memoryCounters(9), fail)
    expect(await counters.consume(key, RULE, nowMs)).toEqual({ admitted: false, retryAfterMs: 60_000 })
  })

  test('[FR-022] redis: what is no number counts as nothing', async () => {
    const key = `junk-${Date.now()}-${process.pid}`
    await redis.set(`postern:rate:${key}`, 'junk', 'PX', 60_000)
    const counters = redisCounters(redis, memoryCounters(9), fail)
    expect(await counters.consume(key, RULE, Date.now())).toMatchObject({ admitted: true })
  })
})

describe('with Redis gone', () => {
  let line: Switch
  beforeAll(async () => {
    line = await startSwitch(redisUrl())
  })
  afterAll(() => line.close())

  for (const outage of ['cut', 'freeze'] as const) {
    test(`[FR-023] redis ${outage}: this node counts by itself, says so once, and comes back by itself`, async () => {
      const redis = await connectRedis(line.url, () => {})
      const changes: boolean[] = []
      const counters = redisCounters(redis, memoryCounters(100), (isShared) => changes.push(isShared))
      const key = `outage-${outage}-${Date.now()}-${process.pid}`
      let nowMs = Date.now()
      expect(await counters.consume(`${key}-before`, RULE, nowMs)).toMatchObject({ admitted: true })
      await line[outage]()
      expect(await counters.consume(key, RULE, nowMs)).toMatchObject({ admitted: true })
      expect(counters.consume(key, RULE, nowMs)).not.toBeInstanceOf(Promise)
      expect(await counters.consume(key, RULE, nowMs)).toMatchObject({ admitted: false })
      expect(changes).toEqual([false])
      await line.mend()
      await until(async () => {
        nowMs += 2000
        await counters.consume(`${key}-${nowMs}`, RULE, nowMs)
        return changes.length === 2
      })
      expect(changes).toEqual([false, true])
      redis.disconnect()
    })
  }

  test('[FR-023] a gateway told to use Redis does not start without it, and does not print where it is', async () => {
    await line.cut()
    const failure = await connectRedis(line.url.replace('redis://', 'redis://user:hunter2@'), () => {}).catch(String)
    expect(failure).toContain('Redis cannot be reached')
    expect(failure).not.toContain('hunter2')
    await line.mend()
  })
})

function fail(isShared: boolean, error: unknown): void {
  throw new Error(`counting moved (shared: ${isShared})`, { cause: error })
}
