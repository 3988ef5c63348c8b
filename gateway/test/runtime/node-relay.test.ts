/** The relay on Node against an upstream that misbehaves on command, seen as bytes from both ends. */

import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { OPEN_POLICY, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { exchangeRaw, isWhole, parseAnswer, rawClient } from '../support/raw.ts'
import { until } from '../support/until.ts'

let upstream: Upstream
let gateway: TestGateway
let host: string
/** In front of an upstream that sends early hints (RFC 8297) before its answer. */
let early: TestGateway
let hinting: Server

beforeAll(async () => {
  upstream = await startUpstream({ faults: true, record: true })
  gateway = await startTestGateway({
    policy: `${OPEN_POLICY}  /small: { to: up, access: public, body: 1KiB }\n  /upload: { to: up, access: public, body: 64MiB }\n`,
    upstreamUrl: upstream.url,
  })
  host = new URL(gateway.origin).host
  hinting = createServer((socket) => {
    socket
      .on('error', () => {})
      .once('data', () => {
        socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Forwarded-User: early\r\n\r\n')
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal')
      })
  })
  await new Promise<void>((resolve) => hinting.listen(0, '127.0.0.1', resolve))
  const { port } = hinting.address() as AddressInfo
  early = await startTestGateway({ policy: OPEN_POLICY, upstreamUrl: `http://127.0.0.1:${port}` })
})

afterAll(async () => {
  await gateway?.close()
  await early?.close()
  await upstream?.close()
  hinting?.close()
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

  test('[FR-016] HEAD has the head of GET and no body', async () => {
    const answer = parseAnswer(await exchangeRaw(gateway.url, last('/api/health').replace('GET', 'HEAD')))
    expect(answer.status).toBe(200)
    expect(Number(answer.headers.get('content-length')?.[0])).toBeGreaterThan(0)
    expect(answer.body).toBe('')
  })

  for (const code of [204, 304]) {
    test(`[FR-016] a ${code} ends with its head, and the connection serves the next request`, async () => {
      const client = await rawClient(gateway.url)
      client.send(get(`/faults/status?code=${code}`))
      await client.until((text) => text.includes('\r\n\r\n'))
      client.send(last('/api/health'))
      const text = await client.closed()
      expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual([`HTTP/1.1 ${code}`, 'HTTP/1.1 200'])
      expect(text.slice(0, text.lastIndexOf('HTTP/1.1'))).not.toMatch(/transfer-encoding|content-length: [1-9]/i)
    })
  }

  test('[FR-016] large bodies arrive byte for byte, with and without a length', async () => {
    for (const more of ['', '&chunked']) {
      const response = await fetch(`${gateway.origin}/faults/big?bytes=5000000${more}`)
      const bytes = Buffer.from(await response.arrayBuffer())
      expect(bytes.length).toBe(5_000_000)
      expect(bytes.every((byte) => byte === 0x78)).toBe(true)
    }
  })

  test('[FR-016] an interim answer is not passed on, and cannot carry fields around the policy', async () => {
    const text = await exchangeRaw(early.origin, last('/').replace(host, new URL(early.origin).host))
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200'])
    expect(text).not.toMatch(/link|x-forwarded-user/i)
    expect(parseAnswer(text).body).toBe('final')
  })

  test('[FR-006] trailers of an upstream are dropped: they have passed no policy', async () => {
    const text = await exchangeRaw(gateway.url, last('/faults/trailers'))
    expect(text).toContain('body')
    expect(text).not.toMatch(/x-checksum|evil|^trailer/im)
  })

  test('[FR-006] what a hostile upstream sets on our origin is gone, and its own cookie stays', async () => {
    const answer = parseAnswer(await exchangeRaw(gateway.url, last('/faults/set-cookie')))
    expect(answer.headers.get('set-cookie')).toEqual(['books=kept; Path=/'])
    for (const name of ['clear-site-data', 'alt-svc', 'nel', 'report-to', 'service-worker-allowed', 'x-secret-hop']) {
      expect(answer.headers.has(name), name).toBe(false)
    }
    expect(answer.headers.get('x-request-id')).not.toEqual(['evil'])
  })

  test('[FR-016] an upstream of HTTP/1.0 that ends its body with the connection is understood', async () => {
    const text = await exchangeRaw(gateway.url, last('/faults/http10'))
    expect(text).toContain('old manners')
    expect(text.endsWith('0\r\n\r\n')).toBe(true)
  })

  test('[FR-016] a client of HTTP/1.0 gets no chunks, and the end of the connection ends the body', async () => {
    const text = await exchangeRaw(gateway.url, `GET /faults/big?bytes=1000&chunked HTTP/1.0\r\nHost: ${host}\r\n\r\n`)
    const answer = parseAnswer(text)
    expect(answer.headers.has('transfer-encoding')).toBe(false)
    expect(answer.body).toBe('x'.repeat(1000))
  })

  test('[FR-018] the first event arrives while the upstream is still sending', async () => {
    const client = await rawClient(gateway.url)
    client.send(get('/api/chat'))
    await client.until((text) => text.includes('id: 1'))
    expect(client.received()).not.toContain('event: done')
    await client.until((text) => text.includes('event: done'))
    client.close()
  })

  test('[FR-018] a head leaves before its body exists', async () => {
    const client = await rawClient(gateway.url)
    client.send(get('/faults/slow-body?gapMs=60000&chunks=1'))
    const text = await client.until((received) => received.includes('\r\n\r\n'))
    expect(parseAnswer(text)).toMatchObject({ status: 200, body: '' })
    client.close()
  })
})

describe('failures', () => {
  for (const [target, status, code] of [
    ['/faults/garbage', 502, 'upstream-protocol-error'],
    ['/faults/wrong-length?kind=two', 502, 'upstream-protocol-error'],
    ['/faults/wrong-length?kind=both', 502, 'upstream-protocol-error'],
    ['/faults/wrong-length?kind=negative', 502, 'upstream-protocol-error'],
    ['/faults/1xx', 502, 'upstream-protocol-error'], // a 100 that nobody asked for
    ['/faults/headers?bytes=200000', 502, 'upstream-protocol-error'],
    ['/faults/close', 502, 'upstream-unreachable'],
    ['/faults/close?reset', 502, 'upstream-unreachable'],
    ['/faults/never', 504, 'upstream-timeout'],
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

  test('[FR-016] a torn answer to an HTTP/1.0 client ends in a reset, for a close would look like the end', async () => {
    const client = await rawClient(gateway.url)
    client.send(`GET /faults/torn-chunked HTTP/1.0\r\nHost: ${host}\r\n\r\n`)
    await client.closed()
    await until(() => client.isReset(), 'a reset')
  })

  test('[FR-016] more bytes than promised do not become the next answer', async () => {
    const client = await rawClient(gateway.url)
    client.send(get('/faults/wrong-length?kind=short'))
    await client.until((text) => text.endsWith('hello'))
    client.send(last('/api/health'))
    const text = await client.closed()
    expect(text).not.toContain('more than was promised')
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200'])
  })

  test('[FR-016] what an upstream sends behind a 205 does not become the next answer', async () => {
    const client = await rawClient(gateway.url)
    client.send(get('/faults/status?code=205'))
    await client.until((text) => text.includes('\r\n\r\n'))
    client.send(last('/api/health'))
    const text = await client.closed()
    expect(text).not.toContain('"status":205')
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 205', 'HTTP/1.1 200'])
  })

  test('[FR-004] no refusal overtakes an answer that is due first', async () => {
    const connect = `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
    expect(await exchangeRaw(gateway.url, get('/faults/slow-head?ms=200') + connect)).toBe('')
    const text = await exchangeRaw(gateway.url, `${get('/api/health', 'Expect: x\r\n')}no request\r\n\r\n`)
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 417'])
  })

  test('[FR-016] a connection that died unused costs a GET one quiet second try, and a POST none', async () => {
    await exchangeRaw(gateway.url, last('/faults/close'))
    expect(received().match(/GET \/faults\/close /g)).toHaveLength(2)
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

  test('[FR-005] request trailers never reach the upstream', async () => {
    const trailers = 'X-Forwarded-User: forged\r\nX_Forwarded_User: forged\r\nX-Postern-Assertion: forged\r\n'
    const body = `4\r\nbody\r\n0\r\n${trailers}\r\n`
    const text = await exchangeRaw(
      gateway.url,
      post('/upload', 'Trailer: X-Forwarded-User\r\nTransfer-Encoding: chunked', body),
    )
    expect(parseAnswer(text).status).toBe(200)
    expect(received()).not.toMatch(/forged|^trailer/im)
  })

  test('[FR-016] a declared body that is too long is 413 before the upstream hears of it', async () => {
    const answer = parseAnswer(await exchangeRaw(gateway.url, post('/small', 'Content-Length: 2000', 'x'.repeat(2000))))
    expect(answer.status).toBe(413)
    expect(received()).toBe('')
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

  test('[FR-016] a client that breaks off its body leaves no complete request behind', async () => {
    const client = await rawClient(gateway.url)
    client.send(post('/upload', 'Transfer-Encoding: chunked', `5\r\nwhole\r\n`))
    await until(() => received().includes('whole'), 'the first chunk arrives')
    client.close()
    await gateway.recordOf(({ path, isAborted }) => path === '/upload' && isAborted)
    expect(received()).not.toMatch(/\r\n0\r\n\r\n/)
  })

  test('[FR-016] an upstream that answers early is heard while the upload goes on', async () => {
    const client = await rawClient(gateway.url)
    client.send(
      `POST /faults/early?status=403 HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 900000\r\n\r\n${'x'.repeat(1000)}`,
    )
    const text = await client.until((received) => received.includes('early'))
    expect(parseAnswer(text).status).toBe(403)
    client.close()
  })

  test('[FR-016] a stalled upload is ended by the time-out of its route', async () => {
    const client = await rawClient(gateway.url)
    client.send(`POST /api/books HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 900\r\n\r\nx`)
    expect(parseAnswer(await client.until(isWhole)).status).toBe(408)
    client.close()
  })

  test('[FR-016] 100 Continue comes from us, once, and only to a request that may go on', async () => {
    const client = await rawClient(gateway.url)
    const head = (target: string) =>
      `POST ${target} HTTP/1.1\r\nHost: ${host}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`
    client.send(head('/upload'))
    await client.until((text) => text.includes('100 Continue\r\n\r\n'))
    client.send('body')
    const text = await client.until((received) => received.includes('"bytes":4'))
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 100', 'HTTP/1.1 200'])
    expect(received()).not.toMatch(/expect/i)
    client.close()
    const refused = await exchangeRaw(gateway.url, head('/small').replace('Content-Length: 4', 'Content-Length: 4000'))
    expect(refused.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 413'])
  })

  test('[FR-004] any other expectation is 417', async () => {
    const answer = parseAnswer(
      await exchangeRaw(gateway.url, get('/upload', 'Expect: the-unexpected\r\nConnection: close\r\n')),
    )
    expect(answer.status).toBe(417)
    expect(received()).toBe('')
  })
})
