/** TLS towards clients: which certificate is shown to whom, what becomes of files that change, and how connections end. */

import { X509Certificate } from 'node:crypto'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect, getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { acceptWebSocket } from '../../../upstream-mock/websocket.ts'
import { type MadeCertificate, makeCertificate } from '../../test/support/certificates.ts'
import { OPEN_POLICY, signIn, startTestGateway, type TestGateway } from '../../test/support/gateway.ts'
import { http2Client } from '../../test/support/http2.ts'
import { exchangeRaw, parseAnswer, rawClient } from '../../test/support/raw.ts'
import { until } from '../../test/support/until.ts'
import { loadPolicy } from '../config-file.ts'
import { isFor } from '../tls-files.ts'

const HOST = 'books.test'
const folder = mkdtempSync(join(tmpdir(), 'postern-tls-server-'))
const certificate = join(folder, 'live.pem')
const key = join(folder, 'live.key')
const env = { SECRET: Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString('base64') }
let issuer: MadeCertificate
let first: MadeCertificate
let second: MadeCertificate
let other: MadeCertificate
let upstream: Server
let upstreamUrl: string
let policy: string
let gateway: TestGateway
/** Answers that were begun and not ended. */
let held: ServerResponse[] = []

beforeAll(async () => {
  issuer = makeCertificate(folder, 'issuer', 'DNS:issuer.test')
  first = makeCertificate(folder, 'first', `DNS:${HOST},IP:127.0.0.1`, { issuer })
  second = makeCertificate(folder, 'second', `DNS:${HOST},IP:127.0.0.1`, { issuer })
  other = makeCertificate(folder, 'other', 'DNS:*.other.test', { issuer })
  use(first)
  upstream = createServer((request, response) => {
    if (request.url !== '/hold') return void response.end('fine')
    response.write('begin')
    held.push(response)
  })
  upstream.on('upgrade', (request, socket) => acceptWebSocket(request, socket))
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  policy = `${OPEN_POLICY.replace('2s', '20s').replace('access: public', 'access: optional')}
tls:
  certificate: ${certificate}
  key: ${key}
  others: [{ certificate: ${other.certificate}, key: ${other.key} }]
store: { secret: "\${env:SECRET}" }
login: { signup: open }
`
  gateway = await startTestGateway({ policy, origin: `https://${HOST}`, upstreamUrl, env })
})

afterAll(async () => {
  await gateway?.close()
  upstream?.closeAllConnections()
  upstream?.close()
  rmSync(folder, { recursive: true, force: true })
})

function use({ certificate: from, key: fromKey }: MadeCertificate): void {
  copyFileSync(from, certificate)
  copyFileSync(fromKey, key)
}

async function handshake(servername: string, more: ConnectionOptions = {}): Promise<TLSSocket> {
  const port = Number(new URL(gateway.url).port)
  const socket = connect({ port, host: '127.0.0.1', ca: issuer.cert, servername, ...more })
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', () => resolve()).once('error', reject))
  return socket
}

async function shown(servername: string): Promise<string> {
  const socket = await handshake(servername)
  const { CN } = socket.getPeerCertificate().subject
  socket.destroy()
  return String(CN)
}

test('[FR-057] the certificate is the one for the name that is asked for', async () => {
  expect(await shown(HOST)).toBe('first')
  expect(await shown('a.other.test')).toBe('other')
  const unknown = await handshake('nobody.test', { rejectUnauthorized: false })
  expect(unknown.getPeerCertificate().subject.CN).toBe('first')
  unknown.destroy()
  for (const name of ['', '\0', 'a\0b', '[', '256.0.0.1'])
    expect(isFor(new X509Certificate(first.cert), name)).toBe(false)
})

test('[FR-057] HTTP/1.1 is spoken where nothing else is agreed, WebSocket with it', async () => {
  for (const ALPNProtocols of [undefined, ['http/1.1']]) {
    const socket = await handshake(HOST, ALPNProtocols === undefined ? {} : { ALPNProtocols })
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.write(`GET /a HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    await until(() => text.endsWith('fine'), 'an answer')
    text = ''
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13'
    socket.write(
      `GET /ws HTTP/1.1\r\nHost: ${HOST}\r\n${upgrade}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    )
    await until(() => text.includes('\r\n\r\n'), 'an upgrade')
    expect(text).toMatch(/^HTTP\/1.1 101 /)
    socket.destroy()
  }
})

test('[FR-057] plain HTTP to a port of TLS is told so; whoever says nothing, or leaves, leaves nothing behind', async () => {
  const { status, headers, body } = parseAnswer(
    await exchangeRaw(gateway.url, `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`),
  )
  expect([status, headers.get('connection')]).toEqual([400, ['close']])
  expect(JSON.parse(body)).toMatchObject({ code: 'bad-request', detail: expect.stringContaining('https') })
  expect((await gateway.recordOf(({ log }) => log?.includes('TLS') === true)).status).toBe(400)
  for (const bytes of ['', '\0', '\x16', '\x16\x03\x01\x02\x00garbage']) {
    const client = await rawClient(gateway.url)
    if (bytes !== '') client.send(bytes)
    client.close()
  }
  expect(await shown(HOST)).toBe('first')
})

