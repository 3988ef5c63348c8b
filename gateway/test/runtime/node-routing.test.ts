/** Hosts, rewrites, encoded slashes and several servers on a real gateway: what a client asks and what which server sees. */

import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { exchangeRaw, parseAnswer, rawClient } from '../support/raw.ts'

const POLICY = `
version: 1
origin: ORIGIN
login: { allowUnverifiedEmail: true }
upstreams:
  one: { url: FIRST }
  fleet: { url: [FIRST, { url: SECOND, weight: 2 }] }
  own-host: { url: SECOND, host: upstream }
routes:
  /**: { to: one, access: optional }
  /account: { to: one, access: login }
  /private/**: { access: deny }
  /ws: { to: one, access: login }
  /fleet/**: { to: fleet, access: public }
  /fleet/ws: { to: fleet, access: public }
  /api/**: { to: own-host, access: public, stripPrefix: /api, addPrefix: /v2 }
  /cut/**: { to: fleet, access: public, stripPrefix: /cut, alias: true }
  /projects/:id/**: { to: one, access: { read: public, write: { when: 'params.id == "group/project"' } }, encodedSlash: keep }
  api.test/**: { to: one, access: optional, alias: true }
  api.test/private/**: { to: one, access: login }
  api.test/ws: { to: one, access: login }
  "*.tenant.test/**": { to: one, access: public, alias: true }
`

