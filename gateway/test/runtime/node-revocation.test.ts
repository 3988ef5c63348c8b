/** Open responses on real sockets: what its principal's revocation does to an event stream, a WebSocket, a download and an upload. */

import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import WebSocket from 'ws'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type AccessRecord, type Principal, Refusal } from '../../model.ts'
import { loadPolicy } from '../../node/config-file.ts'
import type { Gateway } from '../../node/gateway.ts'
import { openExchanges } from '../../node/open-exchanges.ts'
import { openSockets } from '../../node/open-sockets.ts'
import { relaySweep } from '../../node/relay-sweep.ts'
import { createGatewayServer } from '../../node/server.ts'
import { closeServer } from '../../node/shutdown.ts'
import { openUpstreams } from '../../node/upstream/upstreams.ts'
import { recheck } from '../../pipeline.ts'
import type { Ports } from '../../ports.ts'
import { memoryCounters } from '../../stores/memory/counters.ts'
import { noPressure } from '../support/pressure.ts'
import { principalOf } from '../support/principal.ts'
import { parseAnswer, rawClient } from '../support/raw.ts'
import { type ScriptedRevocations, scriptedRevocations } from '../support/revocations.ts'
import { until } from '../support/until.ts'

const POLICY = `
version: 1
origin: http://books.test
upstreams:
  up: { url: UPSTREAM, assertion: false }
  frames: { url: FRAMES, assertion: false }
  narrow: { url: FRAMES, assertion: false, connections: 1 }
defaults: { body: 1GiB, timeout: 30s }
admission: { perAddress: off }
routes:
  /**: { to: up, access: { role: reader } }
  /faults/**: { to: up, access: login }
  /frames: { to: frames, access: login }
  /narrow: { to: narrow, access: login }
  /faults/slow-body: { to: up, access: public }
`
const MAX_STALENESS_MS = 1000

let upstream: Upstream
let log: ScriptedRevocations
let people: Map<string, Principal | Refusal>
let gateway: Gateway
let server: Server
let url: string
let records: AccessRecord[]
let faults: unknown[]
/** A WebSocket upstream that says, byte by byte, what a test wants. */
let frames: Server
let framesSocket: Socket | null

beforeAll(async () => {
  upstream = await startUpstream({ faults: true })
  frames = createServer().on('upgrade', (_request, socket: Socket) => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
    framesSocket = socket
  })
  await new Promise<void>((resolve) => frames.listen(0, '127.0.0.1', resolve))
})

afterAll(async () => {
  await upstream.close()
  frames.close()
})

