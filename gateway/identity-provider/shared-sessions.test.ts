/** Sessions and our own tokens on two nodes with one real database and one real Redis: shared at once, and revoked in both levels. */

import type { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectRedis } from '../stores/redis/connect.ts'
import { redisCredentialStore } from '../stores/redis/credential-store.ts'
import { claimsOf, createStore, STORE_KINDS, startNode, type TestNode, type TestStore } from '../test/ports/identity.ts'
import { type PrivateServer, startRedis } from '../test/support/servers.ts'

let server: PrivateServer
beforeAll(async () => {
  server = await startRedis()
}, 60_000)
afterAll(() => server.close())

describe.each(STORE_KINDS)('%s', (kind) => {
  let store: TestStore
  let redis: Redis
  let one: TestNode
  let two: TestNode
  beforeAll(async () => {
    store = await createStore(kind)
    redis = await connectRedis(server.url, () => {})
    const credentialStore = redisCredentialStore(redis, () => {})
    one = await startNode(store, { credentialStore })
    two = await startNode(store, { credentialStore })
  })
  afterAll(async () => {
    await one.stop()
    await two.stop()
    await store.remove()
    redis.disconnect()
  })

  const who = async (node: TestNode, cookie: string) => {
    const found = await node.sessions.verifyCookie(cookie, Date.now())
    return 'reason' in found ? found.reason : (found.principal?.email ?? null)
  }
  const whoseToken = async (node: TestNode, token: string) => {
    const found = await node.tokens.verifyToken(token, Date.now())
    return 'reason' in found ? found.reason : (found.principal?.email ?? null)
  }
  const tokenOf = async (client: ReturnType<TestNode['client']>) =>
    ((await (await client.send('GET', '/token')).json()) as { token: string }).token

  test(`[FR-032] ${kind}: what one node read of a session the other takes from Redis`, async () => {
    const client = one.client()
    await client.signUp('shared@example.com')
    expect(await who(one, client.session)).toBe('shared@example.com')
    const { sharedHits } = two.credentials.status()
    await expect.poll(async () => (await redis.keys('*')).length).toBeGreaterThan(0)
    // A value from a log longer than the one it knows is no good to a node.
    await two.revocations.catchUp()
    expect(await who(two, client.session)).toBe('shared@example.com')
    expect(two.credentials.status().sharedHits).toBe(sharedHits + 1)
  })

  test(`[FR-034] ${kind}: signing out on one node ends session, bearer and token on the other, whatever Redis still holds`, async () => {
    const client = one.client()
    await client.signUp('leaving@example.com')
    const [cookie, token] = [client.session, await tokenOf(client)]
    for (const node of [one, two]) {
      expect(await who(node, cookie)).toBe('leaving@example.com')
      expect(await whoseToken(node, token)).toBe('leaving@example.com')
    }
    const held = new Map<string, string>()
    for (const key of await redis.keys('*')) held.set(key, (await redis.get(key))!)
    expect((await client.send('POST', '/sign-out')).status).toBe(200)
    for (const [key, sealed] of held) await redis.set(key, sealed, 'PX', 60_000)
    await two.revocations.catchUp()
    for (const node of [one, two]) {
      expect(await who(node, cookie)).toBeNull()
      expect(await node.sessions.verifyBearer(cookie, Date.now())).toMatchObject({ reason: 'token.session-ended' })
      expect(await whoseToken(node, token)).toBe('token.session-ended')
    }
  })

  test(`[FR-037] ${kind}: a token ended by its jti is dead on every node, and its session lives`, async () => {
    const client = one.client()
    await client.signUp('token@example.com')
    const token = await tokenOf(client)
    for (const node of [one, two]) expect(await whoseToken(node, token)).toBe('token@example.com')
    const tokenId = claimsOf(token).jti as string
    await one.revoker.revoke({ kind: 'token', source: 'postern', tokenId, subject: null, expiresAtMs: null })
    await two.revocations.catchUp()
    for (const node of [one, two]) {
      expect(await whoseToken(node, token)).toBe('token.revoked')
      expect(await who(node, client.session)).toBe('token@example.com')
    }
  })

  test(`[FR-037] ${kind}: everything ended: no session or token from before lives though its row is there, and a new one does`, async () => {
    const client = one.client()
    await client.signUp('epoch@example.com')
    const token = await tokenOf(client)
    for (const node of [one, two]) expect(await who(node, client.session)).toBe('epoch@example.com')
    await one.revoker.revoke({ kind: 'everything' })
    await two.revocations.catchUp()
    for (const node of [one, two]) {
      expect(await who(node, client.session)).toBeNull()
      expect(await whoseToken(node, token)).toMatch(/^token\.(revoked|session-ended)$/)
    }
    const next = two.client()
    await next.signIn('epoch@example.com')
    expect(await who(two, next.session)).toBe('epoch@example.com')
  })
})
