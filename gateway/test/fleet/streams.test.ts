/**
 * What is open while a node or the database stands still: nothing of a time after the revocation passes a node that wakes up,
 * in either direction, and what is still allowed loses no byte (SECURITY rules 19 and 35).
 */

import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { type RawClient, rawClient } from '../support/raw.ts'
import { type PrivateServer, startPostgres, startRedis } from '../support/servers.ts'
import { until } from '../support/until.ts'
import { createIssuer, fleetPolicy, type TestIssuer } from './policy.ts'
import { createStage, type Stage, SUBJECTS } from './subjects.ts'

const STALENESS_MS = 2_000
/** From the end of a bound to the moment a busy machine gets round to it. */
const SLACK_MS = 700
const TICK_MS = 20
const ROUTES = `
  /live/**: { to: books, body: 1GiB, access: { with: [session, token, key] } }
  /open/**: { to: books, access: public }
`

let postgres: PrivateServer
let redis: PrivateServer
let upstream: Server
let issuer: TestIssuer
let fleet: Fleet
let stage: Stage
/** What reached the upstream, by path, as it came. */
const arrived = new Map<string, string>()
let count = 0

beforeAll(async () => {
  ;[postgres, redis, upstream, issuer] = await Promise.all([
    startPostgres(),
    startRedis(),
    startTicking(),
    createIssuer(),
  ])
  fleet = await startFleet({
    policy: fleetPolicy(issuer, `${STALENESS_MS / 1000}s`).trimEnd() + ROUTES,
    upstreamUrl: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    count: 2,
  })
  stage = await createStage(fleet, issuer)
}, 120_000)

afterAll(async () => {
  await fleet?.close()
  upstream?.closeAllConnections()
  upstream?.close()
  for (const server of [postgres, redis]) await server?.close()
}, 60_000)

for (const kind of ['session, by sign-out', 'API key', 'foreign token, by jti'] as const) {
  test(`[FR-036] ${kind}: a node that was stopped for longer than the bound passes nothing on that came after the revocation`, async () => {
    const [other, stopped] = fleet.nodes as [Fleet['nodes'][0], Fleet['nodes'][0]]
    count += 1
    const subject = await SUBJECTS[kind]!({ ...stage, at: other }, `live-${count}`)
    const steady = { authorization: `Bearer ${await issuer.sign({ sub: `steady-${count}`, jti: `steady-${count}` })}` }
    const [revoked, good] = [await openAll(stopped.url, subject.credential), await openAll(stopped.url, steady)]
    let revokedAtMs = 0
    try {
      // Longer than a sweep or two, so that what is open is in the index.
      await new Promise((resolve) => setTimeout(resolve, 600))
      stopped.signal('SIGSTOP')
      await subject.revoke()
      revokedAtMs = Date.now()
      await new Promise((resolve) => setTimeout(resolve, STALENESS_MS + SLACK_MS))
    } finally {
      stopped.signal('SIGCONT')
    }
    const wokenAtMs = Date.now()
    await Promise.all([revoked.events.closed(), revoked.socket.closed(), answered(revoked.upload)])
    for (const client of [revoked.events, revoked.socket]) {
      expect(Math.max(...timesIn(client.received()))).toBeLessThanOrEqual(revokedAtMs)
    }
    for (const path of [revoked.socketPath, revoked.uploadPath]) {
      expect(Math.max(...timesIn(arrived.get(path)!))).toBeLessThanOrEqual(revokedAtMs)
    }
    // Whoever is still allowed goes on, whole and in order.
    const isPast = (text: string) => Math.max(...timesIn(text)) > wokenAtMs + 300
    await Promise.all([good.events.until(isPast), good.socket.until(isPast)])
    for (const client of [good.events, good.socket]) expectWhole(client.received())
    for (const path of [good.socketPath, good.uploadPath]) {
      await until(() => isPast(arrived.get(path)!), 'the upstream hears the client')
      expectWhole(arrived.get(path)!)
    }
    good.close()
    revoked.close()
  }, 60_000)
}