interface Seen {
  readonly server: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

const servers: Server[] = []
let gateway: TestGateway
let ada: SignedIn
let port: string

/** Says what it saw: in the body, and for an upgrade in a header of the 101. */
async function startMirror(server: string): Promise<string> {
  const seen = ({ url, headers }: IncomingMessage) => JSON.stringify({ server, url, headers })
  const mirror = createServer((request, response) => response.end(seen(request)))
  mirror.on('upgrade', (request, socket) => {
    socket.on('error', () => {})
    const head = `Upgrade: websocket\r\nConnection: Upgrade\r\nX-Seen: ${seen(request)}`
    socket.end(`HTTP/1.1 101 Switching Protocols\r\n${head}\r\n\r\n`)
  })
  await new Promise<void>((resolve) => mirror.listen(0, '127.0.0.1', resolve))
  servers.push(mirror)
  return `http://127.0.0.1:${(mirror.address() as AddressInfo).port}`
}

beforeAll(async () => {
  const [first, second] = [await startMirror('first'), await startMirror('second')]
  const policy = POLICY.replaceAll('FIRST', `"${first}"`).replaceAll('SECOND', `"${second}"`)
  gateway = await startTestGateway({ policy })
  ada = await signIn(gateway, 'ada@example.com', [])
  port = new URL(gateway.url).port
})

afterAll(async () => {
  await gateway?.close()
  for (const server of servers) server.close()
})

async function ask(host: string, target: string, more: readonly string[] = [], method = 'GET') {
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}:${port}`, 'Connection: close', ...more]
  const answer = parseAnswer(await exchangeRaw(gateway.url, `${lines.join('\r\n')}\r\n\r\n`))
  const body = answer.body.slice(answer.body.indexOf('{'), answer.body.lastIndexOf('}') + 1)
  const told: unknown = body === '' ? {} : JSON.parse(body)
  return { ...answer, seen: told as Seen, problem: told as { code?: string; type?: string } }
}

async function upgrade(host: string, target: string, more: readonly string[] = []) {
  const client = await rawClient(gateway.url)
  const lines = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
  client.send([`GET ${target} HTTP/1.1`, `Host: ${host}:${port}`, ...lines, key, ...more, '', ''].join('\r\n'))
  const answer = parseAnswer(await client.until((text) => text.includes('\r\n\r\n')))
  client.close()
  const seen = answer.headers.get('x-seen')?.[0]
  return { ...answer, seen: (seen === undefined ? null : JSON.parse(seen)) as Seen | null }
}

const cookie = () => `Cookie: ${ada.cookie}; theirs=kept`
const bearer = () => `Authorization: Bearer ${ada.token}`

describe('hosts', () => {
  test('[FR-041] a host that a pattern names is served, with its own Host and port upstream', async () => {
    const { status, seen } = await ask('api.test', '/x?y=1')
    expect(status).toBe(200)
    expect(seen).toMatchObject({ server: 'first', url: '/x?y=1' })
    expect(seen.headers.host).toBe(`api.test:${port}`)
    expect(seen.headers['x-forwarded-host']).toBe(`api.test:${port}`)
    expect((await ask('acme.tenant.test', '/x')).status).toBe(200)
  })

  test('[FR-041] a host that nobody named is 421, an odd label or a deeper name beneath a wildcard too', async () => {
    for (const host of ['other.test', 'tenant.test', 'a.b.tenant.test', 'a,b.tenant.test', '-a.tenant.test']) {
      expect((await ask(host, '/x')).status, host).toBe(421)
      expect((await upgrade(host, '/x')).status, host).toBe(421)
    }
  })

  test('[FR-041] on another host the session cookie is nobody’s, and stays here all the same', async () => {
    const there = await ask('localhost', '/x', [cookie()])
    expect(there.seen.headers['x-forwarded-user']).toBe(ada.id)
    const here = await ask('api.test', '/x', [cookie()])
    expect(here.seen.headers['x-forwarded-user']).toBeUndefined()
    expect(here.seen.headers.cookie).toBe('theirs=kept')
    expect((await ask('api.test', '/private/x', [cookie()])).status).toBe(401)
    expect((await upgrade('api.test', '/ws', [cookie(), `Origin: ${gateway.origin}`])).status).toBe(401)
  })

  test('[FR-041] a token is good on every host', async () => {
    expect((await ask('api.test', '/private/x', [bearer()])).seen.headers['x-forwarded-user']).toBe(ada.id)
    expect((await upgrade('api.test', '/ws', [bearer()])).seen?.headers['x-forwarded-user']).toBe(ada.id)
  })

  test('[FR-041] a browser is sent to sign in on the origin, and told 401 elsewhere', async () => {
    const browser = ['Sec-Fetch-Mode: navigate', 'Accept: text/html']
    expect((await ask('localhost', '/account', browser)).status).toBe(302)
    const elsewhere = await ask('api.test', '/private/x', browser)
    expect(elsewhere.status).toBe(401)
    expect(elsewhere.headers.has('location')).toBe(false)
    expect(elsewhere.body).toContain(`${gateway.origin}/_postern/problems/`)
  })

  test('[FR-041] our own paths are served on the origin, and are the upstream’s on another host', async () => {
    const page = await ask('localhost', '/_postern/sign-in').catch((error: unknown) => String(error))
    expect(page).not.toHaveProperty('seen.server')
    expect((await ask('api.test', '/api/auth/ok')).seen.server).toBe('first')
    expect((await ask('api.test', '/_postern/sign-in')).seen.url).toBe('/_postern/sign-in')
  })
})

describe('rewrites', () => {
  const rows = [
    ['/api', '/v2'],
    ['/api/', '/v2/'],
    ['/api/books?q=1', '/v2/books?q=1'],
    ['/%61pi/books', '/v2/books'],
    ['/cut', '/'],
    ['/cut/a', '/a'],
  ] as const
  for (const [target, expected] of rows) {
    test(`[FR-041] ${target} is ${expected} to the upstream`, async () => {
      expect((await ask('localhost', target)).seen.url).toBe(expected)
    })
  }

  test('[FR-041] what is left never begins with two slashes', async () => {
    const { status, problem } = await ask('localhost', '/cut//evil.test/x')
    expect(status).toBe(400)
    expect(problem.code).toBe('ambiguous-target')
  })

  test('[FR-041] the log names the path that was asked for', async () => {
    await ask('localhost', '/api/logged')
    expect(await gateway.recordOf(({ path }) => path === '/api/logged')).toMatchObject({
      route: '/api/**',
      status: 200,
    })
  })
})

describe('encoded slashes', () => {
  test('[FR-041] they are forwarded as they came where the route keeps them', async () => {
    for (const target of ['/projects/group%2Fproject/files', '/projects/group%2fproject']) {
      expect((await ask('localhost', target)).seen.url).toBe(target)
    }
  })

  test('[FR-041] a condition sees the slash in the parameter', async () => {
    expect((await ask('localhost', '/projects/group%2Fproject', [bearer()], 'DELETE')).status).toBe(200)
    expect((await ask('localhost', '/projects/group%2Fother', [bearer()], 'DELETE')).status).toBe(403)
  })

  test('[FR-041] elsewhere they are 400, listed or not', async () => {
    for (const target of ['/a%2Fb', '/account%2F', '/api/auth/a%2Fb', '/projects%2Fx', '/projects/..%2Fx']) {
      expect((await ask('localhost', target)).problem.code, target).toBe('malformed-target')
    }
    expect((await ask('localhost', '/projects/a%252Fb')).problem.code).toBe('ambiguous-target')
  })
})

describe('several servers', () => {
  test('[FR-041] each gets its share of requests and of WebSockets', async () => {
    const turns: string[] = []
    for (let turn = 0; turn < 40; turn += 1) turns.push((await ask('localhost', '/fleet/x')).seen.server)
    for (let turn = 0; turn < 40; turn += 1) turns.push((await upgrade('localhost', '/fleet/ws')).seen?.server ?? '')
    // Drawn, one to two: anything else comes once in millions of runs.
    const count = turns.filter((server) => server === 'first').length
    expect(count).toBeGreaterThan(3)
    expect(count).toBeLessThan(54)
    expect(new Set(turns.slice(0, 40))).toEqual(new Set(['first', 'second']))
    expect(new Set(turns.slice(40))).toEqual(new Set(['first', 'second']))
  })

  test('[FR-041] `host: upstream` is the name of the server that is asked', async () => {
    const { headers } = (await ask('localhost', '/api/x')).seen
    expect(headers.host).toBe(`127.0.0.1:${(servers[1]!.address() as AddressInfo).port}`)
  })
})
