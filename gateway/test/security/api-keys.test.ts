/** API keys at the door: which routes take one, what beside it refuses it, and the bytes that reached the upstream. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { createStore, type TestStore } from '../ports/identity.ts'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { isWhole, parseAnswer, rawClient } from '../support/raw.ts'
import { type PrivateServer, startRedis } from '../support/servers.ts'

const POLICY = `
version: 1
origin: ORIGIN
login: { signup: open, allowUnverifiedEmail: true }
keys: { prefix: bk_ }
upstreams:
  books: { url: UPSTREAM, assertion: false }
routes:
  /**: { to: books, access: public }
  /login: { to: books, access: login }
  /optional: { to: books, access: optional }
  /machine: { to: books, access: { with: [key, session] } }
  /scoped: { to: books, access: { with: [key, session], scope: books:export } }
  /admin: { to: books, access: { with: [key, session], role: admin } }
  /passed: { to: books, access: { with: [key] }, allowRequestHeaders: [X-API-Key] }
`

let upstream: Upstream
let gateway: TestGateway
let ada: SignedIn
let bob: SignedIn

const keyOf = (
  to: TestGateway,
  ownerId: string,
  scopes: readonly string[] = [],
  rate = null as { burst: number; intervalMs: number } | null,
) => to.apiKeys.create({ ownerId, name: 'test', scopes, expiresAtMs: null, rate })

beforeAll(async () => {
  upstream = await startUpstream({ record: true })
  gateway = await startTestGateway({ policy: POLICY, upstreamUrl: upstream.url })
  ada = await signIn(gateway, 'ada@example.com', ['user'])
  bob = await signIn(gateway, 'bob@example.com', ['user'])
}, 60_000)

afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

describe('which routes take a key', () => {
  const routes = [
    ['/machine', null],
    ['/login', 'credential.kind'],
    ['/optional', 'credential.kind'],
    ['/scoped', 'scope.missing'],
    ['/admin', 'role.missing'],
  ] as const
  for (const [path, refusal] of routes) {
    test(`[FR-031] ${path}: ${refusal ?? 'let in'}`, async () => {
      const { key } = await keyOf(gateway, ada.id, ['books:read'])
      const { status, reason } = await ask(gateway, path, `X-API-Key: ${key}`)
      expect(reason).toBe(refusal)
      if (refusal !== null) expect(status).toBe(403)
    })
  }

  test('[FR-031] the scope that a route asks for lets the key in that has it', async () => {
    const { key } = await keyOf(gateway, ada.id, ['books:export'])
    expect((await ask(gateway, '/scoped', `X-API-Key: ${key}`)).reason).toBeNull()
  })

  test('[FR-034] an owner’s promotion and demotion are the key’s, at once', async () => {
    const id = await gateway.users.create({
      email: 'cy@example.com',
      password: 'a long password',
      name: 'Cy',
      roles: [],
    })
    const { key } = await keyOf(gateway, id)
    expect((await ask(gateway, '/admin', `X-API-Key: ${key}`)).reason).toBe('role.missing')
    await gateway.users.setRoles(id, ['admin'])
    expect((await ask(gateway, '/admin', `X-API-Key: ${key}`)).reason).toBeNull()
    await gateway.users.setRoles(id, ['user'])
    expect((await ask(gateway, '/admin', `X-API-Key: ${key}`)).reason).toBe('role.missing')
  })

  test('[FR-034] a revoked key is refused by the next request', async () => {
    const { id, key } = await keyOf(gateway, ada.id)
    expect((await ask(gateway, '/machine', `X-API-Key: ${key}`)).reason).toBeNull()
    await gateway.apiKeys.revoke(id)
    expect(await ask(gateway, '/machine', `X-API-Key: ${key}`)).toMatchObject({ status: 401, reason: 'key.unknown' })
  })
})

describe('what stands beside a key', () => {
  test('[FR-031] two keys, or one twice, are refused', async () => {
    const { key } = await keyOf(gateway, ada.id)
    const answer = await ask(gateway, '/machine', `X-API-Key: ${key}`, `x-api-key: ${key}`)
    expect(answer).toMatchObject({ status: 400, reason: 'credential.duplicate' })
    expect((await ask(gateway, '/machine', `X-API-Key: ${key}, ${key}`)).reason).toBe('key.malformed')
  })

  test('[FR-031] the cookie or token of somebody else refuses it; the owner’s own does not, and adds no scope', async () => {
    const { key } = await keyOf(gateway, ada.id)
    const sameSite = 'Sec-Fetch-Site: same-origin'
    const withCookie = (cookie: string, path = '/machine') =>
      ask(gateway, path, `X-API-Key: ${key}`, `Cookie: ${cookie}`, sameSite)
    expect((await withCookie(bob.cookie)).reason).toBe('credential.subjects-differ')
    expect((await withCookie(ada.cookie)).reason).toBeNull()
    expect((await withCookie(ada.cookie, '/scoped')).reason).toBe('scope.missing')
    expect((await withCookie(ada.cookie, '/login')).reason).toBe('credential.kind')
    const bearer = await ask(gateway, '/machine', `X-API-Key: ${key}`, `Authorization: Bearer ${bob.token}`)
    expect(bearer.reason).toBe('credential.subjects-differ')
  })

  test('[FR-031] a key does not lift the rule against cross-site requests where our cookie is present', async () => {
    const { key } = await keyOf(gateway, ada.id)
    const lines = [`X-API-Key: ${key}`, `Cookie: ${ada.cookie}`, 'Content-Length: 0']
    expect((await send(gateway, 'POST', '/machine', [...lines, 'Origin: https://evil.example'])).status).toBe(403)
    expect((await send(gateway, 'POST', '/machine', lines)).status).toBe(403)
    const alone = await send(gateway, 'POST', '/machine', [`X-API-Key: ${key}`, 'Content-Length: 0'])
    expect(alone.reason).toBeNull()
  })
})

describe('what reaches the upstream', () => {
  const cases = [
    ['/machine', false, 'is let in by it'],
    ['/public', false, 'is public, so the key means nothing'],
    ['/passed', true, 'asks for the header by name'],
  ] as const
  for (const [path, isPassed, because] of cases) {
    test(`[FR-031] a route that ${because}: the key ${isPassed ? 'goes on' : 'stays here'}`, async () => {
      const { key } = await keyOf(gateway, ada.id)
      upstream.forget()
      expect((await ask(gateway, path, `X-API-Key: ${key}`)).reason).toBeNull()
      const seen = Buffer.concat(upstream.recordings()).toString('latin1')
      expect(seen).toContain(`GET ${path} `)
      expect(seen.includes(key)).toBe(isPassed)
    })
  }

  test('[FR-031] a public route ignores a key that is no key', async () => {
    expect((await ask(gateway, '/public', 'X-API-Key: nonsense')).reason).toBeNull()
  })

  test('[FR-031] under a header of the policy’s own, that header and X-API-Key both stay here', async () => {
    const policy = POLICY.replace('prefix: bk_', 'prefix: bk_, header: X-Books-Key').replace(/^.*passed.*$/m, '')
    const other = await startTestGateway({ policy, upstreamUrl: upstream.url })
    try {
      const id = await other.users.create({
        email: 'dee@example.com',
        password: 'a long password',
        name: 'D',
        roles: [],
      })
      const { key } = await keyOf(other, id)
      upstream.forget()
      const answer = await ask(
        other,
        '/machine',
        `X-Books-Key: ${key}`,
        'X-API-Key: theirs-4711',
        'X-Control: yes-0815',
      )
      expect(answer.reason).toBeNull()
      const seen = Buffer.concat(upstream.recordings()).toString('latin1')
      expect(seen).toContain('yes-0815')
      expect(seen).not.toMatch(/theirs-4711|x-books-key|bk_/i)
      expect((await ask(other, '/machine', `X-API-Key: ${key}`)).reason).toBe('credential.missing')
    } finally {
      await other.close()
    }
  })
})

describe('a key’s limit', () => {
  let redis: PrivateServer
  let store: TestStore
  let nodes: readonly TestGateway[]

  beforeAll(async () => {
    ;[redis, store] = await Promise.all([startRedis(), createStore('postgres')])
    const origin = `http://localhost:${await freePort()}`
    const secret = `${'q'.repeat(22)}0123456789abcdefghijk+`
    const env = { DATABASE_URL: store.url, REDIS_URL: redis.url, POSTERN_SECRET: secret }
    const shared =
      'store: { database: "$' +
      '{env:DATABASE_URL}", redis: "$' +
      '{env:REDIS_URL}", secret: "$' +
      '{env:POSTERN_SECRET}" }\n'
    const start = () => startTestGateway({ policy: POLICY + shared, upstreamUrl: upstream.url, origin, env })
    nodes = await Promise.all([start(), start()])
  }, 60_000)

  afterAll(async () => {
    for (const node of nodes ?? []) await node.close()
    await store?.remove()
    await redis?.close()
  })

  test('[FR-031] is one for all nodes, exactly, and says when to come back; what is not allowed is not counted', async () => {
    const node = nodes[0]!
    const id = await node.users.create({ email: 'eve@example.com', password: 'a long password', name: 'E', roles: [] })
    const { key } = await keyOf(node, id, [], { burst: 7, intervalMs: 3_600_000 })
    const line = `X-API-Key: ${key}`
    for (let at = 0; at < 5; at += 1) expect((await ask(nodes[at % 2]!, '/login', line)).status).toBe(403)
    const answers = await Promise.all(Array.from({ length: 20 }, (_, at) => ask(nodes[at % 2]!, '/machine', line)))
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused).toHaveLength(13)
    for (const { reason, headers } of refused) {
      expect(reason).toBe('key.limit')
      expect(Number(headers.get('retry-after')?.[0])).toBeGreaterThan(0)
    }
  })

  test('[FR-031] counts an upgrade, and what comes beside the owner’s own cookie, like other requests', async () => {
    const upgrade = [
      ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ]
    const beside = [`Cookie: ${ada.cookie}`, 'Sec-Fetch-Site: same-origin']
    for (const [first, then] of [
      [upgrade, []],
      [[], upgrade],
      [beside, []],
      [[], beside],
    ] as const) {
      const { key } = await keyOf(gateway, ada.id, [], { burst: 1, intervalMs: 3_600_000 })
      const line = `X-API-Key: ${key}`
      expect((await ask(gateway, '/machine', line, ...first)).reason).not.toBe('key.limit')
      expect(await ask(gateway, '/machine', line, ...then)).toMatchObject({ status: 429, reason: 'key.limit' })
    }
  })

  test('[FR-034] a key revoked on one node is refused by the other', async () => {
    const [one, two] = nodes as readonly [TestGateway, TestGateway]
    const owner = await one.users.create({
      email: 'fay@example.com',
      password: 'a long password',
      name: 'F',
      roles: [],
    })
    const { id, key } = await keyOf(one, owner)
    for (const node of nodes) expect((await ask(node, '/machine', `X-API-Key: ${key}`)).reason).toBeNull()
    await one.apiKeys.revoke(id)
    await expect.poll(async () => (await ask(two, '/machine', `X-API-Key: ${key}`)).status, { timeout: 5000 }).toBe(401)
  })
})

const ask = (node: TestGateway, path: string, ...lines: string[]) => send(node, 'GET', path, lines)

/** The answer, with the reason that the access record gives; null for what was let through. */
async function send(node: TestGateway, method: string, path: string, lines: readonly string[]) {
  const head = [`${method} ${path} HTTP/1.1`, `Host: ${new URL(node.origin).host}`, ...lines]
  const client = await rawClient(node.url)
  client.send(`${head.join('\r\n')}\r\n\r\n`)
  const answer = parseAnswer(await client.until(isWhole))
  client.close()
  const requestId = answer.headers.get('x-request-id')?.[0]
  const { reason } = await node.recordOf((record) => record.requestId === requestId)
  return { ...answer, reason }
}
