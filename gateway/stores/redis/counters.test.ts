/** Counters in a real Redis, by the suite of the port, shared by nodes, and without it. */

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { consume, honest } from '../../limit/rate.ts'
import type { Charge, Demand } from '../../ports.ts'
import { countersSuite, placesLimit, rateLimit } from '../../test/ports/counters.ts'
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

  test('[FR-042] redis: the script does the arithmetic of the pure function, to the last digit', async () => {
    const counters = redisCounters(redis, memoryCounters(9), fail)
    const rules = fc.record({
      burst: fc.integer({ min: 1, max: 50 }),
      // Counters end by Redis's own clock, which stands still here: an interval is longer than a run.
      intervalMs: fc.oneof(fc.integer({ min: 5000, max: 10_000 }), fc.double({ min: 5000, max: 10_000, noNaN: true })),
    })
    const steps = fc.array(fc.integer({ min: -9000, max: 20_000 }), { minLength: 1, maxLength: 40 })
    let run = 0
    await fc.assert(
      fc.asyncProperty(rules, steps, async (rule, moves) => {
        const key = `pure-${process.pid}-${Date.now()}-${run++}`
        let nowMs = Date.now()
        let freeAtMs = 0
        for (const move of moves) {
          nowMs += move
          freeAtMs = honest(rule, freeAtMs, nowMs)
          const expected = consume(rule, freeAtMs, nowMs)
          if (expected.admitted) freeAtMs = expected.freeAtMs
          expect(await counters.consume(key, rule, nowMs)).toEqual(expected)
          if (expected.admitted) expect(Number(await redis.get(`postern:rate:${key}`))).toBe(freeAtMs)
        }
      }),
      { numRuns: 60 },
    )
    await counters.close()
  })

  test('[FR-042] redis: memory and Redis answer the same to the same demands', async () => {
    const [shared, memory] = [redisCounters(redis, memoryCounters(99), fail), memoryCounters(99)]
    const names = ['a', 'b', 'c'] as const
    const step = fc.record({
      move: fc.integer({ min: 0, max: 2000 }),
      picked: fc.subarray([...names], { minLength: 1 }),
      released: fc.nat(5),
    })
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const prefix = `same-${process.pid}-${Date.now()}-${run++}`
        const limits = { a: rateLimit(3), b: rateLimit(7), c: placesLimit(2) }
        const open: (readonly [Charge, Charge])[] = []
        let nowMs = Date.now()
        for (const { move, picked, released } of steps) {
          nowMs += move
          for (const charge of open.splice(released, 1).flat()) charge.lease?.release()
          const demands: Demand[] = picked.map((name) => ({ key: `${prefix} ${name}`, limit: limits[name] }))
          const [here, there] = [
            await memory.charge(demands, nowMs, 'share'),
            await shared.charge(demands, nowMs, 'share'),
          ]
          expect(there.standings).toEqual(here.standings)
          expect(there.lease === null).toBe(here.lease === null)
          open.push([here, there])
        }
        for (const charge of open.flat()) charge.lease?.release()
      }),
      { numRuns: 60 },
    )
    await shared.close()
  })

  test('[FR-042] redis: places are shared by nodes, outlive a life by beats, and end with a node that beats no more', async () => {
    const pace = { beatMs: 100, lifeMs: 1000 }
    const other = await connectRedis(redisUrl(), () => {})
    const one = redisCounters(redis, memoryCounters(9), fail, pace)
    const two = redisCounters(other, memoryCounters(9), () => {}, pace)
    const demands = [{ key: `lives-${Date.now()}-${process.pid}`, limit: placesLimit(2) }]
    const kept = await one.charge(demands, Date.now(), 'refuse')
    expect((await two.charge(demands, Date.now(), 'refuse')).lease).not.toBeNull()
    expect((await one.charge(demands, Date.now(), 'refuse')).lease).toBeNull()
    const [, sinceMs] = [other.disconnect(), performance.now()] // the second node is gone, without a word
    await until(async () => (await one.charge(demands, Date.now(), 'refuse')).lease !== null)
    // Long after the first node's own place would have ended by itself, it is still taken.
    await until(() => performance.now() - sinceMs > 3 * pace.lifeMs)
    expect((await one.charge(demands, Date.now(), 'refuse')).lease).toBeNull()
    kept.lease!.release()
    await until(async () => (await one.charge(demands, Date.now(), 'refuse')).lease !== null)
    await one.close()
    expect(await redis.zcard(`postern:places:${demands[0]!.key}`)).toBe(0)
  })

  test('[FR-042] redis: a reply that is here is no outage, however late this process gets round to reading it', async () => {
    const counters = redisCounters(redis, memoryCounters(9), fail)
    const demands = [{ key: `busy-${Date.now()}-${process.pid}`, limit: rateLimit(5) }]
    await counters.charge(demands, Date.now(), 'refuse') // the script is known
    const charge = counters.charge(demands, Date.now(), 'refuse')
    const freeAtMs = performance.now() + 500
    while (performance.now() < freeAtMs) Math.random()
    expect((await charge).standings[0]).toMatchObject({ isAdmitted: true })
    await counters.close()
  })

  test('[FR-042] redis: a node whose clock is wrong ends nobody’s places', async () => {
    const [one, two] = [redisCounters(redis, memoryCounters(9), fail), redisCounters(redis, memoryCounters(9), fail)]
    const demands = [{ key: `clock-${Date.now()}-${process.pid}`, limit: placesLimit(1) }]
    const { lease } = await one.charge(demands, Date.now(), 'refuse')
    expect((await two.charge(demands, Date.now() + 3_600_000, 'refuse')).lease).toBeNull()
    lease!.release()
    await Promise.all([one.close(), two.close()])
  })

  test('[FR-042] redis: places that Redis forgot are told to it again', async () => {
    const counters = redisCounters(redis, memoryCounters(9), fail, { beatMs: 50, lifeMs: 5000 })
    const demands = [{ key: `forgot-${Date.now()}-${process.pid}`, limit: placesLimit(1) }]
    const { lease } = await counters.charge(demands, Date.now(), 'refuse')
    const key = `postern:places:${demands[0]!.key}`
    await redis.del(key)
    await until(async () => (await redis.zcard(key)) === 1)
    lease!.release()
    await until(async () => (await redis.zcard(key)) === 0)
    await counters.close()
  })

  test('[FR-042] redis: a place leaves no key behind for longer than it lives', async () => {
    const counters = redisCounters(redis, memoryCounters(9), fail)
    const demands = [{ key: `places-ttl-${Date.now()}-${process.pid}`, limit: placesLimit(1) }]
    await counters.charge(demands, Date.now(), 'refuse')
    const ttl = await redis.pttl(`postern:places:${demands[0]!.key}`)
    expect(ttl).toBeGreaterThan(0)
    expect(ttl).toBeLessThanOrEqual(15_000)
    await counters.close()
  })

  const strange: readonly (readonly [what: string, answer: unknown])[] = [
    ['nothing', null],
    ['a word', 'OK'],
    ['too little', [1]],
    ['too much', [1, '0', 1, '0', 1]],
    ['a verdict of its own', [1, '0', 2, '1']],
    ['no number', [1, 'junk', 1, '1']],
    ['no end', [1, 'Infinity', 1, '1']],
    ['less than nothing', [1, '-5', 1, '1']],
    ['an empty number', [1, '', 1, '1']],
    ['a refusal without a reason', [0, '0', 1, '1']],
  ]
  for (const [what, answer] of strange) {
    test(`[FR-042] redis answers with ${what}: that is an outage, and neither a pass nor a crash`, async () => {
      const hostile = Object.create(redis, {
        defineCommand: { value: () => {} },
        posternBeat: { value: async () => 'many' },
        posternCharge: { value: async () => answer },
      })
      const changes: boolean[] = []
      const counters = redisCounters(hostile, memoryCounters(9), (isShared) => changes.push(isShared))
      const demands = [
        { key: 'r', limit: rateLimit(1) },
        { key: 'p', limit: placesLimit(1) },
      ]
      const nowMs = Date.now()
      await expect(counters.charge(demands, nowMs, 'refuse')).rejects.toThrow('cannot be reached')
      expect((await counters.charge(demands, nowMs, 'share')).lease).not.toBeNull()
      expect((await counters.charge(demands, nowMs, 'share')).lease).toBeNull()
      expect(changes).toEqual([false])
      expect(counters.status()).toEqual({ isShared: false, nodes: 1 })
      await counters.close()
    })
  }

  test('[FR-042] redis: however far ahead Redis says, nobody is told to wait for longer than the rule', async () => {
    const nowMs = Date.now()
    const hostile = Object.create(redis, {
      defineCommand: { value: () => {} },
      posternBeat: { value: async () => 1e300 },
      posternCharge: { value: async () => [0, '1e300'] },
    })
    const counters = redisCounters(hostile, memoryCounters(9), fail)
    const { standings } = await counters.charge([{ key: 'r', limit: rateLimit(5) }], nowMs, 'refuse')
    expect(standings).toEqual([{ isAdmitted: false, left: 0, resetMs: 1000 }])
    await until(() => counters.status().nodes === 64)
    await counters.close()
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

  for (const outage of ['cut', 'freeze'] as const) {
    test(`[FR-042] redis ${outage}: a node counts its share of a limit, or refuses where the policy says so; what it let in it tells the others`, async () => {
      const [near, far] = [await connectRedis(line.url, () => {}), await connectRedis(redisUrl(), () => {})]
      const pace = { beatMs: 50, lifeMs: 60_000 }
      await far.del('postern:nodes')
      const one = redisCounters(near, memoryCounters(100), () => {}, pace)
      const two = redisCounters(far, memoryCounters(100), fail, pace)
      await until(() => one.status().nodes === 2)
      const key = `share-${outage}-${Date.now()}-${process.pid}`
      const rate = [{ key: `${key} rate`, limit: rateLimit(10) }]
      const places = [{ key: `${key} places`, limit: placesLimit(4) }]
      const before = await one.charge(places, Date.now(), 'share')
      await line[outage]()
      const nowMs = Date.now()
      await one.charge([{ key: `${key} finds out`, limit: rateLimit(1) }], nowMs, 'share')
      expect(one.status()).toEqual({ isShared: false, nodes: 2 })
      await expect(one.charge(rate, nowMs, 'refuse')).rejects.toThrow('cannot be reached')
      // In memory there is nothing to wait for.
      expect(one.charge(rate, nowMs, 'share')).not.toBeInstanceOf(Promise)
      for (let at = 1; at < 5; at += 1) {
        expect((await one.charge(rate, nowMs, 'share')).standings[0]).toMatchObject({ isAdmitted: true, left: 4 - at })
      }
      expect((await one.charge(rate, nowMs, 'share')).standings[0]).toMatchObject({ isAdmitted: false, resetMs: 2000 })
      const meanwhile = await one.charge(places, nowMs, 'share')
      expect(meanwhile.lease).not.toBeNull()
      expect((await one.charge(places, nowMs, 'share')).lease).toBeNull()
      // Guessing keeps its whole cap on each node.
      expect(one.consume(`${key} sign-in`, RULE, nowMs)).toMatchObject({ admitted: true })
      expect(one.consume(`${key} sign-in`, RULE, nowMs)).toMatchObject({ admitted: true })
      expect(one.consume(`${key} sign-in`, RULE, nowMs)).toMatchObject({ admitted: false })
      await line.mend()
      let laterMs = nowMs
      await until(async () => {
        laterMs += 2000
        await one.charge([{ key: `${key} ${laterMs}`, limit: rateLimit(1) }], laterMs, 'share')
        return one.status().isShared
      })
      await until(async () => (await far.zcard(`postern:places:${key} places`)) === 2)
      for (const { lease } of [before, meanwhile]) lease!.release()
      await until(async () => (await far.zcard(`postern:places:${key} places`)) === 0)
      await Promise.all([one.close(), two.close()])
      near.disconnect()
      far.disconnect()
    })
  }

  test('[FR-042] places that were asked for or given back while Redis did not answer are free as soon as it does', async () => {
    const [near, far] = [await connectRedis(line.url, () => {}), await connectRedis(redisUrl(), () => {})]
    const counters = redisCounters(near, memoryCounters(100), () => {}, { beatMs: 50, lifeMs: 60_000 })
    const key = `lost-${Date.now()}-${process.pid}`
    const [given, asked] = [`${key} given`, `${key} asked`].map((name) => [{ key: name, limit: placesLimit(1) }])
    const taken = async () =>
      (await Promise.all([given, asked].map((one) => far.zcard(`postern:places:${one![0]!.key}`)))).join()
    const before = await counters.charge(given!, Date.now(), 'share')
    expect(await taken()).toBe('1,0')
    await line.freeze()
    const nowMs = Date.now()
    const unanswered = await counters.charge(asked!, nowMs, 'share')
    for (const { lease } of [before, unanswered]) lease!.release()
    await far.zadd(`postern:places:${asked![0]!.key}`, nowMs + 60_000, 'a:1') // somebody else’s stays
    await line.mend()
    let laterMs = nowMs
    await until(async () => {
      laterMs += 2000
      await counters.charge([{ key: `${key} ${laterMs}`, limit: rateLimit(1) }], laterMs, 'share')
      return counters.status().isShared
    })
    await until(async () => (await taken()) === '0,1')
    await counters.close()
    near.disconnect()
    far.disconnect()
  })

  test('[FR-042] frozen for long: after each pause one request finds out, and the others do not wait with it', async () => {
    const redis = await connectRedis(line.url, () => {})
    const counters = redisCounters(redis, memoryCounters(100), () => {})
    await line.freeze()
    const nowMs = Date.now()
    await counters.consume('finds out', RULE, nowMs)
    const probe = counters.consume('probe', RULE, nowMs + 2000)
    expect(probe).toBeInstanceOf(Promise)
    expect(counters.consume('other', RULE, nowMs + 2000)).not.toBeInstanceOf(Promise)
    await probe
    await line.mend()
    await counters.close()
    redis.disconnect()
  })

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
