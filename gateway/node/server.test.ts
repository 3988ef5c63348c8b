/** A bug anywhere behind the listener is 503, a stack in the journal and one record; never a pass, and never the end of the process. */

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { AccessRecord } from '../model.ts'
import type { Ports } from '../ports.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { noPressure } from '../test/support/pressure.ts'
import { exchangeRaw, parseAnswer, rawClient } from '../test/support/raw.ts'
import { loadPolicy } from './config-file.ts'
import type { Endpoints, Gateway } from './gateway.ts'
import { openExchanges } from './open-exchanges.ts'
import { openSockets } from './open-sockets.ts'
import { relaySweep } from './relay-sweep.ts'
import { createGatewayServer } from './server.ts'
import { closeServer } from './shutdown.ts'
import { openUpstreams } from './upstream/upstreams.ts'

const TEXT = `
version: 1
origin: http://books.test
upstreams: { up: { url: http://127.0.0.1:9, assertion: false } }
routes: { /**: { to: up, access: login }, /public: { to: up, access: public } }
`
const bug = () => {
  throw new TypeError('a bug nobody foresaw')
}
const rejection = async () => bug()
const none: Ports = {
  counters: memoryCounters(1000),
  sessions: null,
  tokens: null,
  keys: null,
  revocations: null,
  servers: null,
  assertions: null,
  sealer: null,
  journal: { record: () => {}, fault: () => {} },
}

let stop: (() => Promise<void>) | undefined
afterEach(() => stop?.())

async function start(ports: Partial<Ports>, endpoints: Endpoints = { fetch: () => new Response('own') }) {
  const records: AccessRecord[] = []
  const faults: unknown[] = []
  const journal = {
    record: (record: AccessRecord) => records.push(record),
    fault: (_id: string, e: unknown) => faults.push(e),
  }
  const { snapshot } = loadPolicy({ text: TEXT, file: 'test.yaml' }, {}, { port: null, upstreamUrl: null })
  const upgraded = openSockets()
  const sweep = relaySweep()
  const gateway: Gateway = {
    snapshot,
    ports: { ...none, ...ports, journal },
    endpoints,
    upstreams: openUpstreams(),
    sweep,
    upgraded,
    exchanges: openExchanges({
      revocations: null,
      recheck: bug,
      snapshot: () => snapshot,
      maxStalenessMs: 5000,
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      fault: bug,
    }),
    ...noPressure(),
  }
  const server: Server = createGatewayServer({ current: gateway })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stop = async () => {
    sweep.stop()
    await closeServer(server, upgraded, null, 1000)
  }
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, records, faults }
}

const request = (target: string, ...lines: string[]) =>
  [`GET ${target} HTTP/1.1`, 'Host: books.test', ...lines, '', ''].join('\r\n')
const CLOSE = 'Connection: close'
const BEARER = 'Authorization: Bearer abc'
const UPGRADE = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]

for (const [title, ports, bytes] of [
  ['a port that throws', { tokens: { verifyToken: bug } }, request('/x', BEARER, CLOSE)],
  ['a port that rejects', { tokens: { verifyToken: rejection } }, request('/x', BEARER, CLOSE)],
  ['a port that throws under an upgrade', { tokens: { verifyToken: bug } }, request('/x', BEARER, ...UPGRADE)],
  [
    'a refusal that cannot be composed',
    { sealer: { seal: rejection, open: bug } },
    request('/x', 'Sec-Fetch-Mode: navigate', CLOSE),
  ],
] as const) {
  test(`[FR-023] ${title}: 503, a stack in the journal, one record, and nothing of it in the answer`, async () => {
    const { url, records, faults } = await start(ports)
    const answer = parseAnswer(await exchangeRaw(url, bytes))
    expect(answer.status).toBe(503)
    expect(JSON.parse(answer.body).code).toBe('cannot-decide')
    expect(answer.body).not.toMatch(/foresaw|TypeError|\.ts/)
    expect(faults).toEqual([
      expect.objectContaining({ message: 'a bug nobody foresaw', stack: expect.stringMatching(/\n\s+at /) }),
    ])
    await expect.poll(() => records).toEqual([expect.objectContaining({ status: 503, reason: 'gateway.bug' })])
  })
}

