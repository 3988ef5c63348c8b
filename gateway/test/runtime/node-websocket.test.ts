/** WebSocket through the gateway as bytes from both ends: decided first, rewritten whole, and silent until the upstream's 101. */

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import WebSocket from 'ws'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { exchangeRaw, parseAnswer, rawClient } from '../support/raw.ts'
import { until } from '../support/until.ts'

const POLICY = `
version: 1
origin: ORIGIN
login: { allowUnverifiedEmail: true }
upstreams:
  up: { url: UPSTREAM }
  gone: { url: "http://127.0.0.1:GONE" }
defaults: { timeout: 2s }
routes:
  /**: { to: up, access: public }
  /ws: { to: up, access: login }
  /gone: { to: gone, access: public }
  /faults/login/**: { to: up, access: login }
`
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
/** A masked text frame that says "early". */
const FRAME = Buffer.from([0x81, 0x85, 1, 2, 3, 4, 0x65 ^ 1, 0x61 ^ 2, 0x72 ^ 3, 0x6c ^ 4, 0x79 ^ 1])

let upstream: Upstream
let gateway: TestGateway
let ada: SignedIn
let host: string

beforeAll(async () => {
  upstream = await startUpstream({ faults: true, record: true })
  const policy = POLICY.replace('GONE', String(await freePort()))
  gateway = await startTestGateway({ policy, upstreamUrl: upstream.url })
  ada = await signIn(gateway, 'ada@example.com', ['reader'])
  host = new URL(gateway.origin).host
})

afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

beforeEach(() => upstream.forget())

const received = () =>
  upstream
    .recordings()
    .map((bytes) => bytes.toString('latin1'))
    .join('')

function handshake(target: string, more: readonly string[] = []): string {
  const lines = [
    `GET ${target} HTTP/1.1`,
    `Host: ${host}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${KEY}`,
    ...more,
  ]
  return `${lines.join('\r\n')}\r\n\r\n`
}

const byToken = () => [`Authorization: Bearer ${ada.token}`]

test('[FR-017] an ordinary client talks to an ordinary server: text, binary, ping and close', async () => {
  const socket = new WebSocket(`${gateway.origin.replace('http', 'ws')}/ws`, {
    headers: { cookie: ada.cookie, origin: gateway.origin },
  })
  const echoes: string[] = []
  socket.on('message', (data, isBinary) => echoes.push(`${isBinary}:${data}`))
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  socket.send('hello')
  socket.send(Buffer.from('bytes'))
  socket.send('x'.repeat(100_000))
  let pongs = 0
  socket.on('pong', () => (pongs += 1))
  socket.ping()
  await until(() => echoes.length === 3 && pongs === 1, 'three echoes and a pong')
  expect(echoes).toEqual(['false:hello', 'true:bytes', `false:${'x'.repeat(100_000)}`])
  const closed = new Promise<number>((resolve) => socket.once('close', resolve))
  socket.close(1000)
  expect(await closed).toBe(1000)
  const record = await gateway.recordOf(({ path }) => path === '/ws')
  expect(record).toMatchObject({ status: 101, subject: ada.id, upstream: 'up', isAborted: false })
})

test('[FR-017] the upstream sees the head of the plan and nothing else of the client’s', async () => {
  const client = await rawClient(gateway.url)
  const forged = [
    `Origin: ${gateway.origin}`,
    'X-Forwarded-User: forged-1',
    'X_Forwarded_User: forged-2',
    'x-forwarded-USER: forged-3',
    'X-Postern-Assertion: forged-4',
    'Remote-User: forged-5',
    'Proxy-Authorization: Basic forged-6',
    'Expect: 100-continue',
    'Keep-Alive: timeout=7',
    'Forwarded: for=forged-8',
    'X-Hop: forged-9',
    'Cookie: postern.session_token=forged-10; theirs=kept',
  ]
  const request = handshake('/faults/ws-late?ms=0', forged).replace(
    'Connection: Upgrade',
    'Connection: Upgrade, X-Hop, X-Forwarded-User',
  )
  client.send(request)
  await client.until((text) => text.includes(' 101 '))
  expect(received()).not.toMatch(/forged|expect|keep-alive|proxy-authorization|x-hop/i)
  expect(received()).toMatch(/^cookie: theirs=kept\r$/im)
  expect(received()).toMatch(/^connection: upgrade\r$/im)
  expect(received()).toMatch(/^upgrade: websocket\r$/im)
  expect(received().match(/^x-forwarded-for:/gim)).toHaveLength(1)
  client.close()
})

test('[FR-017] identity is written on an upgrade as on any request, and the credential stays here', async () => {
  const client = await rawClient(gateway.url)
  client.send(handshake('/ws', byToken()))
  await client.until((text) => text.includes(' 101 '))
  expect(received()).toContain(`x-forwarded-user: ${ada.id}\r\n`)
  expect(received()).toMatch(/x-postern-assertion: ey/)
  expect(received()).not.toMatch(/authorization|bearer/i)
  client.close()
})

test('[FR-017] no frame leaves before the 101, and none is lost', async () => {
  const client = await rawClient(gateway.url)
  client.send(Buffer.concat([Buffer.from(handshake('/ws', byToken())), FRAME]))
  await client.until((text) => text.includes('early'))
  client.close()
  upstream.forget()
  const late = await rawClient(gateway.url)
  late.send(Buffer.concat([Buffer.from(handshake('/faults/ws-late?ms=300')), FRAME]))
  await until(() => received().includes('\r\n\r\n'), 'the upstream has the whole head')
  late.send(FRAME)
  expect(late.received()).toBe('')
  expect(received().endsWith('\r\n\r\n'), 'nothing behind the head').toBe(true)
  await late.until((text) => text.includes(' 101 '))
  const both = Buffer.concat([FRAME, FRAME]).toString('latin1')
  await until(() => received().endsWith(`\r\n\r\n${both}`), 'both frames arrive behind the head')
  late.close()
})

