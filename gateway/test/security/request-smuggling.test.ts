/**
 * CWE-444: bytes that two parsers could read as different requests. Whatever they are, the upstream sees at most what was decided.
 * How each framing is refused stands in the table of HTTP (scenario/http/refused-rows.ts).
 */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'
import { exchangeRaw, isWhole, parseAnswer, rawClient } from '../support/raw.ts'
import { until } from '../support/until.ts'

const POLICY = `
version: 1
origin: ORIGIN
upstreams:
  up: { url: UPSTREAM, assertion: false }
defaults: { body: 1MiB, timeout: 2s }
routes:
  /**: { to: up, access: public }
  /api/admin/**: { to: up, access: login }
`
const SMUGGLED = 'GET /api/admin/stats HTTP/1.1\r\nHost: smuggled\r\n\r\n'

let upstream: Upstream
let gateway: TestGateway
let host: string

beforeAll(async () => {
  upstream = await startUpstream({ faults: true, record: true })
  gateway = await startTestGateway({ policy: POLICY, upstreamUrl: upstream.url })
  host = new URL(gateway.origin).host
})

afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

beforeEach(() => upstream.forget())

const received = () => upstream.recordings().map(String).join('')

/** Every answer's status that came back on one connection. */
const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((found) => Number(found[1]))

describe('framing', () => {
  test('[FR-004] a Host with a path is not a host of ours', async () => {
    const client = await rawClient(gateway.url)
    client.send(`GET /api/health HTTP/1.1\r\nHost: ${host}/x\r\n\r\n`)
    expect(parseAnswer(await client.until(isWhole)).status).toBe(421)
    expect(received()).toBe('')
    client.close()
  })

  test('[FR-004] two spaces in the request line are one, and leave as one', async () => {
    const client = await rawClient(gateway.url)
    client.send(`GET  /api/health HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    expect(parseAnswer(await client.until(isWhole)).status).toBe(200)
    expect(received()).toMatch(/^GET \/api\/health HTTP\/1\.1\r\n/)
    client.close()
  })

  test('[FR-004] a refused request ends nothing but itself: its body is not the next request', async () => {
    const client = await rawClient(gateway.url)
    client.send(
      `POST /api/admin/stats HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}` +
        `GET /api/health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    )
    expect(statuses(await client.closed())).toEqual([401, 200])
    expect(received()).not.toContain('smuggled')
  })

  test('[FR-004] pipelined requests are decided each by itself and answered in order', async () => {
    const one = (target: string, more = '') => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`
    const text = await exchangeRaw(
      gateway.url,
      one('/api/admin/stats') +
        one('/faults/slow-head?ms=50') +
        one('/api/%2e%2e/x') +
        one('/api/health', 'Connection: close\r\n'),
    )
    expect(statuses(text)).toEqual([401, 200, 400, 200])
    expect(received()).not.toContain('/api/admin')
  })

  test('[FR-004] garbage behind a whole request does not take the place of its answer', async () => {
    const text = await exchangeRaw(
      gateway.url,
      `GET /faults/slow-head?ms=50 HTTP/1.1\r\nHost: ${host}\r\n\r\n\0garbage\r\n\r\n`,
    )
    expect(statuses(text)).toEqual([200])
    expect(text).toContain('late')
  })
})

test('[FR-004] garbage on a connection that has been answered is a 400 of its own', async () => {
  const client = await rawClient(gateway.url)
  client.send(`GET /api/health HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  await client.until(isWhole)
  client.send('\0garbage\r\n\r\n')
  expect(statuses(await client.closed())).toEqual([200, 400])
})

describe('limits', () => {
  test('[FR-004] a head beyond 32 KiB is 431', async () => {
    const answer = parseAnswer(
      await exchangeRaw(gateway.url, `GET / HTTP/1.1\r\nHost: ${host}\r\nX-A: ${'x'.repeat(40_000)}\r\n\r\n`),
    )
    expect(answer.status).toBe(431)
    expect(JSON.parse(answer.body).code).toBe('headers-too-large')
  })

  test('[FR-004] too many field lines are 431, and none is dropped in silence', async () => {
    const lines = Array.from({ length: 3000 }, (_, at) => `a${at}:`).join('\r\n')
    const client = await rawClient(gateway.url)
    client.send(`GET /api/health HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n\r\n`)
    expect(parseAnswer(await client.until(isWhole)).status).toBe(431)
    expect(received()).toBe('')
    client.close()
  })

  test('[FR-004] a second Authorization behind hundreds of field lines is seen', async () => {
    const lines = Array.from({ length: 200 }, (_, at) => `X-${at}: y`).join('\r\n')
    const client = await rawClient(gateway.url)
    client.send(
      `GET /api/health HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer a\r\n${lines}\r\nAuthorization: Bearer b\r\n\r\n`,
    )
    expect(JSON.parse(parseAnswer(await client.until(isWhole)).body).code).toBe('ambiguous-credentials')
    client.close()
  })
})

describe('other protocols', () => {
  test('[FR-004] CONNECT is 405 and opens nothing', async () => {
    const text = await exchangeRaw(gateway.url, `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n${SMUGGLED}`)
    expect(statuses(text)).toEqual([405])
    expect(received()).toBe('')
  })

  test('[FR-004] TRACE is 405 and echoes nothing', async () => {
    const text = await exchangeRaw(
      gateway.url,
      `TRACE / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nX-Secret: s\r\n\r\n`,
    )
    expect(statuses(text)).toEqual([405])
    expect(text).not.toContain('X-Secret')
  })

  for (const upgrade of ['h2c', 'h2c, websocket', 'websocket, h2c', 'TLS/1.0']) {
    test(`[FR-017] Upgrade: ${upgrade} is the plain request that it also is`, async () => {
      const lines = `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: ${upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n`
      const text = await exchangeRaw(gateway.url, `GET /api/health HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`)
      expect(statuses(text)).toEqual([200])
      expect(parseAnswer(text).headers.get('connection')).toEqual(['close'])
      expect(received()).not.toMatch(/upgrade|http2-settings/i)
    })
  }

  test('[FR-004] what is pipelined behind a declined upgrade is never read from its middle', async () => {
    const client = await rawClient(gateway.url)
    const declined = `GET /faults/slow-head?ms=100 HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`
    client.send(`${declined}POST /api/books HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 99\r\n\r\n`)
    await until(() => received().includes('/faults/slow-head'), 'the first request is on its way')
    client.send(`GET /api/health HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    expect(statuses(await client.closed())).toEqual([200])
    expect(received()).not.toContain('/api/')
  })

  test('[FR-017] a POST that asks for WebSocket is a plain POST, body and all', async () => {
    const client = await rawClient(gateway.url)
    client.send(
      `POST /upload HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nbody`,
    )
    expect(parseAnswer(await client.until(isWhole)).body).toContain('"bytes":4')
    expect(received()).not.toMatch(/upgrade/i)
    client.close()
  })
})