test('[FR-035] Postgres frozen: what rests on a credential is cut within the bound, and public streams do not notice', async () => {
  const { url } = fleet.nodes[0]!
  count += 1
  const { credential } = await SUBJECTS['session, by sign-out']!(stage, `frozen-${count}`)
  const live = await openAll(url, credential)
  const open = await begin(url, '/open/events', {})
  await new Promise((resolve) => setTimeout(resolve, 600))
  postgres.pause()
  const pausedAtMs = Date.now()
  try {
    await Promise.all([live.events.closed(), live.socket.closed(), answered(live.upload)])
    const endedAtMs = Date.now()
    expect(endedAtMs - pausedAtMs).toBeLessThan(STALENESS_MS + SLACK_MS)
    await open.until((text) => Math.max(...timesIn(text)) > endedAtMs + 500)
    expectWhole(open.received())
  } finally {
    postgres.resume()
    open.close()
    live.close()
  }
  // It mends by itself.
  let status = 0
  while (status !== 200) status = (await fleet.nodes[0]!.send('GET', '/api/whoami', credential)).status
}, 60_000)

/** The upload is told; what its client still sends is read for a while, and goes nowhere. */
function answered(upload: RawClient): Promise<string> {
  return upload.until((text) => /^HTTP\/1\.1 (?:401|503) /.test(text))
}

interface Open {
  readonly events: RawClient
  readonly socket: RawClient
  readonly upload: RawClient
  readonly socketPath: string
  readonly uploadPath: string
  close(): void
}

/** An event stream, a WebSocket and an upload, each of which says the time every TICK_MS: towards the client, both ways, and from it. */
async function openAll(url: string, credential: Readonly<Record<string, string>>): Promise<Open> {
  count += 1
  const [socketPath, uploadPath] = [`/live/socket-${count}`, `/live/upload-${count}`]
  const events = await begin(url, '/live/events', credential)
  const socket = await begin(url, socketPath, credential, [
    `Origin: ${fleet.origin}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  ])
  const upload = await begin(
    url,
    uploadPath,
    credential,
    [`Origin: ${fleet.origin}`, 'Transfer-Encoding: chunked'],
    'POST',
  )
  await events.until((text) => timesIn(text).length > 1)
  await socket.until((text) => timesIn(text).length > 1)
  const timer = setInterval(() => {
    socket.send(maskedFrame(`<${Date.now()}>`))
    const text = `<${Date.now()}>`
    upload.send(`${text.length.toString(16)}\r\n${text}\r\n`)
  }, TICK_MS)
  await until(() => arrived.has(socketPath) && arrived.has(uploadPath), 'the upstream hears the client')
  return {
    events,
    socket,
    upload,
    socketPath,
    uploadPath,
    close() {
      clearInterval(timer)
      for (const client of [events, socket, upload]) client.close()
    },
  }
}

async function begin(
  url: string,
  path: string,
  credential: Readonly<Record<string, string>>,
  lines: readonly string[] = [],
  method = 'GET',
): Promise<RawClient> {
  const client = await rawClient(url)
  const fields = Object.entries(credential).map(([name, value]) => `${name}: ${value}`)
  const head = [`${method} ${path} HTTP/1.1`, `Host: ${new URL(fleet.origin).host}`, ...fields, ...lines]
  client.send(`${head.join('\r\n')}\r\n\r\n`)
  return client
}

/** Says the time on every stream, and keeps what it is told. */
async function startTicking(): Promise<Server> {
  const server = createServer((request, response) => {
    const path = request.url!
    if (path === '/api/whoami') return void response.end()
    request.setEncoding('latin1').on('data', (text: string) => void keep(path, text))
    if (request.method === 'POST') return
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    tick(response, () => response.write(`data: <${Date.now()}>\n\n`))
  })
  server.on('upgrade', (request, socket: Socket) => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
    socket.on('data', (chunk) => void keep(request.url!, chunk.toString('latin1')))
    tick(socket, () => {
      const text = `<${Date.now()}>`
      socket.write(Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

function tick(stream: NodeJS.EventEmitter, say: () => void): void {
  const timer = setInterval(say, TICK_MS)
  stream.once('close', () => clearInterval(timer))
}

function keep(path: string, text: string): void {
  arrived.set(path, (arrived.get(path) ?? '') + text)
}

/** Masked with zeros, so that what is said can be read as it is. */
function maskedFrame(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])
}

function timesIn(text: string): number[] {
  return [...text.matchAll(/<(\d{13})>/g)].map((match) => Number(match[1]))
}

/** Every moment that was said came, in order: no step is longer than a busy machine makes it. */
function expectWhole(text: string): void {
  const times = timesIn(text)
  expect(times).toEqual(times.toSorted((left, right) => left - right))
  expect(times.length).toBe(new Set(times).size)
  const steps = times.slice(1).map((time, at) => time - times[at]!)
  expect(Math.max(...steps)).toBeLessThan(500)
}
