/** Two nodes on one Postgres and one Redis, and what is left of them when either store is gone (SECURITY rules 19, 23, 32). */

import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { isWhole, parseAnswer, rawClient } from '../support/raw.ts'
import { type PrivateServer, startPostgres, startRedis } from '../support/servers.ts'

const POLICY = `
version: 1
origin: ORIGIN
store: { database: "\${env:DATABASE_URL}", redis: "\${env:REDIS_URL}", secret: "\${env:POSTERN_SECRET}" }
login: { signup: open, allowUnverifiedEmail: true }
upstreams:
  books: { url: UPSTREAM }
routes:
  /**: { to: books, access: optional }
  /api/health: { to: books, access: public }
  /api/whoami: { to: books, access: login }
`

let postgres: PrivateServer
let redis: PrivateServer
let upstream: Upstream
let nodes: readonly [TestGateway, TestGateway]

beforeAll(async () => {
  ;[postgres, redis, upstream] = await Promise.all([startPostgres(), startRedis(), startUpstream()])
  const origin = `http://localhost:${await freePort()}`
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    POSTERN_SECRET: `${'q'.repeat(22)}0123456789abcdefghijk+`,
  }
  const start = () => startTestGateway({ policy: POLICY, upstreamUrl: upstream.url, origin, env })
  nodes = await Promise.all([start(), start()])
}, 60_000)

afterAll(async () => {
  for (const node of nodes ?? []) await node.close()
  for (const server of [upstream, postgres, redis]) await server?.close()
}, 60_000)

test('[FR-022] two nodes that start at once on an empty database both serve', async () => {
  for (const node of nodes) expect((await ask(node, '/api/health')).status).toBe(200)
})

test('[FR-022] a session and a token made on one node work on the other, which names the same person', async () => {
  const ada = await signIn(nodes[0], 'ada@example.com', ['user'])
  for (const credential of [`Cookie: ${ada.cookie}`, `Authorization: Bearer ${ada.token}`]) {
    const answer = await ask(nodes[1], '/api/whoami', credential)
    expect(answer.status).toBe(200)
    expect(answer.body).toContain(ada.id)
  }
})

test('[FR-008] an assertion of one node verifies with the key set of the other', async () => {
  const bob = await signIn(nodes[0], 'bob@example.com', ['user'])
  const seen = JSON.parse((await ask(nodes[0], '/api/whoami', `Cookie: ${bob.cookie}`)).body)
  const assertion = new Map<string, string>(
    seen.headers.map(([name, value]: [string, string]) => [name.toLowerCase(), value]),
  ).get('x-postern-assertion')
  const { createLocalJWKSet, jwtVerify } = await import('jose')
  const keys = createLocalJWKSet(JSON.parse((await ask(nodes[1], '/.well-known/jwks.json')).body))
  const { payload, protectedHeader } = await jwtVerify(assertion ?? '', keys, {
    audience: 'books',
    issuer: `${nodes[0].origin}/assertion`,
    typ: 'postern-assertion+jwt',
  })
  expect(protectedHeader.alg).toBe('ES256')
  expect(payload.sub).toBe(bob.id)
})

const outages = [
  {
    store: 'Postgres',
    how: 'stopped',
    server: () => postgres,
    end: (s: PrivateServer) => s.stop(),
    mend: (s: PrivateServer) => s.start(),
  },
  {
    store: 'Postgres',
    how: 'frozen',
    server: () => postgres,
    end: async (s: PrivateServer) => s.pause(),
    mend: async (s: PrivateServer) => s.resume(),
  },
] as const

