/** Somebody can write to Redis. Every value is forged, copied, swapped, replayed and deleted: nobody gets in, and nobody comes back (SECURITY rule 24). */

import { Redis } from 'ioredis'
import { request } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { createStore } from '../ports/identity.ts'
import { until } from '../ports/switch.ts'
import { type Fleet, SECRET, startFleet } from '../support/fleet.ts'
import { signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { type PrivateServer, startRedis } from '../support/servers.ts'
import type { Credential } from './measure.ts'
import { createIssuer, fleetPolicy } from './policy.ts'
import { createStage, type Stage, SUBJECTS } from './subjects.ts'

let store: Awaited<ReturnType<typeof createStore>>
let redis: PrivateServer
let upstream: Upstream
let fleet: Fleet
let stage: Stage
let client: Redis

beforeAll(async () => {
  const issuer = await createIssuer()
  ;[store, redis, upstream] = await Promise.all([createStore('postgres'), startRedis(), startUpstream()])
  fleet = await startFleet({
    policy: fleetPolicy(issuer),
    upstreamUrl: upstream.url,
    databaseUrl: store.url,
    redisUrl: redis.url,
    count: 2,
  })
  stage = await createStage(fleet, issuer)
  client = new Redis(redis.url)
}, 120_000)

afterAll(async () => {
  client?.disconnect()
  await fleet?.close()
  await store?.remove()
  for (const server of [upstream, redis]) await server?.close()
}, 60_000)

/** Presents a credential to one node until Redis knows it, and gives the names under which it stands there. */
async function keysOf(credential: Credential): Promise<string[]> {
  const before = new Set(await client.keys('postern:credential:*'))
  expect((await fleet.nodes[0]!.send('GET', '/api/whoami', credential)).status).toBe(200)
  let found: string[] = []
  await until(async () => {
    found = (await client.keys('postern:credential:*')).filter((key) => !before.has(key))
    return found.length > 0
  })
  return found
}

async function subjectOn(node: number, credential: Credential): Promise<string | number> {
  const answer = await fleet.nodes[node]!.send('GET', '/api/whoami', credential)
  return answer.status === 200 ? (JSON.parse(answer.body) as { user: string }).user : answer.status
}

/** What stood in Redis when its credential was revoked. */
const old: { readonly kind: string; readonly credential: Credential; putBack(): Promise<unknown> }[] = []

for (const kind of Object.keys(SUBJECTS)) {
  const slug = kind.replaceAll(/[^a-z]/gi, '')

  test(`[FR-032] ${kind}: a value copied under another's name, cut, extended or made up speaks for nobody`, async () => {
    const victim = await SUBJECTS[kind]!(stage, `${slug}-victim-0`)
    const attacker = await SUBJECTS[kind]!(stage, `${slug}-attacker-0`)
    const [victimKeys, attackerKeys] = [await keysOf(victim.credential), await keysOf(attacker.credential)]
    const own = await subjectOn(0, attacker.credential)
    const values = await Promise.all(victimKeys.map((key) => client.get(key)))
    const forgeries = values.flatMap((value) => {
      const text = value ?? ''
      return [
        text,
        text.slice(0, -1),
        `${text}A`,
        text.replace(/^[^.]+/, 'zzzzzzzzz'),
        `{"subject":"root"}`,
        '',
        'x'.repeat(100_000),
      ]
    })
    for (const forgery of forgeries) {
      for (const key of attackerKeys) await client.set(key, forgery)
      // The other node has never seen it, so it asks Redis first.
      expect(await subjectOn(1, attacker.credential)).toBe(own)
    }
    for (const key of [...victimKeys, ...attackerKeys]) await client.del(key)
    expect(await subjectOn(1, victim.credential)).toBe(await subjectOn(0, victim.credential))
  }, 60_000)

  test(`[FR-032] ${kind}: a value put back after the revocation revives nobody, on no node`, async () => {
    const subject = await SUBJECTS[kind]!(stage, `${slug}-replay-0`)
    const keys = await keysOf(subject.credential)
    const values = await Promise.all(keys.map((key) => client.get(key)))
    await subject.revoke()
    const putBack = () => Promise.all(keys.map((key, at) => client.set(key, values[at]!)))
    for (let times = 0; times < 3; times += 1) {
      await putBack()
      for (const node of [0, 1]) await until(async () => (await subjectOn(node, subject.credential)) === 401)
    }
    old.push({ kind, credential: subject.credential, putBack })
  }, 60_000)
}

test('[FR-032] nor does any of them after a restart', async () => {
  expect(old).toHaveLength(Object.keys(SUBJECTS).length)
  await fleet.nodes[1]!.kill()
  for (const { putBack } of old) await putBack()
  await fleet.nodes[1]!.start()
  for (const { kind, credential } of old) expect([kind, await subjectOn(1, credential)]).toEqual([kind, 401])
}, 60_000)

test('[FR-032] a value from before a demotion gives no role back', async () => {
  const origin = `http://localhost:${await freePort()}`
  const env = { DATABASE_URL: store.url, REDIS_URL: redis.url, POSTERN_SECRET: SECRET }
  const policy = `
version: 1
origin: ORIGIN
store: { database: "\${env:DATABASE_URL}", redis: "\${env:REDIS_URL}", secret: "\${env:POSTERN_SECRET}" }
upstreams: { books: UPSTREAM }
routes:
  /api/whoami: { to: books, access: login }
  /api/admin/stats: { to: books, access: { role: admin } }
`
  const nodes = await Promise.all(
    [1, 2].map(() => startTestGateway({ policy, upstreamUrl: upstream.url, origin, env })),
  )
  const [one, two] = nodes as [TestGateway, TestGateway]
  try {
    const statusOn = async (node: TestGateway, path: string) => {
      const headers = { host: new URL(origin).host, cookie: fallen.cookie }
      const answer = await request(node.url + path, { headers })
      await answer.body.dump()
      return answer.statusCode
    }
    const before = new Set(await client.keys('postern:credential:*'))
    const fallen = await signIn(one, 'fallen@example.com', ['admin'])
    expect(await statusOn(one, '/api/admin/stats')).toBe(200)
    let keys: string[] = []
    await until(async () => {
      keys = (await client.keys('postern:credential:*')).filter((key) => !before.has(key))
      return keys.length > 0
    })
    const values = await Promise.all(keys.map((key) => client.get(key)))
    expect(await statusOn(two, '/api/admin/stats')).toBe(200)
    await one.users.setRoles(fallen.id, ['user'])
    for (let times = 0; times < 3; times += 1) {
      for (const [at, key] of keys.entries()) await client.set(key, values[at]!)
      for (const node of nodes) {
        await until(async () => (await statusOn(node, '/api/admin/stats')) === 403)
        // A changed role need not sign anybody out.
        expect(await statusOn(node, '/api/whoami')).toBe(200)
      }
    }
  } finally {
    for (const node of nodes) await node.close()
  }
}, 60_000)