test('[FR-057] new files are shown from the next handshake on; files that will not do change nothing', async () => {
  use(second)
  expect((await gateway.put(policy)).outcome).toBe('done')
  expect(await shown(HOST)).toBe('second')
  expect((await gateway.put(policy)).outcome).toBe('same')

  copyFileSync(first.certificate, certificate)
  const mixed = await gateway.put(policy)
  expect(mixed.problem).toMatch(
    /test\.yaml:\d+:\d+ {2}the key of .*live\.key does not belong to the certificate of .*live\.pem/,
  )
  expect(gateway.notes.at(-1)).toContain('does not belong to the certificate')
  expect(await shown(HOST)).toBe('second')

  const faults = [
    [() => writeFileSync(certificate, 'nothing'), 'live.pem holds no certificate'],
    [() => rmSync(certificate), 'live.pem cannot be read: there is no such file'],
    [() => writeFileSync(key, 'nothing'), 'live.key holds no private key that can be read'],
  ] as const
  for (const [spoil, problem] of faults) {
    use(first)
    spoil()
    expect((await gateway.put(policy)).problem).toContain(problem)
    expect(await shown(HOST)).toBe('second')
  }
  use(first)
  expect((await gateway.put(policy)).outcome).toBe('done')
  expect(await shown(HOST)).toBe('first')
})

test('[FR-057] an old version of TLS is not spoken where the policy says so', async () => {
  const old = { maxVersion: 'TLSv1.2' } as const
  ;(await handshake(HOST, old)).destroy()
  expect((await gateway.put(policy.replace('tls:', 'tls:\n  minVersion: 1.3'))).outcome).toBe('done')
  await expect(handshake(HOST, old)).rejects.toThrow()
  ;(await handshake(HOST)).destroy()
  expect((await gateway.put(policy)).outcome).toBe('done')
  await expect(handshake(HOST, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1' })).rejects.toThrow()
})

test('[FR-057] whether TLS and HTTP/2 are spoken takes a restart', async () => {
  expect((await gateway.put(policy.replace('tls:', 'tls:\n  http2: false'))).problem).toContain('`tls.http2` changed')
  expect((await gateway.put(policy.replace(/tls:\n(?: {2}.*\n)+/, 'trust: [10.0.0.0/8]\n'))).problem).toContain(
    '`tls` changed',
  )
})

test('[FR-057] a certificate for another host, or one that ends, is a warning', async () => {
  const soon = makeCertificate(folder, 'soon', 'DNS:elsewhere.test', { issuer, days: 2 })
  use(soon)
  expect((await gateway.put(policy)).outcome).toBe('done')
  const notes = gateway.notes.join('\n')
  expect(notes).toContain(`no certificate is for ${HOST}, where people reach the gateway`)
  expect(notes).toContain(`the certificate expires on ${new X509Certificate(soon.cert).validTo}`)
  use(first)
  await gateway.put(policy)
})

test('[FR-057] [FR-044] a revoked session loses its stream, and its connection keeps the others', async () => {
  const trusted = getCACertificates('default')
  setDefaultCACertificates([...trusted, issuer.cert])
  const person = await signIn(gateway, 'reader@example.com', [])
  setDefaultCACertificates(trusted)
  const client = await http2Client(gateway.url, issuer.cert, HOST)
  const head = (path: string) => [':method', 'GET', ':scheme', 'https', ':authority', HOST, ':path', path]
  const mine = client.open([...head('/hold'), 'cookie', person.cookie])
  mine.stream.end()
  const nobodys = client.open(head('/hold'))
  nobodys.stream.end()
  await until(() => mine.received() + nobodys.received() === 'beginbegin', 'both begin')
  const signOut = [':method', 'POST', ':scheme', 'https', ':authority', HOST, ':path', '/api/auth/sign-out']
  const out = await client.ask(
    [...signOut, 'cookie', person.cookie, 'origin', `https://${HOST}`, 'content-type', 'application/json'],
    '{}',
  )
  expect(out.status).toBe(200)
  expect(await mine.answer).toMatchObject({ isWhole: false, rstCode: 2 })
  for (const response of held) response.end(' end')
  expect(await nobodys.answer).toMatchObject({ isWhole: true, body: 'begin end' })
  held = []
  client.close()
})

test('[FR-057] [FR-059] on its way down the gateway takes no new streams, and finishes what it has', async () => {
  const another = await startTestGateway({ policy, origin: `https://${HOST}`, upstreamUrl, env })
  const client = await http2Client(another.url, issuer.cert, HOST)
  const { stream, answer, received } = client.open([
    ':method',
    'GET',
    ':scheme',
    'https',
    ':authority',
    HOST,
    ':path',
    '/hold',
  ])
  stream.end()
  await until(() => received() === 'begin', 'it begins')
  let isTold = false
  client.session.on('goaway', () => {
    isTold = true
  })
  const closed = another.close()
  await until(() => isTold, 'the client is told')
  for (const response of held) response.end(' end')
  expect(await answer).toMatchObject({ isWhole: true, body: 'begin end' })
  await closed
})

test('[FR-057] a gateway whose files will not do does not start, and says where and why', async () => {
  const gone = policy.replace(key, join(folder, 'gone.key'))
  await expect(startTestGateway({ policy: gone, origin: `https://${HOST}`, upstreamUrl, env })).rejects.toThrow(
    /test\.yaml:\d+:\d+ {2}.*gone\.key cannot be read: there is no such file/,
  )
})

test('[FR-057] certificates and keys are watched like the policy, and a command need not read them', () => {
  const file = { text: policy.replace('ORIGIN', `https://${HOST}`).replace('UPSTREAM', upstreamUrl), file: 'test.yaml' }
  const overrides = { port: null, upstreamUrl: null }
  expect(loadPolicy(file, env, overrides).listFiles()).toEqual(
    expect.arrayContaining([certificate, key, other.certificate, other.key]),
  )
  const gone = { ...file, text: file.text.replace(key, join(folder, 'gone.key')) }
  expect(() => loadPolicy(gone, env, overrides)).toThrow('gone.key')
  expect(loadPolicy(gone, env, { ...overrides, isTlsLeftOut: true }).tls.server).toBeNull()
})
