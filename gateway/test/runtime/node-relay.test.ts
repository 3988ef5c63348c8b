/** The relay on Node against an upstream that misbehaves on command: what the table of HTTP does not ask. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { OPEN_POLICY, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { exchangeRaw, isWhole, parseAnswer, rawClient } from '../support/raw.ts'
import { until } from '../support/until.ts'

let upstream: Upstream
let gateway: TestGateway
let host: string

beforeAll(async () => {
  upstream = await startUpstream({ faults: true, record: true })
  gateway = await startTestGateway({
    policy: `${OPEN_POLICY}  /small: { to: up, access: public, body: 1KiB }\n  /upload: { to: up, access: public, body: 64MiB }\n`,
    upstreamUrl: upstream.url,
  })
  host = new URL(gateway.origin).host
})

afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

beforeEach(() => upstream.forget())

const received = () => upstream.recordings().map(String).join('')
const get = (target: string, more = '') => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`
const last = (target: string) => get(target, 'Connection: close\r\n')

describe('answers', () => {
  test('[FR-016] an answer comes through whole, with its own length and our request id', async () => {
    const answer = parseAnswer(await exchangeRaw(gateway.url, last('/api/health')))
    expect(answer.status).toBe(200)
    expect(answer.body).toBe('{"status":"ok"}\n'.slice(0, Number(answer.headers.get('content-length')?.[0])))
    expect(answer.headers.get('x-request-id')).toHaveLength(1)
    expect(answer.headers.has('transfer-encoding')).toBe(false)
  })

  test('[FR-016] large bodies arrive byte for byte, with and without a length', async () => {
    for (const more of ['', '&chunked']) {
      const response = await fetch(`${gateway.origin}/faults/big?bytes=5000000${more}`)
      const bytes = Buffer.from(await response.arrayBuffer())
      expect(bytes.length).toBe(5_000_000)
      expect(bytes.every((byte) => byte === 0x78)).toBe(true)
    }
  })

  test('[FR-006] what a hostile upstream sets on our origin is gone, and its own cookie stays', async () => {
    const answer = parseAnswer(await exchangeRaw(gateway.url, last('/faults/set-cookie')))
    expect(answer.headers.get('set-cookie')).toEqual(['books=kept; Path=/'])
    for (const name of ['clear-site-data', 'alt-svc', 'nel', 'report-to', 'service-worker-allowed', 'x-secret-hop']) {
      expect(answer.headers.has(name), name).toBe(false)
    }
    expect(answer.headers.get('x-request-id')).not.toEqual(['evil'])
  })

  test('[FR-018] the first event arrives while the upstream is still sending', async () => {
    const client = await rawClient(gateway.url)
    client.send(get('/api/chat'))
    await client.until((text) => text.includes('id: 1'))
    expect(client.received()).not.toContain('event: done')
    await client.until((text) => text.includes('event: done'))
    client.close()
  })
})

describe('failures', () => {
  for (const [target, status, code] of [
    ['/faults/garbage', 502, 'upstream-protocol-error'],
    ['/faults/wrong-length?kind=two', 502, 'upstream-protocol-error'],
    ['/faults/wrong-length?kind=both', 502, 'upstream-protocol-error'],
    ['/faults/wrong-length?kind=negative', 502, 'upstream-protocol-error'],
    ['/faults/headers?bytes=200000', 502, 'upstream-protocol-error'],
    ['/faults/close', 502, 'upstream-unreachable'],
    ['/faults/close?reset', 502, 'upstream-unreachable'],
    ['/faults/never', 504, 'upstream-first-byte-timeout'],
  ] as const) {
    test(`[FR-019] ${target} is a problem ${status} that names no host and shows no stack`, async () => {
      const answer = parseAnswer(await exchangeRaw(gateway.url, last(target)))
      expect(answer.status).toBe(status)
      expect(answer.headers.get('content-type')).toEqual(['application/problem+json'])
      expect(JSON.parse(answer.body)).toMatchObject({ code, status })
      expect(answer.head + answer.body).not.toMatch(new RegExp(`${upstream.port}|\\bat .*\\.ts|ECONN|UND_ERR|HPE_`))
      const record = await gateway.recordOf(({ path }) => path === target.split('?')[0])
      expect(record.upstream).toBe('up')
      expect(record.reason).toMatch(/^upstream\./)
    })
  }

  test('[FR-019] a refused connection is 502, and the gateway goes on', async () => {
    const nobody = await startTestGateway({ policy: OPEN_POLICY, upstreamUrl: `http://127.0.0.1:${await freePort()}` })
    try {
      const response = await fetch(`${nobody.origin}/api/health`)
      expect(response.status).toBe(502)
      expect(await response.json()).toMatchObject({ code: 'upstream-unreachable' })
      const upload = await fetch(`${nobody.origin}/api/books`, { method: 'POST', body: 'x'.repeat(100_000) })
      expect(upload.status).toBe(502)
    } finally {
      await nobody.close()
    }
  })

  for (const target of ['/faults/torn', '/faults/torn?reset', '/faults/torn-chunked']) {
    test(`[FR-016] ${target}: a torn answer tears ours and is never delivered as complete`, async () => {
      const text = await exchangeRaw(gateway.url, last(target))
      const answer = parseAnswer(text)
      expect(answer.status).toBe(200)
      const length = answer.headers.get('content-length')?.[0]
      if (length === undefined) expect(text.endsWith('0\r\n\r\n')).toBe(false)
      else expect(answer.body.length).toBeLessThan(Number(length))
      await expect(fetch(gateway.origin + target).then((response) => response.text())).rejects.toThrow()
      expect((await gateway.recordOf(({ path }) => path === target.split('?')[0])).isAborted).toBe(true)
    })
  }

  test('[FR-004] no refusal overtakes an answer that is due first', async () => {
    const connect = `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
    expect(await exchangeRaw(gateway.url, get('/faults/slow-head?ms=200') + connect)).toBe('')
    const text = await exchangeRaw(gateway.url, `${get('/api/health', 'Expect: x\r\n')}no request\r\n\r\n`)
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 417'])
  })

  test('[FR-016] a connection that died unused costs a GET a quiet second try or two, and a POST none', async () => {
    await exchangeRaw(gateway.url, last('/faults/close'))
    const tries = received().match(/GET \/faults\/close /g)?.length ?? 0
    expect(tries === 2 || tries === 3).toBe(true)
    upstream.forget()
    const post = `POST /faults/close HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`
    expect(parseAnswer(await exchangeRaw(gateway.url, post)).status).toBe(502)
    expect(received().match(/POST \/faults\/close /g)).toHaveLength(1)
  })

  test('[FR-016] a client that leaves cancels the upstream, before its head and during its body', async () => {
    for (const target of ['/faults/never', '/faults/big?bytes=900000000', '/faults/slow-body?gapMs=50&chunks=10000']) {
      const before = upstream.connections()
      const client = await rawClient(gateway.url)
      client.send(get(target))
      await until(() => received().includes(`GET ${target.split('?')[0]}`), 'the upstream sees the request')
      if (!target.includes('never')) await client.until((text) => text.includes('\r\n\r\n'))
      client.close()
      await until(() => upstream.connections() <= before, `the upstream connection of ${target} ends`)
      await gateway.recordOf(({ path, isAborted }) => path === target.split('?')[0] && isAborted)
      upstream.forget()
    }
  })
})

describe('request bodies', () => {
  const post = (target: string, framing: string, body: string) =>
    `POST ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${framing}\r\n\r\n${body}`

  test('[FR-016] a body arrives byte for byte, with a length as a length and in chunks as chunks', async () => {
    const body = 'x'.repeat(300_000)
    const withLength = parseAnswer(
      await exchangeRaw(gateway.url, post('/upload', `Content-Length: ${body.length}`, body)),
    )
    expect(JSON.parse(withLength.body)).toMatchObject({ bytes: 300_000 })
    expect(received()).toMatch(/content-length: 300000\r\n/i)
    upstream.forget()
    const chunks = `186a0\r\n${'x'.repeat(100_000)}\r\n`.repeat(3)
    const chunked = parseAnswer(
      await exchangeRaw(gateway.url, post('/upload', 'Transfer-Encoding: chunked', `${chunks}0\r\n\r\n`)),
    )
    expect(JSON.parse(chunked.body)).toEqual(JSON.parse(withLength.body))
    expect(received()).toMatch(/transfer-encoding: chunked\r\n/i)
    expect(received()).not.toMatch(/content-length/i)
  })

  test('[FR-016] a chunked body that grows too long is 413 and never ends for the upstream', async () => {
    const chunks = `400\r\n${'x'.repeat(1024)}\r\n`.repeat(3)
    const answer = parseAnswer(
      await exchangeRaw(gateway.url, post('/small', 'Transfer-Encoding: chunked', `${chunks}0\r\n\r\n`)),
    )
    expect(answer.status).toBe(413)
    expect(JSON.parse(answer.body).code).toBe('content-too-large')
    expect(received()).not.toMatch(/\r\n0\r\n\r\n/)
  })

  test('[FR-016] a stalled upload is ended by the time-out of its route', async () => {
    const client = await rawClient(gateway.url)
    client.send(`POST /api/books HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 900\r\n\r\nx`)
    expect(parseAnswer(await client.until(isWhole)).status).toBe(408)
    client.close()
  })
})
