/** Limits on two real gateways with one Redis: exact under load, given back however an exchange ends, and what is left of them in an outage. */

import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { Agent, request } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'
import { createStore } from '../ports/identity.ts'
import { until } from '../ports/switch.ts'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { type RawClient, rawClient } from '../support/raw.ts'
import { type PrivateServer, startRedis } from '../support/servers.ts'

const POLICY = `
version: 1
origin: ORIGIN
store: { database: "\${env:DATABASE_URL}", redis: "\${env:REDIS_URL}", secret: "\${env:POSTERN_SECRET}" }
login: { signup: open, allowUnverifiedEmail: true, rateLimits: { signIn: 1000/s } }
upstreams:
  up: { url: UPSTREAM, assertion: false }
admission: { perAddress: off }
limits: { onOutage: OUTAGE }
routes:
  /exact: { to: up, access: login, limit: 25/h per user }
  /shared: { to: up, access: public, limit: [1000/h per ip, 40/h per route] }
  /outage: { to: up, access: public, limit: 10/h per route }
  /free: { to: up, access: public }
  /held/**: { to: up, access: login, limit: 3 connections per user }
  /near/**: { to: up, access: login, limit: 3 connections per ip }
  /small: { to: up, access: login, body: 1B, limit: [3 connections per ip, 3 connections per user] }
  /ws: { to: up, access: login, limit: 3 connections per user }
`
const NODES = 2

let redis: PrivateServer
let direct: Redis
let store: Awaited<ReturnType<typeof createStore>>
let upstream: Server
let upstreamUrl: string
let held: ServerResponse[] = []
let nodes: readonly TestGateway[] = []
let ada: SignedIn
const agent = new Agent({ connections: 250, pipelining: 1 })
let open: { close(): void }[] = []

beforeAll(async () => {
  ;[redis, store] = await Promise.all([startRedis(), createStore('postgres')])
  direct = new Redis(redis.url)
  direct.on('error', () => {})
  upstream = await startHolding()
  upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  const origin = `http://localhost:${await freePort()}`
  nodes = await Promise.all(Array.from({ length: NODES }, () => startNode(origin, 'share')))
  ada = await signIn(nodes[0]!, 'ada@example.com', ['reader'])
}, 90_000)

afterAll(async () => {
  for (const node of nodes) await node.close()
  await agent.destroy()
  direct?.disconnect()
  upstream?.closeAllConnections()
  upstream?.close()
  await store?.remove()
  await redis?.close()
}, 60_000)

beforeEach(() => {
  held = []
  open = []
})
afterEach(async () => {
  for (const client of open) client.close()
  await until(async () => (await placesTaken()) === 0)
})

function startNode(origin: string, onOutage: 'share' | 'refuse'): Promise<TestGateway> {
  const env = {
    DATABASE_URL: store.url,
    REDIS_URL: redis.url,
    POSTERN_SECRET: `${'q'.repeat(22)}0123456789abcdefghijk+`,
  }
  return startTestGateway({ policy: POLICY.replace('OUTAGE', onOutage), upstreamUrl, origin, env })
}