for (const { store, how, server, end, mend } of outages) {
  describe(`${store} ${how}`, () => {
    let known: SignedIn
    let unread: SignedIn

    beforeAll(async () => {
      known = await signIn(nodes[0], `known-${how}@example.com`, ['user'])
      // Signed in on the other node, so the node that is asked has read nothing of it yet.
      unread = await signIn(nodes[1], `unread-${how}@example.com`, ['user'])
      // What Redis remembers would do for as long as the log is young; here nothing is remembered.
      await flush(redis.url)
      await end(server())
    }, 30_000)

    test(`[FR-023] ${store} ${how}: public routes serve, with a session cookie too`, async () => {
      expect((await ask(nodes[0], '/api/health')).status).toBe(200)
      expect((await ask(nodes[0], '/api/health', `Cookie: ${unread.cookie}`)).status).toBe(200)
    })

    test(`[FR-023] ${store} ${how}: a session that must be looked up is 503, never nobody and never 401`, async () => {
      for (const path of ['/api/whoami', '/']) {
        const answer = await ask(nodes[0], path, `Cookie: ${unread.cookie}`)
        expect(answer.status).toBe(503)
        expect(JSON.parse(answer.body).code).toBe('cannot-decide')
        expect(answer.headers.get('retry-after')).toEqual(['1'])
      }
      expect((await ask(nodes[0], '/api/whoami', `Authorization: Bearer ${unread.token}`)).status).toBe(503)
    })

    test(`[FR-023] ${store} ${how}: a forged cookie is still 401, for nothing must be looked up`, async () => {
      const forged = known.cookie.replace(/.{4}$/, 'AAAA')
      expect((await ask(nodes[0], '/api/whoami', `Cookie: ${forged}`)).status).toBe(401)
    })

    test(`[FR-023] ${store} ${how}: nobody can sign in, and readiness says so in one word`, async () => {
      const body = JSON.stringify({ email: known.email, password: 'whatever it is' })
      expect((await post(nodes[0], '/api/auth/sign-in/email', body)).status).toBe(503)
      const ready = await ask(nodes[0], '/_postern/readyz')
      expect(ready.status).toBe(503)
      expect(ready.body.trim()).toBe('unavailable')
    })

    test(`[FR-023] ${store} back after it was ${how}: the gateway recovers by itself`, async () => {
      await mend(server())
      await expect
        .poll(async () => (await ask(nodes[0], '/api/whoami', `Cookie: ${unread.cookie}`)).status, { timeout: 20_000 })
        .toBe(200)
      await expect.poll(async () => (await ask(nodes[0], '/_postern/readyz')).status, { timeout: 20_000 }).toBe(200)
    }, 30_000)
  })
}

for (const how of ['stopped', 'frozen'] as const) {
  test(`[FR-023] Redis ${how}: sessions, tokens and sign-in go on, with limits counted on the node alone; then it is used again`, async () => {
    await (how === 'stopped' ? redis.stop() : redis.pause())
    try {
      const eve = await signIn(nodes[0], `eve-${how}@example.com`, ['user'])
      for (const node of nodes) {
        expect((await ask(node, '/api/health')).status).toBe(200)
        expect((await ask(node, '/api/whoami', `Cookie: ${eve.cookie}`)).status).toBe(200)
        expect((await ask(node, '/api/whoami', `Authorization: Bearer ${eve.token}`)).status).toBe(200)
      }
    } finally {
      await (how === 'stopped' ? redis.start() : redis.resume())
    }
    expect((await ask(nodes[0], '/api/health')).status).toBe(200)
  }, 30_000)
}

function ask(node: TestGateway, path: string, ...lines: string[]) {
  return exchange(
    node,
    `GET ${path} HTTP/1.1\r\nHost: ${new URL(node.origin).host}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`,
  )
}

function post(node: TestGateway, path: string, body: string) {
  const { host } = new URL(node.origin)
  const head = `Host: ${host}\r\nOrigin: ${node.origin}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`
  return exchange(node, `POST ${path} HTTP/1.1\r\n${head}\r\n\r\n${body}`)
}

async function exchange(node: TestGateway, bytes: string) {
  const client = await rawClient(node.url)
  client.send(bytes)
  const answer = parseAnswer(await client.until(isWhole))
  client.close()
  return answer
}

async function flush(url: string): Promise<void> {
  const client = new Redis(url)
  await client.flushall()
  client.disconnect()
}
