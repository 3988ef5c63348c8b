/** Upstreams behind TLS of their own issuers, HTTP/2 and Unix sockets: real servers, reached by what a policy says of them. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http'
import {
  createServer as createHttp2,
  createSecureServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer as createHttps } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { acceptWebSocket } from '../../../upstream-mock/websocket.ts'
import { type MadeCertificate, makeCertificate } from '../../test/support/certificates.ts'
import { startTestGateway, type TestGateway } from '../../test/support/gateway.ts'
import { isWhole, parseAnswer, rawClient } from '../../test/support/raw.ts'
import { until } from '../../test/support/until.ts'
import { loadPolicy } from '../config-file.ts'
import { askServer } from './ask.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-ways-'))
const socketPath = join(folder, 'books.sock')
let issuer: MadeCertificate
let own: MadeCertificate
let theirs: MadeCertificate
const servers: Server[] = []
let policy = ''
let gateway: TestGateway
/** What the HTTP/2 servers do next. */
let serve: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void
const sessions: ServerHttp2Session[] = []

/** Lets a test say what no server should. */
const LENIENT = { strictSingleValueFields: false }

async function listening(server: Server, at?: string): Promise<number> {
  servers.push(server)
  await new Promise<void>((resolve) => {
    if (at === undefined) server.listen(0, '127.0.0.1', resolve)
    else server.listen(at, resolve)
  })
  return at === undefined ? (server.address() as AddressInfo).port : 0
}

const say = (request: IncomingMessage, response: ServerResponse) => {
  const peer = (request.socket as TLSSocket).getPeerCertificate?.()
  response.end(JSON.stringify({ host: request.headers.host, peer: peer?.subject?.CN ?? null, url: request.url }))
}

beforeAll(async () => {
  issuer = makeCertificate(folder, 'issuer', 'DNS:issuer.test')
  own = makeCertificate(folder, 'gateway', 'DNS:gateway.test', { issuer })
  theirs = makeCertificate(folder, 'upstream', 'DNS:books.internal', { issuer })
  const tls = { cert: theirs.cert, key: theirs.secret }
  const mutual = { ...tls, ca: issuer.cert, requestCert: true, rejectUnauthorized: true }
  const secure = createHttps(mutual, say)
  secure.on('upgrade', (request, socket) => acceptWebSocket(request, socket))
  const plain = createHttp(say)
  plain.on('upgrade', (request, socket) => acceptWebSocket(request, socket))
  const h2 = createSecureServer({ ...tls, ...LENIENT })
  const h2c = createHttp2()
  for (const server of [h2, h2c] as Http2Server[]) {
    server.on('stream', (stream: ServerHttp2Stream, headers) => serve(stream, headers))
    server.on('session', (session) => sessions.push(session))
    server.on('sessionError', () => {})
  }
  const [securePort, h2Port, h2cPort] = [await listening(secure), await listening(h2), await listening(h2c)]
  await listening(plain, socketPath)
  const h2Socket = createHttp2()
  h2Socket.on('stream', (stream: ServerHttp2Stream, headers) => serve(stream, headers))
  await listening(h2Socket, join(folder, 'h2.sock'))
  writeFileSync(join(folder, 'ca.pem'), issuer.cert)
  const ca = join(folder, 'ca.pem')
  policy = `
version: 1
origin: ORIGIN
upstreams:
  mutual:
    url: https://127.0.0.1:${securePort}
    assertion: false
    tls: { ca: ${ca}, serverName: books.internal, certificate: ${own.certificate}, key: ${own.key} }
  nameless: { url: "https://localhost:${securePort}", assertion: false }
  h2: { url: "https://127.0.0.1:${h2Port}", assertion: false, http2: true, tls: { ca: ${ca}, serverName: books.internal } }
  older:
    url: https://localhost:${securePort}
    assertion: false
    http2: true
    tls: { ca: ${ca}, serverName: books.internal, certificate: ${own.certificate}, key: ${own.key} }
  h2c: { url: "http://127.0.0.1:${h2cPort}", assertion: false, http2: true }
  socket: { url: "unix:${socketPath}", assertion: false }
  h2socket: { url: "unix:${join(folder, 'h2.sock')}", assertion: false, http2: true, host: upstream }
defaults: { body: 8MiB, timeout: 10s }
admission: { perAddress: off }
routes:
  /mutual/**: { to: mutual, access: public }
  /h2/**: { to: h2, access: public }
  /older/**: { to: older, access: public }
  /h2c/**: { to: h2c, access: public }
  /socket/**: { to: socket, access: public }
  /h2socket/**: { to: h2socket, access: public }
`.replace(/ {2}nameless.*\n/, '')
  gateway = await startTestGateway({ policy })
})