beforeEach(async () => {
  log = scriptedRevocations()
  people = new Map()
  records = []
  faults = []
  framesSocket = null
  for (const name of ['ada', 'bob']) admit(name)
  const text = POLICY.replaceAll('FRAMES', `"http://127.0.0.1:${(frames.address() as AddressInfo).port}"`)
  const file = { text: text.replace('UPSTREAM', `"${upstream.url}"`), file: 'test.yaml' }
  const { snapshot } = loadPolicy(file, {}, { port: null, upstreamUrl: null })
  const ports: Ports = {
    counters: memoryCounters(1000),
    sessions: null,
    tokens: {
      verifyToken(token) {
        const found = people.get(token)
        if (found === undefined) return new Refusal('token.revoked')
        if (found instanceof Refusal) return found
        const names = [`subject:${found.subject}`, `session:${found.sessionId}`]
        const proofs = [{ sequence: log.sequence, names, issuedAtMs: 10 }]
        return { principal: found, proofs, rate: null, setCookies: [] }
      },
    },
    keys: null,
    revocations: log,
    servers: null,
    assertions: null,
    sealer: null,
    journal: { record: (record) => void records.push(record), fault: (_id, error) => void faults.push(error) },
  }
  const exchanges = openExchanges({
    revocations: log,
    recheck: (plan, nowMs) => recheck(snapshot, ports, plan, nowMs),
    snapshot: () => snapshot,
    maxStalenessMs: MAX_STALENESS_MS,
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    fault: (error) => void faults.push(error),
  })
  gateway = {
    snapshot,
    ports,
    endpoints: { fetch: () => new Response('own') },
    upstreams: openUpstreams(),
    sweep: relaySweep(),
    upgraded: openSockets(),
    exchanges,
    ...noPressure(),
  }
  gateway.sweep.add(exchanges)
  server = createGatewayServer({ current: gateway })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterEach(async () => {
  gateway.sweep.stop()
  server.closeAllConnections()
  await closeServer(server, gateway.upgraded, null, 1000)
  await gateway.upstreams.destroy()
  expect(faults).toEqual([])
  await until(() => gateway.exchanges.size === 0, 'no exchange is kept')
  expect(gateway.exchanges.nameCount).toBe(0)
})

function admit(name: string, more: Partial<Principal> = {}): void {
  people.set(name, principalOf(name, more))
}

const headOf = (name: string | null, target: string, method = 'GET', ...lines: readonly string[]) => {
  const credential = name === null ? [] : [`Authorization: Bearer ${name}`]
  return [`${method} ${target} HTTP/1.1`, 'Host: books.test', ...credential, ...lines, '', ''].join('\r\n')
}

async function begin(name: string | null, target: string, method = 'GET', ...lines: readonly string[]) {
  const client = await rawClient(url)
  client.send(headOf(name, target, method, ...lines))
  return client
}

async function openStream(name: string | null, target = '/api/chat?message=hi&events=1000&gapMs=20') {
  const client = await begin(name, target)
  await client.until((text) => text.includes('\r\n\r\n') && parseAnswer(text).body.length > 10)
  return client
}

async function openSocket(name: string) {
  const headers = { host: 'books.test', authorization: `Bearer ${name}` }
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, { headers })
  const closed = new Promise<number>((resolve) => socket.once('close', resolve))
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  return { socket, closed }
}

/** Still open, for something new comes. */
async function goesOn(client: Awaited<ReturnType<typeof begin>>): Promise<void> {
  const length = client.received().length
  await client.until((text) => text.length > length)
}

const recordsOf = (reason: string) => records.filter((record) => record.reason === reason)

/** As a sign-out does: the credential is gone, and the log says so. */
function signOut(name: string): void {
  people.delete(name)
  log.revoke(`session:${name}-1`)
}

test('[FR-036] a sign-out cuts the event stream, WebSocket, download and upload of that session, and no other', async () => {
  const upstreamsBefore = upstream.connections()
  const stream = await openStream('ada')
  const { closed } = await openSocket('ada')
  const download = await begin('ada', '/faults/big?bytes=1000000000')
  await download.until((text) => text.length > 100_000)
  download.socket.pause()
  const upload = await begin('ada', '/upload', 'POST', 'Content-Length: 100000000')
  upload.send('x'.repeat(1000))
  const bobs = await openStream('bob')
  const bobsSocket = await openSocket('bob')
  await until(() => gateway.exchanges.nameCount === 4, 'both are indexed')
  signOut('ada')
  expect(await closed).toBe(1008)
  expect(await stream.closed()).not.toMatch(/\r\n0\r\n\r\n$/)
  download.socket.resume()
  await download.closed()
  expect(parseAnswer(download.received()).body.length).toBeLessThan(1_000_000_000)
  expect(parseAnswer(await upload.until((text) => text.includes('}'))).status).toBe(401)
  await until(() => recordsOf('principal.revoked').length === 4, 'four are recorded')
  await goesOn(bobs)
  expect(bobsSocket.socket.readyState).toBe(WebSocket.OPEN)
  for (const client of [bobs, upload]) client.close()
  bobsSocket.socket.terminate()
  await until(() => upstream.connections() <= upstreamsBefore, 'nothing is left at the upstream')
})

test('[FR-036] before the head of the answer the client is told: 401, and for a log out of reach 503', async () => {
  const revoked = await begin('ada', '/faults/never')
  await until(() => gateway.exchanges.size === 1, 'it waits for its upstream')
  signOut('ada')
  expect(parseAnswer(await revoked.until((text) => text.includes('}'))).status).toBe(401)
  revoked.close()
  const blind = await begin('bob', '/faults/never')
  await until(() => gateway.exchanges.size === 1, 'it waits for its upstream')
  Object.assign(log.state, { isFresh: false, canCatchUp: false })
  expect(parseAnswer(await blind.until((text) => text.includes('}'))).status).toBe(503)
  blind.close()
  await until(() => records.length === 2, 'both are recorded')
  expect(records.map(({ reason }) => reason)).toEqual(['principal.revoked', 'revocation.stale'])
})

test('[FR-036] an upgrade that waits for its upstream gets the 401 too', async () => {
  const waiting = await begin('ada', '/faults/never', 'GET', 'Connection: Upgrade', ...UPGRADE)
  await until(() => gateway.exchanges.size === 1, 'it waits for its upstream')
  signOut('ada')
  expect(parseAnswer(await waiting.closed()).status).toBe(401)
  await until(() => recordsOf('principal.revoked').length === 1, 'recorded')
})

test('[FR-036] an upgrade whose turn comes while the log is out of reach is not sent', async () => {
  const bobs = await begin('bob', '/narrow', 'GET', 'Connection: Upgrade', ...UPGRADE)
  await bobs.until((text) => text.includes('101'))
  const [adas, taken] = [await begin('ada', '/narrow', 'GET', 'Connection: Upgrade', ...UPGRADE), framesSocket!]
  await until(() => gateway.exchanges.size === 2, 'it waits for its turn')
  Object.assign(log.state, { isFresh: false, canCatchUp: false })
  taken.destroy()
  expect(parseAnswer(await adas.closed()).status).toBe(503)
  expect(framesSocket, 'no other came').toBe(taken)
})

test('[FR-036] a role that still allows leaves it open, one that does not cuts it, and so does another subject', async () => {
  const stream = await openStream('ada')
  const { closed, socket } = await openSocket('ada')
  admit('ada', { roles: ['reader', 'writer'] })
  log.revoke('subject:ada')
  await goesOn(stream)
  expect(socket.readyState).toBe(WebSocket.OPEN)
  admit('ada', { roles: ['writer'] })
  log.revoke('subject:ada')
  expect(await closed).toBe(1008)
  await stream.closed()
  admit('ada')
  const other = await openStream('ada')
  admit('ada', { subject: 'bob' })
  log.revoke('subject:ada')
  await other.closed()
})

test('[FR-036] a token that expires cuts, one that was extended does not', async () => {
  admit('ada', { expiresAtMs: Date.now() + 600 })
  admit('bob', { expiresAtMs: Date.now() + 600 })
  const adas = await openSocket('ada')
  const bobs = await openStream('bob')
  people.set('ada', new Refusal('token.expired'))
  admit('bob')
  expect(await adas.closed).toBe(1008)
  await until(() => recordsOf('principal.revoked').length === 1, 'the cut is recorded')
  expect(recordsOf('principal.revoked')[0]).toMatchObject({ status: 101, log: 'token.expired' })
  await goesOn(bobs)
  bobs.close()
})

test('[FR-036] a ban by entry cuts although the credential would still verify', async () => {
  const stream = await openStream('ada')
  const { closed } = await openSocket('ada')
  log.revoke('subject:ada', 'end', 10)
  expect(await closed).toBe(1008)
  await stream.closed()
})

test('[FR-035] a log out of reach cuts what rests on a credential within the bound, and nothing that is public', async () => {
  const stream = await openStream('ada')
  const { closed } = await openSocket('ada')
  const open = await openStream(null, '/faults/slow-body?chunks=10000&gapMs=20')
  Object.assign(log.state, { isFresh: false, canCatchUp: false })
  const sinceMs = performance.now()
  expect(await closed).toBe(1008)
  await stream.closed()
  expect(performance.now() - sinceMs).toBeLessThan(MAX_STALENESS_MS)
  await goesOn(open)
  open.close()
  await until(() => recordsOf('revocation.stale').length === 2, 'both are recorded')
})

/** Each verification is overtaken by an entry, as many times as given, and `then` follows the entry. */
function overtake(times: number, then: () => void = () => {}): void {
  const { tokens } = gateway.ports
  const verify = tokens!.verifyToken.bind(tokens)
  let left = times
  tokens!.verifyToken = (token, nowMs) => {
    const found = verify(token, nowMs)
    if (left-- > 0) {
      log.revoke('subject:ada')
      then()
    }
    return found
  }
}

const UPGRADE = ['Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: abc']
for (const [what, lines] of [
  ['request', ['Connection: close']],
  ['upgrade', ['Connection: Upgrade', ...UPGRADE]],
] as const) {
  const ask = async () => parseAnswer(await (await begin('ada', '/faults/close', 'GET', ...lines)).closed()).status

  test(`[FR-036] ${what}: a decision that an entry overtook is made again before a byte goes upstream`, async () => {
    overtake(1, () => people.delete('ada'))
    expect(await ask()).toBe(401)
  })

  test(`[FR-035] ${what}: a log that moves on with each decision is not chased for ever`, async () => {
    overtake(2)
    expect(await ask()).toBe(502)
    overtake(1000)
    expect(await ask()).toBe(503)
  })

  test(`[FR-035] ${what}: a decision that a stall overtook waits for the log, and is 503 without it`, async () => {
    log.state.isFresh = false
    expect(await ask()).toBe(502)
    Object.assign(log.state, { isFresh: false, canCatchUp: false })
    expect(await ask()).toBe(503)
  })
}

async function openFrames(): Promise<Awaited<ReturnType<typeof begin>>> {
  const client = await begin('ada', '/frames', 'GET', 'Connection: Upgrade', ...UPGRADE)
  await client.until((text) => text.includes(' 101 '))
  await until(() => framesSocket !== null, 'the upstream has a socket')
  return client
}

const CLOSE = '\x88\x12\x03\xf0access has ended'

test('[FR-036] the close frame waits for the end of the frame under way, and what follows that is dropped', async () => {
  const client = await openFrames()
  framesSocket!.write(Buffer.from('\x81\x05hel', 'latin1'))
  await client.until((text) => text.endsWith('hel'))
  signOut('ada')
  framesSocket!.write(Buffer.from('lo\x81\x06secret', 'latin1'))
  const received = await client.closed()
  expect(received.slice(received.indexOf('\x81'))).toBe(`\x81\x05hello${CLOSE}`)
})

for (const [what, bytes, more] of [
  ['that does not end', '\x81\x05hel', ''],
  ['of which too much is missing', '\x82\x7f\x00\x00\x00\x01\x00\x00\x00\x00hel', 'more'],
] as const) {
  test(`[FR-036] a frame ${what} ends with the connection, never with a close frame inside it`, async () => {
    const client = await openFrames()
    framesSocket!.write(Buffer.from(bytes, 'latin1'))
    await client.until((text) => text.endsWith('hel'))
    const heard: Buffer[] = []
    framesSocket!.on('data', (chunk: Buffer) => heard.push(chunk))
    signOut('ada')
    client.send('later')
    framesSocket!.write(more)
    expect(await client.closed()).toMatch(/hel$/)
    expect(Buffer.concat(heard).length).toBe(0)
  })
}

test('[FR-036] a client that talks on is still told, and none of it reaches the upstream', async () => {
  const client = await openFrames()
  const heard: Buffer[] = []
  framesSocket!.on('data', (chunk: Buffer) => heard.push(chunk))
  signOut('ada')
  client.send('x'.repeat(100_000))
  expect(await client.closed()).toContain(CLOSE)
  expect(Buffer.concat(heard).length).toBe(0)
})

test('[FR-036] after the upstream has closed by itself no second close frame follows', async () => {
  const client = await openFrames()
  framesSocket!.write(Buffer.from('\x88\x02\x03\xe8', 'latin1'))
  await client.until((text) => text.endsWith('\x03\xe8'))
  signOut('ada')
  expect(await client.closed()).toMatch(/\x03\xe8$/)
})

test('[FR-036] a thousand WebSockets opened and closed leave the index empty', async () => {
  for (let round = 0; round < 10; round++) {
    const sockets = await Promise.all(Array.from({ length: 100 }, () => openSocket('ada')))
    if (round === 0) await until(() => gateway.exchanges.nameCount === 2, 'they are indexed')
    for (const { socket } of sockets) socket.close()
    await Promise.all(sockets.map(({ closed }) => closed))
  }
  await until(() => gateway.exchanges.size === 0, 'nothing is open')
  expect(gateway.exchanges.nameCount).toBe(0)
})
