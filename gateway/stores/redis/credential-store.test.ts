/** The shared level of the credential cache on a real Redis: what is away is a miss, and costs its time-out once. */

import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { CredentialStore } from '../../ports.ts'
import { until } from '../../test/ports/switch.ts'
import { type PrivateServer, startRedis } from '../../test/support/servers.ts'
import { connectRedis } from './connect.ts'
import { redisCredentialStore } from './credential-store.ts'

let server: PrivateServer
let redis: Redis
let direct: Redis
let store: CredentialStore
let changes: boolean[]

beforeAll(async () => {
  server = await startRedis()
  redis = await connectRedis(server.url, () => {})
  direct = new Redis(server.url)
  direct.on('error', () => {})
})
afterAll(async () => {
  redis.disconnect()
  direct.disconnect()
  await server.close()
})
beforeEach(async () => {
  changes = []
  await direct.flushall()
  store = redisCredentialStore(redis, (isShared) => changes.push(isShared))
})

test('[FR-032] what is set is there, under our prefix, until its life is over', async () => {
  expect(await store.get('k')).toBeNull()
  store.set('k', 'sealed', 60_000)
  await until(async () => (await store.get('k')) === 'sealed')
  const lifeMs = await direct.pttl('postern:credential:k')
  expect(lifeMs).toBeGreaterThan(50_000)
  expect(lifeMs).toBeLessThanOrEqual(60_000)
  store.set('dead', 'sealed', 0)
  store.set('negative', 'sealed', -5)
  store.set('after', 'sealed', 1000)
  await until(async () => (await store.get('after')) === 'sealed')
  expect(await direct.exists('postern:credential:dead', 'postern:credential:negative')).toBe(0)
})

test('[FR-032] what is too long is neither written nor read', async () => {
  store.set('long', 'x'.repeat(16_385), 1000)
  await direct.set('postern:credential:planted', 'x'.repeat(1_000_000))
  expect(await store.get('planted')).toBeNull()
  expect(await direct.exists('postern:credential:long')).toBe(0)
})

test('[FR-032] a value of another kind is a miss, and says nothing about the others', async () => {
  await direct.lpush('postern:credential:list', 'x')
  await direct.set('postern:credential:good', 'sealed')
  expect(await store.get('list')).toBeNull()
  expect(await store.get('good')).toBe('sealed')
  expect(changes).toEqual([])
})

test('[FR-032] no more is fetched than may be believed', async () => {
  await direct.set('postern:credential:planted', 'x'.repeat(5_000_000))
  const sent = async () => Number(/total_net_output_bytes:(\d+)/.exec(await direct.info('stats'))![1])
  const before = await sent()
  expect(await store.get('planted')).toBeNull()
  expect((await sent()) - before).toBeLessThan(100_000)
})

test('[FR-032] full: nothing is added, and what is there is still answered', async () => {
  await direct.set('postern:credential:good', 'sealed')
  await direct.config('SET', 'maxmemory', '1')
  try {
    store.set('more', 'sealed', 1000)
    await until(async () => (await direct.info('errorstats')).includes('errorstat_OOM'))
    expect(await store.get('good')).toBe('sealed')
    expect(changes).toEqual([])
  } finally {
    await direct.config('SET', 'maxmemory', '0')
  }
})

test('[FR-032] frozen for long: after each pause one request finds out, and the others do not wait with it', async () => {
  server.pause()
  try {
    await expect(store.get('first')).rejects.toThrow()
    let isProbed = false
    await until(async () => {
      const startedAtMs = performance.now()
      const probe = store.get('probe').catch(() => (isProbed = performance.now() - startedAtMs > 100))
      const others = Array.from({ length: 20 }, () => store.get('other').catch(() => performance.now() - startedAtMs))
      for (const waitedMs of await Promise.all(others)) expect(waitedMs).toBeLessThan(100)
      await probe
      return isProbed
    })
  } finally {
    server.resume()
  }
})

test('[FR-032] frozen: one request waits its bound, the others not at all, and it comes back by itself', async () => {
  server.pause()
  try {
    const startedAtMs = performance.now()
    await expect(store.get('k')).rejects.toThrow()
    expect(performance.now() - startedAtMs).toBeLessThan(1000)
    let rejected = 0
    for (let at = 0; at < 1000; at += 1) await store.get(`k${at}`).catch(() => (rejected += 1))
    store.set('k', 'sealed', 1000)
    expect(rejected).toBe(1000)
    // A thousand waits of 200 ms would not fit.
    expect(performance.now() - startedAtMs).toBeLessThan(5000)
  } finally {
    server.resume()
  }
  expect(changes).toEqual([false])
  await until(() =>
    store.get('k').then(
      () => true,
      () => false,
    ),
  )
  expect(changes).toEqual([false, true])
})