afterAll(async () => {
  await gateway?.close()
  for (const session of sessions) session.destroy()
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true, force: true })
})

beforeEach(() => {
  serve = (stream, headers) => {
    stream.respond([
      ':status',
      '200',
      'x-authority',
      String(headers[':authority']),
      'set-cookie',
      'a=1',
      'set-cookie',
      'b=2',
    ])
    stream.end(`h2 ${headers[':path']}`)
  }
})

async function ask(target: string, more: readonly string[] = [], body = '', method = 'GET') {
  const client = await rawClient(gateway.url)
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${new URL(gateway.origin).host}`, ...more, '', body]
  client.send(lines.join('\r\n'))
  const answer = parseAnswer(await client.until(isWhole))
  client.close()
  return answer
}

const WEBSOCKET = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]

async function upgrade(target: string): Promise<number> {
  const client = await rawClient(gateway.url)
  client.send([`GET ${target} HTTP/1.1`, `Host: ${new URL(gateway.origin).host}`, ...WEBSOCKET, '', ''].join('\r\n'))
  const { status } = parseAnswer(await client.until((text) => text.includes('\r\n\r\n')))
  client.close()
  return status
}

test('[FR-056] an upstream sees our certificate, and is believed by its own issuer under its own name', async () => {
  const { status, body } = await ask('/mutual/a')
  expect({ status, ...JSON.parse(body) }).toMatchObject({ status: 200, peer: 'gateway', url: '/mutual/a' })
})

test('[FR-056] and so it does by WebSocket', async () => {
  expect(await upgrade('/mutual/ws')).toBe(101)
})

test('[FR-056] without the issuer, or under another name, it is not spoken to', async () => {
  const changed = [
    policy.replaceAll(/ca: [^,]*ca\.pem, /g, ''),
    policy.replaceAll('serverName: books.internal', 'serverName: x.test'),
  ]
  for (const text of changed) {
    expect((await gateway.put(text)).problem).toBeNull()
    for (const path of ['/mutual/a', '/h2/a', '/older/a']) expect((await ask(path)).status, path).toBe(502)
    expect(await upgrade('/mutual/ws')).toBe(502)
  }
  expect((await gateway.put(policy)).problem).toBeNull()
  expect((await ask('/mutual/a')).status).toBe(200)
})

test('[FR-056] an issuer that is replaced in its file is taken up with a reload', async () => {
  const ca = join(folder, 'ca.pem')
  const before = readFileSync(ca, 'utf8')
  writeFileSync(ca, makeCertificate(folder, 'another', 'DNS:another.test').cert)
  expect((await gateway.put(policy)).outcome).toBe('done')
  expect((await ask('/mutual/a')).status).toBe(502)
  writeFileSync(ca, 'nothing')
  expect((await gateway.put(policy)).problem).toContain('ca.pem holds no certificate')
  writeFileSync(ca, before)
  expect((await gateway.put(policy)).outcome).toBe('done')
  expect((await ask('/mutual/a')).status).toBe(200)
})

test('[FR-056] a socket is reached like any server, by WebSocket too', async () => {
  expect(JSON.parse((await ask('/socket/a?b=c')).body)).toMatchObject({
    host: new URL(gateway.origin).host,
    url: '/socket/a?b=c',
  })
  expect(await upgrade('/socket/ws')).toBe(101)
})

for (const [name, host] of [
  ['h2', null],
  ['h2c', null],
  ['h2socket', 'localhost'],
] as const) {
  test(`[FR-056] ${name}: asked by HTTP/2, with doubled fields and the Host as the authority`, async () => {
    const answer = await ask(`/${name}/a?b=c`)
    expect(answer).toMatchObject({ status: 200 })
    expect(answer.body).toContain(`h2 /${name}/a?b=c`)
    expect(answer.headers.get('set-cookie')).toEqual(['a=1', 'b=2'])
    expect(answer.headers.get('x-authority')).toEqual([host ?? new URL(gateway.origin).host])
  })
}

test('[FR-056] an upstream that does not agree to HTTP/2 is asked by HTTP/1.1', async () => {
  expect(JSON.parse((await ask('/older/a')).body)).toMatchObject({ peer: 'gateway', url: '/older/a' })
})

test('[FR-056] bodies and their lengths cross to HTTP/2', async () => {
  serve = (stream, headers) => {
    stream.respond({ ':status': 200, 'x-length': String(headers['content-length'] ?? 'none') })
    stream.pipe(stream)
  }
  const large = 'x'.repeat(1_000_000)
  const known = await ask('/h2/echo', [`Content-Length: ${large.length}`], large, 'POST')
  expect(known.headers.get('x-length')).toEqual([String(large.length)])
  expect(known.body.length).toBeGreaterThanOrEqual(large.length)
  const chunked = await ask('/h2/echo', ['Transfer-Encoding: chunked'], '4\r\nfour\r\n0\r\n\r\n', 'POST')
  expect(chunked.headers.get('x-length')).toEqual(['none'])
  expect(chunked.body).toContain('four')
  expect((await ask('/h2/echo', [], '', 'POST')).headers.get('x-length')).toEqual(['0'])
})

const bodyless = [
  ['HEAD', 200, { 'content-length': '5' }, '5'],
  ['GET', 204, {}, undefined],
  ['GET', 304, { 'content-length': '7' }, '7'],
] as const
for (const [method, status, fields, length] of bodyless) {
  test(`[FR-056] over HTTP/2 ${method} ${status} has no body`, async () => {
    serve = (stream) => stream.respond({ ':status': status, ...fields }, { endStream: true })
    const client = await rawClient(gateway.url)
    client.send(`${method} /h2/none HTTP/1.1\r\nHost: ${new URL(gateway.origin).host}\r\nConnection: close\r\n\r\n`)
    const answer = parseAnswer(await client.closed())
    expect(answer).toMatchObject({ status, body: '' })
    expect(answer.headers.get('content-length')?.[0]).toBe(length)
  })
}

test('[FR-056] over HTTP/2 an answer with two lengths, or behind a flood of interim ones, is 502', async () => {
  const two = [':status', '200', 'content-length', '4', 'content-length', '400']
  serve = (stream) => {
    stream.on('error', () => {})
    stream.respond(two)
    stream.end('four')
  }
  expect((await ask('/h2/two')).status).toBe(502)
  serve = (stream) => {
    stream.on('error', () => {})
    for (let at = 0; at < 30; at += 1) stream.additionalHeaders({ ':status': 103 })
    stream.respond({ ':status': 200 })
    stream.end('late')
  }
  expect((await ask('/h2/flood')).status).toBe(502)
})

/** Ways to end an answer before its end, of which none may read as one. */
const tears: Readonly<Record<string, (stream: ServerHttp2Stream) => void>> = {
  'a reset with an error': (stream) => stream.destroy(new Error('torn')),
  'a reset without one': (stream) => resetBare(stream, 0),
  'a cancellation': (stream) => resetBare(stream, 8),
  'the end of the connection': (stream) => stream.session?.socket.destroy(),
}

/** As a faulty server would: RST_STREAM and no END_STREAM, which Node's own `close` sends first. */
function resetBare(stream: ServerHttp2Stream, code: number): void {
  const handle = Object.getOwnPropertySymbols(stream).find((symbol) => symbol.description === 'kHandle')!
  const native = (stream as unknown as Record<symbol, { rstStream(code: number): void }>)[handle]!
  native.rstStream(code)
}

for (const [what, tear] of Object.entries(tears)) {
  test(`[FR-056] over HTTP/2 ${what} in the middle of a body never reads as its end`, async () => {
    serve = (stream) => {
      stream.on('error', () => {})
      stream.respond({ ':status': 200 })
      stream.write('half', () => setImmediate(() => tear(stream)))
    }
    const client = await rawClient(gateway.url)
    client.send(`GET /h2/torn HTTP/1.1\r\nHost: ${new URL(gateway.origin).host}\r\n\r\n`)
    const text = await client.closed()
    expect(text).toContain('half')
    expect(text.endsWith('0\r\n\r\n')).toBe(false)
    await gateway.recordOf(({ path, reason }) => path === '/h2/torn' && reason !== null)
  })
}

test('[FR-056] an upload that its client breaks off never reads as whole over HTTP/2', async () => {
  let end = ''
  serve = (stream) => {
    stream.on('data', () => {
      end = 'begun'
    })
    // The end of the stream and its reset may come in one piece, and the first of them decides.
    const { push } = stream
    stream.push = (chunk, encoding) => {
      if (chunk === null && !stream.closed) end = 'whole'
      return push.call(stream, chunk, encoding)
    }
    stream.on('error', () => {})
    stream.on('close', () => {
      if (end === 'begun') end = 'torn'
    })
  }
  const client = await rawClient(gateway.url)
  client.send(
    `POST /h2/left HTTP/1.1\r\nHost: ${new URL(gateway.origin).host}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`,
  )
  await until(() => end === 'begun', 'the upload begins')
  client.close()
  await until(() => end !== 'begun', 'the upload ends')
  expect(end).toBe('torn')
})

test('[FR-056] what a server that goes away did not take is asked again; what it took is not', async () => {
  await ask('/h2c/first')
  const asked: string[] = []
  serve = (stream, headers) => {
    asked.push(`${headers[':method']} ${headers[':path']}`)
    if (asked.length === 1) stream.on('error', () => {}).close(7)
    else {
      stream.respond({ ':status': 200 })
      stream.end('again')
    }
  }
  expect((await ask('/h2c/refused')).body).toContain('again')
  expect(asked).toEqual(['GET /h2c/refused', 'GET /h2c/refused'])
  for (const session of sessions) if (!session.destroyed) session.goaway(0)
  expect((await ask('/h2c/after')).status).toBe(200)
})

test('[FR-056] more requests than a connection takes share it, wait or get another, and all are answered', async () => {
  const before = sessions.length
  let [underWay, most] = [0, 0]
  serve = (stream, headers) => {
    underWay += 1
    most = Math.max(most, underWay)
    setImmediate(() => {
      underWay -= 1
      stream.respond({ ':status': 200 })
      stream.end(String(headers[':path']))
    })
  }
  for (const session of sessions) if (!session.destroyed) session.settings({ maxConcurrentStreams: 4 })
  const answers = await Promise.all(Array.from({ length: 60 }, (_, at) => ask(`/h2/many/${at}`)))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
  for (const [at, { body }] of answers.entries()) expect(body).toContain(`/h2/many/${at}`)
  expect(sessions.length - before).toBeLessThan(20)
})

test('[FR-056] a request that was sent and not answered is not sent again when its connection dies', async () => {
  const asked: string[] = []
  serve = (stream, headers) => {
    asked.push(String(headers[':method']))
    stream.on('error', () => {})
    stream.session?.socket.destroy()
  }
  expect((await ask('/h2/once', ['Content-Length: 4'], 'body', 'POST')).status).toBe(502)
  expect(asked).toEqual(['POST'])
})

test('[FR-052] [FR-056] doctor asks a server as the gateway does: by its socket, its certificates, its HTTP', async () => {
  const { snapshot } = loadPolicy(
    { text: policy.replace('ORIGIN', gateway.origin), file: 'p.yaml' },
    {},
    {
      port: null,
      upstreamUrl: null,
    },
  )
  const question = { path: '/well', headers: { 'x-user': 'nobody' }, timeoutMs: 5_000, bytesMax: 1000 }
  for (const id of ['mutual', 'h2', 'h2c', 'older', 'socket', 'h2socket']) {
    const upstream = snapshot.upstreams.get(id)!
    const { status, body } = await askServer(upstream, upstream.servers[0]!.origin, question)
    expect({ id, status, body }).toEqual({ id, status: 200, body: expect.stringContaining('/well') })
  }
})
