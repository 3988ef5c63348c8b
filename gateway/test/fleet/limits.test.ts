/** Places of a gateway process that was killed come back to the others, and operators see how limits are counted. */

import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { createStore } from '../ports/identity.ts'
import { until } from '../ports/switch.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { type RawClient, rawClient } from '../support/raw.ts'
import { type PrivateServer, startRedis } from '../support/servers.ts'

const POLICY = `
version: 1
origin: ORIGIN
store: { database: "\${env:DATABASE_URL?}", redis: "\${env:REDIS_URL?}", secret: "\${env:POSTERN_SECRET}" }
upstreams:
  books: { url: UPSTREAM, assertion: false }
routes:
  /ws: { to: books, access: public, limit: 3 connections per ip }
  /api/health: { to: books, access: public, limit: 9/h per route }
`
/** A place outlives its node by 15 s at most. */
const PATIENCE_MS = 30_000

let redis: PrivateServer
let direct: Redis
let store: Awaited<ReturnType<typeof createStore>>
let upstream: Upstream
let fleet: Fleet
const clients: RawClient[] = []

beforeAll(async () => {
  ;[redis, store, upstream] = await Promise.all([startRedis(), createStore('postgres'), startUpstream()])
  direct = new Redis(redis.url)
  direct.on('error', () => {})
  fleet = await startFleet({
    policy: POLICY,
    upstreamUrl: upstream.url,
    databaseUrl: store.url,
    redisUrl: redis.url,
    count: 2,
  })
}, 120_000)

afterAll(async () => {
  for (const client of clients) client.close()
  await fleet?.close()
  await upstream?.close()
  direct?.disconnect()
  await store?.remove()
  await redis?.close()
}, 60_000)

/** Opens a WebSocket and keeps it; resolves with the status of its answer. */
async function dial(at: number): Promise<number> {
  const client = await rawClient(fleet.nodes[at]!.url)
  clients.push(client)
  const lines = ['GET /ws HTTP/1.1', `Host: ${new URL(fleet.origin).host}`, `Origin: ${fleet.origin}`]
  lines.push('Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13')
  lines.push('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')
  client.send(`${lines.join('\r\n')}\r\n\r\n`)
  return Number((await client.until((text) => text.includes('\r\n\r\n'))).split(' ')[1])
}

test('[FR-042] a node that is killed takes its places with it, and the others have them back', async () => {
  expect([await dial(0), await dial(0), await dial(1)]).toEqual([101, 101, 101])
  expect([await dial(0), await dial(1)]).toEqual([429, 429])
  expect(await direct.zcard('postern:nodes')).toBe(2)
  await fleet.nodes[0]!.kill()
  // Both of them, each when its own life is over.
  for (let at = 0; at < 2; at += 1) await until(async () => (await dial(1)) === 101, PATIENCE_MS)
  // Its own place, which it holds for longer than a place lives without being renewed, is still taken.
  expect(await dial(1)).toBe(429)
}, 60_000)

test('[FR-042] in an outage of Redis the log says once that limits are counted alone, and once that they are shared again', async () => {
  const node = fleet.nodes[1]!
  const said = (text: string) => node.output().split(text).length - 1
  await redis.stop()
  await until(async () => {
    await node.send('GET', '/api/health')
    return said('limits are counted on this node alone') > 0
  })
  for (let at = 0; at < 20; at += 1) await node.send('GET', '/api/health')
  await redis.start()
  await until(async () => {
    await node.send('GET', '/api/health')
    return said('limits are shared again') > 0
  })
  expect([said('limits are counted on this node alone'), said('limits are shared again')]).toEqual([1, 1])
}, 60_000)