/** Answers at once, or holds an event stream open until a test ends it; a WebSocket echoes. */
async function startHolding(): Promise<Server> {
  const server = createServer((message, response) => {
    if (!/^\/(?:held|near)/.test(message.url!)) return void response.end('ok')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: open\n\n')
    held.push(response)
  })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

async function placesTaken(): Promise<number> {
  let taken = 0
  for (const key of await direct.keys('postern:places:*')) taken += await direct.zcard(key)
  return taken
}

const hostOf = (node: TestGateway) => new URL(node.origin).host
const bearer = (person: SignedIn) => ({ authorization: `Bearer ${person.token}` })

async function get(node: TestGateway, path: string, headers: Record<string, string> = {}) {
  const answer = await request(node.url + path, { dispatcher: agent, headers: { host: hostOf(node), ...headers } })
  const body = await answer.body.text()
  return { status: answer.statusCode, headers: answer.headers, body }
}

/** Opens an event stream; resolves once its first byte, or the whole of a refusal, is here. */
async function hold(
  node: TestGateway,
  path: string,
  person: SignedIn,
): Promise<RawClient & { readonly status: number }> {
  const client = await rawClient(node.url)
  open.push(client)
  const lines = [`GET ${path} HTTP/1.1`, `Host: ${hostOf(node)}`, `Authorization: Bearer ${person.token}`]
  client.send(`${lines.join('\r\n')}\r\n\r\n`)
  const text = await client.until((received) => /data: open|"requestId"/.test(received))
  return { ...client, status: Number(text.split(' ')[1]) }
}

async function fill(path: string, person = ada): Promise<readonly RawClient[]> {
  const clients: RawClient[] = []
  for (const at of [0, 1, 0]) {
    const client = await hold(nodes[at]!, path, person)
    expect(client.status).toBe(200)
    clients.push(client)
  }
  expect((await hold(nodes[1]!, path, person)).status).toBe(429)
  return clients
}

test('[FR-042] of two hundred requests at once over two nodes exactly the limit passes, and all are told how it stands', async () => {
  const all = await Promise.all(Array.from({ length: 200 }, (_, at) => get(nodes[at % NODES]!, '/exact', bearer(ada))))
  const passed = all.filter(({ status }) => status === 200)
  const refused = all.filter(({ status }) => status === 429)
  expect([passed.length, refused.length]).toEqual([25, 175])
  const left = passed.map(({ headers }) => Number(/r=(\d+)/.exec(String(headers['ratelimit']))![1]))
  // One that came earlier and is counted later is told of one less.
  expect(Math.min(...left)).toBe(0)
  expect(left.every((each) => each >= 0 && each < 25)).toBe(true)
  for (const { headers, body } of refused) {
    expect(JSON.parse(body).code).toBe('too-many-requests')
    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(3600 / 25)
    expect(headers['ratelimit-policy']).toBe('"25/h per user";q=25;w=3600')
    expect(headers['ratelimit']).toBe(`"25/h per user";r=0;t=${headers['retry-after']}`)
    expect(headers['cache-control']).toBe('no-store')
  }
})

test('[FR-042] two limits of one route are exact together', async () => {
  const all = await Promise.all(Array.from({ length: 200 }, (_, at) => get(nodes[at % NODES]!, '/shared')))
  expect(all.filter(({ status }) => status === 200)).toHaveLength(40)
})

test('[FR-042] a route without limits says nothing of limits', async () => {
  const { status, headers } = await get(nodes[0]!, '/free')
  expect(status).toBe(200)
  expect(headers['ratelimit'] ?? headers['ratelimit-policy']).toBeUndefined()
})

test('[FR-042] of two hundred event streams at once over two nodes exactly as many are open as may be', async () => {
  const all = await Promise.all(Array.from({ length: 200 }, (_, at) => hold(nodes[at % NODES]!, '/held/x', ada)))
  const count = (status: number) => all.filter((client) => client.status === status).length
  expect([count(200), count(429)]).toEqual([3, 197])
  const refused = all.find(({ status }) => status === 429)!.received()
  expect(refused).toContain('\r\nRetry-After: 1\r\n')
  expect(refused).toContain('\r\nRateLimit-Policy: "3 connections per user";q=3;qu="concurrent-requests"\r\n')
  expect(refused).toContain('\r\nRateLimit: "3 connections per user";r=0\r\n')
  expect(nodes.flatMap(({ records }) => records).some(({ reason }) => reason === 'route.connections')).toBe(true)
})

const endings: readonly (readonly [string, (clients: readonly RawClient[]) => unknown])[] = [
  ['its client leaves', ([client]) => client!.close()],
  ['its upstream is done', () => held[0]!.end()],
  ['its upstream fails', () => held[0]!.destroy()],
]
for (const path of ['/held/x', '/near/x']) {
  for (const [how, end] of endings) {
    test(`[FR-042] ${path}: a place is free again once ${how}`, async () => {
      const clients = await fill(path)
      end(clients)
      await until(async () => (await placesTaken()) === 2)
      expect((await hold(nodes[1]!, path, ada)).status).toBe(200)
      expect((await hold(nodes[0]!, path, ada)).status).toBe(429)
    })
  }
}

test('[FR-042] a place is free again once its exchange is cut by a revocation', async () => {
  const bob = await signIn(nodes[0]!, 'bob@example.com', ['reader'])
  await fill('/held/x', bob)
  const headers = {
    host: hostOf(nodes[0]!),
    origin: nodes[0]!.origin,
    cookie: bob.cookie,
    'content-type': 'application/json',
  }
  const url = `${nodes[0]!.url}/api/auth/sign-out`
  const answer = await request(url, { dispatcher: agent, method: 'POST', headers, body: '{}' })
  await answer.body.dump()
  expect(answer.statusCode).toBe(200)
  await until(async () => (await placesTaken()) === 0)
})

test('[FR-042] what is refused after its places were taken gives them back', async () => {
  for (let at = 0; at < 10; at += 1) {
    const big = await request(`${nodes[0]!.url}/small`, {
      dispatcher: agent,
      method: 'POST',
      headers: { host: hostOf(nodes[0]!), ...bearer(ada) },
      body: 'too much',
    })
    await big.body.dump()
    expect(big.statusCode).toBe(413)
    expect((await get(nodes[0]!, '/near/x')).status).toBe(401)
  }
  await until(async () => (await placesTaken()) === 0)
  await fill('/near/x')
})

test('[FR-042] WebSockets take places for as long as they are open, and give them back', async () => {
  const dial = (node: TestGateway) =>
    new Promise<{ readonly status: number; readonly socket: WebSocket }>((resolve) => {
      const socket = new WebSocket(`${node.url.replace('http', 'ws')}/ws`, {
        headers: { host: hostOf(node), ...bearer(ada) },
      })
      open.push({ close: () => socket.terminate() })
      socket.on('error', () => {})
      socket.once('open', () => resolve({ status: 101, socket }))
      socket.once('unexpected-response', (_, response) => {
        expect(response.headers['retry-after']).toBe('1')
        resolve({ status: response.statusCode!, socket })
      })
    })
  const first = await dial(nodes[0]!)
  expect([first.status, (await dial(nodes[1]!)).status, (await dial(nodes[0]!)).status]).toEqual([101, 101, 101])
  expect((await dial(nodes[1]!)).status).toBe(429)
  first.socket.close()
  await until(async () => (await placesTaken()) === 2)
  expect((await dial(nodes[1]!)).status).toBe(101)
  expect((await dial(nodes[0]!)).status).toBe(429)
})

test('[FR-042] a gateway that closes gives back what it held', async () => {
  const third = await startNode(nodes[0]!.origin, 'share')
  const clients = [
    await hold(third, '/held/x', ada),
    await hold(third, '/held/x', ada),
    await hold(nodes[0]!, '/held/x', ada),
  ]
  expect(clients.map(({ status }) => status)).toEqual([200, 200, 200])
  expect(await placesTaken()).toBe(3)
  // Streams have their time to end; what is still open then is ended.
  await third.close()
  expect(await placesTaken()).toBe(1)
  expect(await direct.zcard('postern:nodes')).toBe(NODES)
}, 60_000)

test('[FR-042] Redis gone: a node counts its share and says so, or refuses what is limited where the policy says so', async () => {
  const strict = await startNode(nodes[0]!.origin, 'refuse')
  let isStopped = false
  try {
    await until(async () => (await direct.zcard('postern:nodes')) === 3)
    await until(() => nodes[0]!.limits().nodes > 1)
    await redis.stop()
    isStopped = true
    let passed = 0
    for (let at = 0; at < 20; at += 1) if ((await get(nodes[0]!, '/outage')).status === 200) passed += 1
    // Ten divided by the nodes that were last seen: two or three.
    expect([3, 5]).toContain(passed)
    const refused = await get(strict, '/outage')
    expect(refused.status).toBe(503)
    expect(JSON.parse(refused.body).code).toBe('cannot-decide')
    expect(refused.headers['retry-after']).toBe('1')
    expect((await get(strict, '/free')).status).toBe(200)
    const record = await strict.recordOf(({ reason }) => reason === 'counters.unavailable')
    expect(record.status).toBe(503)
    // Signing in is limited by each node itself, so it goes on.
    expect((await signIn(strict, 'eve@example.com', ['reader'])).cookie).not.toBe('')
    // Places go on, too: of three the share of one node, and at least one.
    expect((await hold(nodes[0]!, '/held/x', ada)).status).toBe(200)
    expect((await hold(nodes[0]!, '/held/x', ada)).status).toBe(429)
    expect((await hold(strict, '/held/x', ada)).status).toBe(503)
    await redis.start()
    isStopped = false
    await until(async () => (await get(strict, '/outage')).status === 200)
    await until(async () => {
      await get(nodes[0]!, '/outage')
      return (await placesTaken()) === 1
    })
  } finally {
    if (isStopped) await redis.start()
    await strict.close()
  }
}, 60_000)
