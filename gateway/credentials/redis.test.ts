/** The cache on a real Redis: shared by two nodes, rewritten by a hostile client, and with Redis frozen, gone or emptied. */

import type { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Refusal } from '../model.ts'
import { connectRedis } from '../stores/redis/connect.ts'
import { redisCredentialStore } from '../stores/redis/credential-store.ts'
import { cacheOf, NOW_MS, principalNamed, SCOPE, verifiedAs, whoIn } from '../test/support/credentials.ts'
import { scriptedRevocations } from '../test/support/revocations.ts'
import { type PrivateServer, startRedis } from '../test/support/servers.ts'
import type { Verified } from './cache.ts'

/** More than the 200 ms that a command may take, with room for a busy machine; far less than a hang. */
const ONCE_MS_MAX = 450

let server: PrivateServer
let hostile: Redis
const opened: Redis[] = []
beforeAll(async () => {
  server = await startRedis()
  hostile = await connectRedis(server.url, () => {})
}, 60_000)
afterAll(async () => {
  for (const redis of [hostile, ...opened]) redis.disconnect()
  await server.close()
})
beforeEach(async () => {
  await hostile.flushall()
})

async function node(revocations = scriptedRevocations()) {
  const redis = await connectRedis(server.url, () => {})
  opened.push(redis)
  const store = redisCredentialStore(redis, () => {})
  return Object.assign(cacheOf({ store, revocations }), { revocations })
}
type Node = Awaited<ReturnType<typeof node>>

const learn = (at: Node, credential: string, found: Verified | Refusal) =>
  at.lookUp(SCOPE, credential, NOW_MS, async () => found)
/** Who a node takes it for, were Redis all it had. */
const ask = async (at: Node, credential: string) => whoIn(await learn(at, credential, new Refusal('token.inactive')))

async function stored(count: number): Promise<string[]> {
  await expect.poll(async () => (await hostile.keys('*')).length).toBe(count)
  return (await hostile.keys('*')).sort()
}

test('[FR-032] redis: what one node verified another answers, and Redis forgets it with its end', async () => {
  const [one, two] = [await node(), await node()]
  await learn(one, 'x', verifiedAs('u1'))
  const [key] = await stored(1)
  const ttlMs = await hostile.pttl(key!)
  expect(ttlMs).toBeGreaterThan(50_000)
  expect(ttlMs).toBeLessThanOrEqual(60_000)
  expect(await ask(two, 'x')).toBe('u1')
})

test('[FR-032] redis: values copied, swapped, cut, forged and of other types let nobody in, and deleting revives nobody', async () => {
  const one = await node()
  await learn(one, 'admin’s', verifiedAs('admin'))
  const [admins] = await stored(1)
  await learn(one, 'mallory’s', verifiedAs('mallory'))
  const mallorys = (await stored(2)).find((key) => key !== admins)!
  const [sealedAdmin, sealedMallory] = [(await hostile.get(admins!))!, (await hostile.get(mallorys))!]
  const writes: readonly (() => Promise<unknown>)[] = [
    () => hostile.copy(admins!, mallorys, 'REPLACE'),
    () => hostile.set(mallorys, sealedAdmin.slice(0, -1)),
    () => hostile.set(mallorys, sealedMallory.replace(sealedMallory.split('.')[1]!, sealedAdmin.split('.')[1]!)),
    () => hostile.set(mallorys, JSON.stringify({ principal: principalNamed('admin') })),
    () => hostile.set(mallorys, ''),
    () => hostile.set(mallorys, Buffer.alloc(100_000, 0xff)),
    () => hostile.del(mallorys).then(() => hostile.lpush(mallorys, sealedAdmin)),
    () => hostile.del(mallorys),
  ]
  for (const [at, write] of writes.entries()) {
    await write()
    expect([at, await ask(await node(), 'mallory’s')]).toEqual([at, 'token.inactive'])
  }
  await hostile.copy(mallorys, admins!, 'REPLACE')
  await hostile.set(admins!, sealedMallory)
  expect(await ask(await node(), 'admin’s')).toBe('token.inactive')
})

test('[FR-033] redis: the refill race on two nodes, and a replay of all that Redis ever held', async () => {
  const log = scriptedRevocations()
  const [one, two] = [await node(log), await node(log)]
  const admin = verifiedAs('u1', { principal: principalNamed('u1', { roles: ['admin'] }) })
  // The verification has read the old truth; the demotion lands before its result does.
  let land: (found: Verified) => void = () => {}
  let reads = 0
  const asking = one.lookUp(SCOPE, 'x', NOW_MS, () => {
    reads += 1
    return reads > 1 ? Promise.resolve(verifiedAs('u1')) : new Promise((resolve) => (land = resolve))
  })
  await expect.poll(() => reads).toBe(1)
  log.revoke('subject:u1')
  land(admin)
  expect(await asking).toMatchObject({ principal: { roles: ['reader'] } })
  await stored(1)
  expect(await two.lookUp(SCOPE, 'x', NOW_MS, async () => admin)).toMatchObject({ principal: { roles: ['reader'] } })

  // A node that has not heard yet writes the old truth back, and a hostile client keeps a copy of it.
  await hostile.flushall()
  const deaf = await node()
  await learn(deaf, 'x', admin)
  const [key] = await stored(1)
  const sealed = (await hostile.get(key!))!
  expect(await ask(await node(log), 'x')).toBe('token.inactive')
  await learn(two, 'y', verifiedAs('u2'))
  await hostile.set(key!, sealed)
  expect(await ask(await node(log), 'x')).toBe('token.inactive')
  deaf.revocations.revoke('subject:u1')
  expect(await ask(deaf, 'x')).toBe('token.inactive')
})

test('[FR-023] redis: frozen, it costs one request its time-out and the next ones nothing; and it comes back', async () => {
  const one = await node()
  await learn(one, 'known', verifiedAs('known'))
  await stored(1)
  server.pause()
  try {
    const beganAt = performance.now()
    expect(whoIn(await learn(one, 'x', verifiedAs('u1')))).toBe('u1')
    expect(performance.now() - beganAt).toBeLessThan(ONCE_MS_MAX)
    const nextAt = performance.now()
    for (let at = 0; at < 50; at += 1) expect(whoIn(await learn(one, `x${at}`, verifiedAs('u1')))).toBe('u1')
    expect(performance.now() - nextAt).toBeLessThan(ONCE_MS_MAX)
    expect(await ask(one, 'known')).toBe('known')
  } finally {
    server.resume()
  }
  let at = 0
  await expect
    .poll(
      async () => {
        at += 1
        await learn(one, `again-${at}`, verifiedAs('u3'))
        return (await hostile.keys('*')).length
      },
      { timeout: 10_000 },
    )
    .toBeGreaterThan(1)
}, 30_000)

test('[FR-023] redis: gone and back empty, credentials verify as if there had never been one', async () => {
  const one = await node()
  await learn(one, 'known', verifiedAs('known'))
  await stored(1)
  await server.stop()
  const beganAt = performance.now()
  for (let at = 0; at < 50; at += 1) expect(whoIn(await learn(one, `x${at}`, verifiedAs('u1')))).toBe('u1')
  expect(performance.now() - beganAt).toBeLessThan(ONCE_MS_MAX)
  expect(await ask(one, 'known')).toBe('known')
  await server.start()
  await expect.poll(() => hostile.ping().catch(() => null), { timeout: 10_000 }).toBe('PONG')
  expect(await ask(await node(), 'known')).toBe('token.inactive')
}, 30_000)
