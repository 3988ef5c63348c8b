/** HTTP/2 towards clients, on a real gateway with a real certificate: what a request becomes, and how an answer ends. */

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect as connectPlain } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type MadeCertificate, makeCertificate } from '../../test/support/certificates.ts'
import { OPEN_POLICY, startTestGateway, type TestGateway } from '../../test/support/gateway.ts'
import { FRAME, type FrameClient, frame, frameClient, headers, reset } from '../../test/support/h2-frames.ts'
import { type Http2Client, http2Client } from '../../test/support/http2.ts'
import { until } from '../../test/support/until.ts'

const HOST = 'books.test'
const folder = mkdtempSync(join(tmpdir(), 'postern-http2-'))
let made: MadeCertificate
let upstream: Server
let gateway: TestGateway
let client: Http2Client
/** What the upstream does next, and what it saw. */
let serve: (request: IncomingMessage, response: ServerResponse) => void
let seen: IncomingMessage[] = []

beforeAll(async () => {
  made = makeCertificate(folder, 'books', `DNS:${HOST},IP:127.0.0.1`)
  upstream = createServer((request, response) => {
    seen.push(request)
    serve(request, response)
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  gateway = await startTestGateway({
    policy: `${OPEN_POLICY.replace('1MiB', '8MiB').replace('2s', '20s')}
  /closed/**: { to: up, access: login }
tls: { certificate: ${made.certificate}, key: ${made.key} }
store: { secret: "\${env:SECRET}" }
`,
    origin: `https://${HOST}`,
    upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    env: { SECRET: Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString('base64') },
  })
  client = await http2Client(gateway.url, made.cert, HOST)
})

afterAll(async () => {
  client?.close()
  await gateway?.close()
  upstream?.closeAllConnections()
  upstream?.close()
  rmSync(folder, { recursive: true, force: true })
})

beforeEach(() => {
  seen = []
  serve = (_request, response) => response.end('fine')
})

const pseudo = (method: string, path: string, authority = HOST, scheme = 'https') => {
  return [':method', method, ':scheme', scheme, ':authority', authority, ':path', path]
}
const valuesOf = (lines: readonly string[], name: string) => {
  return lines.filter((_, at) => at % 2 === 1 && lines[at - 1]!.toLowerCase() === name)
}
/** Requests of the test before may still arrive. */
const reached = () => seen.map(({ url }) => url).filter((url) => url !== '/short')
const reasonOf = async (path: string) => (await gateway.recordOf((record) => record.path === path)).reason

test('[FR-057] an answer keeps its doubled fields and bears none of the connection', async () => {
  serve = (_request, response) => {
    response.writeHead(200, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Connection', 'close', 'X-Is', 'kept'])
    response.end('fine')
  }
  const { status, lines, body, isWhole } = await client.ask(pseudo('GET', '/fields'), '')
  expect({ status, body, isWhole }).toEqual({ status: 200, body: 'fine', isWhole: true })
  expect(valuesOf(lines, 'set-cookie')).toEqual(['a=1', 'b=2'])
  expect(valuesOf(lines, 'x-is')).toEqual(['kept'])
  expect(valuesOf(lines, 'date')).toHaveLength(1)
  for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'upgrade'])
    expect(valuesOf(lines, name)).toEqual([])
  expect(await gateway.recordOf(({ path }) => path === '/fields')).toMatchObject({ status: 200, isAborted: false })
})

test('[FR-057] crumbs of Cookie are one field, and the authority is the Host', async () => {
  await client.ask([...pseudo('GET', '/crumbs'), 'cookie', 'a=1', 'x-y', 'z', 'cookie', 'b=2'], '')
  expect(valuesOf(seen[0]!.rawHeaders, 'cookie')).toEqual(['a=1; b=2'])
  expect(valuesOf(seen[0]!.rawHeaders, 'host')).toEqual([HOST])
})

test('[FR-057] our session cookie in two crumbs is no session, but a refusal', async () => {
  const name = '__Host-postern.session_token'
  const { status } = await client.ask([...pseudo('GET', '/twice'), 'cookie', `${name}=a`, 'cookie', `${name}=b`], '')
  expect(status).toBe(400)
  expect(seen).toEqual([])
})

const refused = [
  ['a Host that differs from the authority', [...pseudo('GET', '/differs'), 'host', 'admin.test'], 400],
  ['a scheme that is not the connection’s', pseudo('GET', '/scheme', HOST, 'http'), 400],
  ['another authority', pseudo('GET', '/other', 'evil.test'), 421],
  ['TRACE', pseudo('TRACE', '/trace'), 405],
  ['OPTIONS *', pseudo('OPTIONS', '*'), 405],
  ['a path that is not one', pseudo('GET', '/a/../b'), 400],
] as const
for (const [what, fields, expected] of refused) {
  test(`[FR-057] ${what} is refused with ${expected}, and nothing reaches the upstream`, async () => {
    expect((await client.ask(fields, '')).status).toBe(expected)
    expect(seen).toEqual([])
  })
}

test('[FR-057] a Host equal to the authority is one Host', async () => {
  expect((await client.ask([...pseudo('GET', '/same'), 'host', HOST], '')).status).toBe(200)
  expect(valuesOf(seen[0]!.rawHeaders, 'host')).toEqual([HOST])
})

test('[FR-057] bodies go both ways whole, and no faster than they are taken', async () => {
  const large = Buffer.alloc(3_000_000, 'x')
  serve = (request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/plain' })
    request.pipe(response)
  }
  const { stream, answer } = client.open(pseudo('POST', '/echo'))
  stream.end(large)
  const { status, body, isWhole } = await answer
  expect({ status, length: body.length, isWhole }).toEqual({ status: 200, length: large.length, isWhole: true })
  expect(valuesOf(seen[0]!.rawHeaders, 'transfer-encoding')).toEqual(['chunked'])
})

test('[FR-057] a length that the client names is the one the upstream gets', async () => {
  await client.ask([...pseudo('PUT', '/length'), 'content-length', '4'], 'four')
  expect(valuesOf(seen[0]!.rawHeaders, 'content-length')).toEqual(['4'])
  expect(valuesOf(seen[0]!.rawHeaders, 'transfer-encoding')).toEqual([])
})

test('[FR-057] a body beyond the limit is 413', async () => {
  serve = (request) => void request.resume()
  const { stream, answer } = client.open(pseudo('POST', '/much'))
  stream.end(Buffer.alloc(9_000_000))
  expect((await answer).status).toBe(413)
})

const bodyless = [
  ['HEAD', '/head', 200, ['Content-Length', '5'], '5'],
  ['GET', '/none', 204, [], undefined],
  ['GET', '/reset', 205, [], '0'],
  ['GET', '/unchanged', 304, ['Content-Length', '7'], '7'],
] as const
for (const [method, path, status, given, length] of bodyless) {
  test(`[FR-057] ${method} ${status} has no body, and ends its stream`, async () => {
    serve = (_request, response) => response.writeHead(status, given as unknown as string[]).end()
    const answer = await client.ask(pseudo(method, path), '')
    expect(answer).toMatchObject({ status, body: '', isWhole: true, rstCode: 0 })
    expect(valuesOf(answer.lines, 'content-length')[0]).toBe(length)
    expect(await gateway.recordOf((record) => record.path === path)).toMatchObject({ status, isAborted: false })
  })
}

test('[FR-057] 100 is answered by us, and only when the request is allowed', async () => {
  serve = (request, response) => request.resume().on('end', () => response.end('got it'))
  const expecting = ['expect', '100-continue', 'content-length', '4']
  const { stream, answer } = client.open([...pseudo('POST', '/allowed'), ...expecting])
  stream.once('continue', () => stream.end('body'))
  expect(await answer).toMatchObject({ status: 200, body: 'got it' })
  expect(valuesOf(seen[0]!.rawHeaders, 'expect')).toEqual([])

  const closed = client.open([...pseudo('POST', '/closed/x'), ...expecting])
  const isAsked = new Promise<boolean>((resolve) => {
    closed.stream.once('continue', () => resolve(true))
    closed.stream.once('response', () => resolve(false))
  })
  expect(await isAsked).toBe(false)
  closed.stream.end('body')
  expect((await closed.answer).status).toBe(401)
  expect(seen).toHaveLength(1)
})

test('[FR-057] an answer that comes during the upload is whole, and the upload ends', async () => {
  serve = (_request, response) => response.end('enough')
  const { stream, answer } = client.open(pseudo('POST', '/early'))
  stream.write('some')
  await new Promise((resolve) => stream.once('response', resolve))
  stream.end()
  expect(await answer).toMatchObject({ status: 200, body: 'enough', isWhole: true })
})

test('[FR-057] trailers pass to a client that takes them', async () => {
  serve = (_request, response) => {
    response.writeHead(200, { Trailer: 'X-Sum' })
    response.write('part')
    response.addTrailers({ 'X-Sum': '42' })
    response.end()
  }
  const taken = await client.ask([...pseudo('GET', '/trailers'), 'te', 'trailers'], '')
  expect(taken).toMatchObject({ body: 'part', isWhole: true, trailers: ['x-sum', '42'] })
  expect(await client.ask(pseudo('GET', '/no-trailers'), '')).toMatchObject({
    body: 'part',
    isWhole: true,
    trailers: [],
  })
})

for (const [what, fields] of [
  ['with a length', { 'Content-Length': '100' }],
  ['without one', {}],
] as const) {
  test(`[FR-057] an answer ${what} that the upstream tears is reset, never ended`, async () => {
    serve = (_request, response) => {
      response.writeHead(200, fields)
      response.write('half', () => setImmediate(() => response.socket!.destroy()))
    }
    const torn = await client.ask(pseudo('GET', `/torn-${what.length}`), '')
    expect(torn).toMatchObject({ status: 200, isWhole: false, rstCode: 2 })
    expect(await reasonOf(`/torn-${what.length}`)).toBe('upstream.terminated')
    expect((await client.ask(pseudo('GET', '/next'), '')).status, 'the connection lives on').toBe(200)
  })
}

test('[FR-057] an answer that HTTP/2 cannot say ends its stream and nothing else', async () => {
  serve = (_request, response) => response.writeHead(777).end('odd')
  expect(await client.ask(pseudo('GET', '/odd'), '')).toMatchObject({ status: 0, isWhole: false, rstCode: 2 })
  serve = (_request, response) => response.end('fine')
  expect((await client.ask(pseudo('GET', '/even'), '')).body).toBe('fine')
  expect(gateway.faults).toEqual([])
})

test('[FR-057] a client that resets its stream cancels the upstream, and its connection lives on', async () => {
  let isCut = false
  serve = (_request, response) => {
    response.write('begin')
    response.on('close', () => {
      isCut = !response.writableFinished
    })
  }
  const { stream, received } = client.open(pseudo('GET', '/left'))
  stream.end()
  await until(() => received() === 'begin', 'the first bytes')
  stream.close(8)
  await until(() => isCut, 'the upstream is told')
  serve = (_request, response) => response.end('fine')
  expect((await client.ask(pseudo('GET', '/after'), '')).body).toBe('fine')
})

for (const code of [0, 8]) {
  test(`[FR-057] an upload that ends in a reset with code ${code} never reads as a whole one`, async () => {
    let end = ''
    serve = (request) => {
      request.on('data', () => {
        end = 'begun'
      })
      request.on('end', () => {
        end = 'whole'
      })
      request.on('error', () => {
        end = 'torn'
      })
    }
    const raw = await frameClient(gateway.url, made.cert, HOST)
    raw.send(headers(1, pseudo('POST', '/upload'), false), frame(FRAME.data, 0, 1, Buffer.from('half')))
    await until(() => end === 'begun', 'the upload begins')
    raw.send(reset(1, code))
    await until(() => end !== 'begun', 'the upload ends')
    expect(end).toBe('torn')
    raw.close()
  })
}

async function withFrames(work: (raw: FrameClient) => Promise<void>): Promise<void> {
  const raw = await frameClient(gateway.url, made.cert, HOST)
  try {
    await work(raw)
  } finally {
    raw.close()
  }
}

const malformed = [
  ['a name in capitals', ['X-Name', 'a']],
  ['Connection', ['connection', 'x-forwarded-user']],
  ['Transfer-Encoding', ['transfer-encoding', 'chunked']],
  ['Upgrade', ['upgrade', 'h2c']],
  ['another TE', ['te', 'gzip']],
  ['a second path', [':path', '/admin']],
  ['a pseudo-field after a field', ['x', 'y', ':authority', 'evil.test']],
  ['an unknown pseudo-field', [':user', 'root']],
] as const
for (const [what, fields] of malformed) {
  test(`[FR-057] a head with ${what} is malformed: its stream is reset and nothing reaches the upstream`, async () => {
    await withFrames(async (raw) => {
      raw.send(headers(1, [...pseudo('GET', '/malformed'), ...fields]))
      const end = await raw.until(({ type, stream }) => type === FRAME.reset && stream === 1)
      expect(end.payload.readUInt32BE()).toBe(1)
      expect(reached()).toEqual([])
    })
  })
}

test('[FR-057] a line break in a value makes no second field', async () => {
  await withFrames(async (raw) => {
    raw.send(headers(1, [...pseudo('GET', '/line'), 'x', 'a\r\nx-forwarded-user: root', 'x-after', 'kept']))
    await raw.until(({ stream }) => stream === 1)
    expect(seen.flatMap(({ rawHeaders }) => rawHeaders).join()).not.toContain('root')
  })
})

test('[FR-057] CONNECT opens no tunnel, extended or not', async () => {
  await withFrames(async (raw) => {
    raw.send(headers(1, [':method', 'CONNECT', ':authority', HOST]))
    raw.send(headers(3, [...pseudo('CONNECT', '/ws'), ':protocol', 'websocket'], false))
    for (const id of [1, 3]) {
      const first = await raw.until(({ type, stream }) => stream === id && type !== FRAME.window)
      expect([FRAME.reset, FRAME.headers]).toContain(first.type)
    }
    expect(reached()).toEqual([])
  })
})

test('[FR-057] a body shorter than its length never reads as a whole one', async () => {
  let isWhole = false
  serve = (request) =>
    void request
      .resume()
      .on('end', () => (isWhole = true))
      .on('error', () => {})
  await withFrames(async (raw) => {
    raw.send(headers(1, [...pseudo('POST', '/short'), 'content-length', '10'], false))
    raw.send(frame(FRAME.data, 1, 1, Buffer.from('half')))
    await raw.until(({ type, stream }) => type === FRAME.reset && stream === 1)
    expect(await gateway.recordOf(({ path }) => path === '/short')).toMatchObject({ status: 499, isAborted: true })
    expect(isWhole).toBe(false)
  })
})

test('[FR-057] too many lines are 431, and a head beyond the limit resets its stream', async () => {
  await withFrames(async (raw) => {
    const lines = Array.from({ length: 280 }, (_, at) => [`x-${at}`, 'y']).flat()
    raw.send(headers(1, [...pseudo('GET', '/lines'), ...lines]))
    const answer = await raw.until(({ type, stream }) => type === FRAME.headers && stream === 1)
    expect(answer.payload.toString('latin1')).toContain('431')
    const large = Array.from({ length: 12 }, (_, at) => [`x-${at}`, 'y'.repeat(3000)]).flat()
    const whole = headers(3, [...pseudo('GET', '/large'), ...large]).subarray(9)
    raw.send(frame(FRAME.headers, 1, 3, whole.subarray(0, 16_000)))
    raw.send(frame(FRAME.continuation, 0, 3, whole.subarray(16_000, 32_000)))
    raw.send(frame(FRAME.continuation, 4, 3, whole.subarray(32_000)))
    await raw.until(({ type, stream }) => type === FRAME.reset && stream === 3)
    expect(reached()).toEqual([])
  })
})

test('[FR-057] who resets stream after stream is told to go (CVE-2023-44487)', async () => {
  serve = () => {}
  await withFrames(async (raw) => {
    for (let at = 0; at < 300; at += 1) raw.send(headers(2 * at + 1, pseudo('GET', '/rapid')), reset(2 * at + 1, 8))
    const { payload } = await raw.until(({ type }) => type === FRAME.goaway)
    expect(payload.readUInt32BE(4)).not.toBe(0)
    await until(() => raw.isClosed(), 'the connection is closed')
  })
})

test('[FR-057] CONTINUATION without end ends the connection (CVE-2024-27316)', async () => {
  await withFrames(async (raw) => {
    raw.send(frame(FRAME.headers, 1, 1, headers(1, pseudo('GET', '/flood')).subarray(9)))
    for (let at = 0; at < 40; at += 1) raw.send(frame(FRAME.continuation, 0, 1, Buffer.from([0, 1, 97, 1, 98])))
    await until(() => raw.isClosed(), 'the connection is closed')
    expect(reached()).toEqual([])
  })
})

for (const type of [FRAME.ping, FRAME.settings]) {
  test(`[FR-057] a flood of frames of type ${type} ends the connection (CVE-2019-9512, CVE-2019-9515)`, async () => {
    await withFrames(async (raw) => {
      const one = frame(type, 0, 0, Buffer.alloc(type === FRAME.ping ? 8 : 0))
      raw.send(Buffer.concat(Array.from({ length: 20_000 }, () => one)))
      await until(() => raw.isClosed(), 'the connection is closed')
    })
  })
}

test('[FR-057] what is neither HTTP/2 nor HTTP/1.1 is refused in the handshake, and plain HTTP is closed', async () => {
  const { port } = new URL(gateway.url)
  const fault = await new Promise<string>((resolve) => {
    const socket = connectTls({ port: Number(port), ca: made.cert, servername: HOST, ALPNProtocols: ['smtp'] })
    socket.on('error', (error) => resolve('code' in error ? String(error.code) : ''))
    socket.on('secureConnect', () => resolve('agreed'))
  })
  expect(fault).toContain('NO_APPLICATION_PROTOCOL')
  const plain = connectPlain(Number(port), '127.0.0.1')
  plain.on('error', () => {})
  plain.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  plain.resume()
  await new Promise((resolve) => plain.once('close', resolve))
  expect(seen).toEqual([])
  expect(gateway.faults).toEqual([])
})