test('[FR-023] an endpoint that throws: 503, and the next request is served', async () => {
  let calls = 0
  const { url, records, faults } = await start({}, { fetch: () => (calls++ === 0 ? bug() : new Response('own')) })
  expect(parseAnswer(await exchangeRaw(url, request('/_postern/healthz', CLOSE))).status).toBe(503)
  expect(parseAnswer(await exchangeRaw(url, request('/_postern/healthz', CLOSE))).body).toBe('own')
  expect(faults).toHaveLength(1)
  await expect
    .poll(() => records.map(({ status, reason }) => [status, reason]))
    .toEqual([
      [503, 'gateway.bug'],
      [200, null],
    ])
})

test('[FR-019] what never became a request is recorded too, once, without a head', async () => {
  const { url, records } = await start({})
  await exchangeRaw(url, 'nonsense\r\n\r\n')
  await exchangeRaw(url, request('/x', ...Array.from({ length: 300 }, (_, at) => `X-${at}: y`), CLOSE))
  await expect
    .poll(() => records.map(({ method, path, status }) => [method, path, status]))
    .toEqual([
      ['-', '-', 400],
      ['-', '-', 431],
    ])
})

test('[FR-002] an own path gets the body whole, within limits, and a request rebuilt from the admitted head', async () => {
  const seen: string[] = []
  const { url } = await start(
    {},
    {
      async fetch(own) {
        seen.push(
          `${own.method} ${own.url} ${own.headers.get('x-postern-client-ip')} ${own.headers.get('x-forwarded-user')} ${await own.text()}`,
        )
        return new Response('made', {
          status: 201,
          headers: [
            ['set-cookie', 'a=1'],
            ['set-cookie', 'b=2'],
          ],
        })
      },
    },
  )
  const post = (body: string) =>
    request(
      '/_postern/%7Ea?x=1',
      CLOSE,
      'X-Postern-Client-IP: 6.6.6.6',
      'X-Forwarded-User: forged',
      `Content-Length: ${body.length}`,
    ).replace('GET', 'POST') + body
  const answer = parseAnswer(await exchangeRaw(url, post('hello')))
  expect(answer.status).toBe(201)
  expect(answer.headers.get('set-cookie')).toEqual(['a=1', 'b=2'])
  expect(answer.headers.get('cache-control')).toEqual(['no-store'])
  expect(seen).toEqual(['POST http://books.test/_postern/~a?x=1 127.0.0.1 null hello'])
  expect(parseAnswer(await exchangeRaw(url, post('x'.repeat(70_000)))).status).toBe(413)
  expect(seen).toHaveLength(1)
})

test('[FR-053] a connection that waited for a decision and ends with it is read to its end, and what comes is no request', async () => {
  let decide = bug as () => void
  const undecided = new Promise<never>((_, reject) => {
    decide = () => reject(new Error('decided'))
  })
  const { server, url, records } = await start({ tokens: { verifyToken: () => undecided } })
  let requests = 0
  server.on('request', () => requests++)
  const client = await rawClient(url)
  const more = 40_000
  client.send(`${request('/x', BEARER)}GET / HTTP/1.1\r\n\r\n${request('/y').repeat(more)}`)
  await expect.poll(() => requests).toBeGreaterThan(1)
  decide()
  expect((await client.closed()).match(/^HTTP.*/gm)).toEqual([
    'HTTP/1.1 503 Service Unavailable',
    'HTTP/1.1 400 Bad Request',
  ])
  const taken = requests
  client.socket.end()
  await expect.poll(() => client.socket.closed, { timeout: 10_000 }).toBe(true)
  expect(client.isReset()).toBe(false)
  expect(client.socket.bytesWritten).toBeGreaterThan(more * request('/y').length)
  expect(requests).toBe(taken)
  expect(records).toHaveLength(2)
})