test('[FR-017] nothing of a client’s frames reaches an upstream that never accepts', async () => {
  const client = await rawClient(gateway.url)
  client.send(Buffer.concat([Buffer.from(handshake('/faults/never')), FRAME]))
  const answer = parseAnswer(await client.closed())
  expect(answer.status).toBe(504)
  expect(JSON.parse(answer.body).code).toBe('upstream-first-byte-timeout')
  expect(received().endsWith('\r\n\r\n')).toBe(true)
})

test('[FR-006] the head of the 101 is filtered like any answer', async () => {
  const client = await rawClient(gateway.url)
  client.send(handshake('/faults/ws-wrong'))
  const answer = parseAnswer(await client.until((text) => text.includes('\r\n\r\n')))
  expect(answer.status).toBe(101)
  expect(answer.headers.get('set-cookie')).toEqual(['books=kept; Path=/'])
  expect(answer.head).not.toMatch(/evil|clear-site-data|service-worker/i)
  expect(answer.headers.get('connection')).toEqual(['Upgrade'])
  client.close()
})

test('[FR-006] an upstream’s refusal of the upgrade is passed on, filtered, and the connection ends', async () => {
  const answer = parseAnswer(await exchangeRaw(gateway.url, handshake('/faults/ws-refuse?status=403')))
  expect(answer.status).toBe(403)
  expect(answer.headers.get('set-cookie')).toEqual(['books=kept; Path=/'])
  expect(answer.head).not.toMatch(/evil|clear-site-data/i)
  expect(answer.headers.get('connection')).toEqual(['close'])
})

for (const [title, target, more, status, code] of [
  ['nobody', '/ws', [], 401, 'login-required'],
  ['a bad token', '/ws', ['Authorization: Bearer nonsense'], 401, 'invalid-token'],
  [
    'two credentials of one kind',
    '/ws',
    ['Authorization: Bearer a', 'Authorization: Bearer b'],
    400,
    'ambiguous-credentials',
  ],
  ['another host', '/ws', ['Host: evil.example'], 400, 'bad-request'],
  ['a body', '/faults/ws-late?ms=0', ['Content-Length: 4'], 400, 'bad-request'],
  ['a chunked body', '/faults/ws-late?ms=0', ['Transfer-Encoding: chunked'], 400, 'bad-request'],
  ['a path trick', '/public/..%2fws', [], 400, 'malformed-target'],
  ['another spelling of the path', '/WS', [], 400, 'ambiguous-target'],
  ['one of our own paths', '/_postern/account', [], 404, 'not-found'],
] as const) {
  test(`[FR-017] ${title}: refused before the upgrade, and the upstream hears nothing`, async () => {
    const answer = parseAnswer(await exchangeRaw(gateway.url, handshake(target, more)))
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toEqual(['application/problem+json'])
    expect(JSON.parse(answer.body).code).toBe(code)
    expect(received()).toBe('')
  })
}

test('[FR-017] a 101 never overtakes an answer that is due first: the upgrade is then not granted', async () => {
  const before = `GET /faults/slow-head?ms=200 HTTP/1.1\r\nHost: ${host}\r\n\r\n`
  const text = await exchangeRaw(gateway.url, before + handshake('/faults/ws-late?ms=0'))
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 404'])
})

test('[FR-012] a cookie from another site opens no socket', async () => {
  for (const evidence of [['Origin: https://evil.example'], ['Sec-Fetch-Site: cross-site'], []]) {
    const answer = parseAnswer(await exchangeRaw(gateway.url, handshake('/ws', [`Cookie: ${ada.cookie}`, ...evidence])))
    expect(answer.status).toBe(403)
    expect(JSON.parse(answer.body).code).toBe('cross-site-request')
    expect(received()).toBe('')
  }
})

for (const [target, status, code] of [
  ['/faults/close', 502, 'upstream-unreachable'],
  ['/gone', 502, 'upstream-unreachable'],
] as const) {
  test(`[FR-019] ${target}: an upstream that fails is a problem ${status} that names no host`, async () => {
    const answer = parseAnswer(await exchangeRaw(gateway.url, handshake(target)))
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.body).code).toBe(code)
    expect(answer.body).not.toMatch(/127\.0\.0\.1|ECONN/)
  })
}

test('[FR-017] each side’s end is the other’s', async () => {
  const before = upstream.connections()
  const client = await rawClient(gateway.url)
  client.send(handshake('/ws', byToken()))
  await client.until((text) => text.includes(' 101 '))
  expect(upstream.connections()).toBe(before + 1)
  client.close()
  await until(() => upstream.connections() === before, 'the upstream’s side ends')
  const torn = await rawClient(gateway.url)
  torn.send(handshake('/faults/ws-torn'))
  expect(await torn.closed()).toContain(' 101 ')
})

test('[FR-017] a client that has gone is let go, also by an upstream that never hangs up', async () => {
  const client = await rawClient(gateway.url)
  client.send(handshake('/faults/ws-late?ms=0'))
  const { headers } = parseAnswer(await client.until((text) => text.includes('\r\n\r\n')))
  client.close()
  const record = await gateway.recordOf(({ requestId }) => requestId === headers.get('x-request-id')?.[0])
  expect(record.status).toBe(101)
})
