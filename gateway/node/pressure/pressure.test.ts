/** A node under pressure: caps on connections and requests, clients that crawl, and what is told to whom is turned away. */

import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestGateway, type TestGateway } from '../../test/support/gateway.ts'
import { parseAnswer, type RawClient, rawClient } from '../../test/support/raw.ts'
import { until } from '../../test/support/until.ts'

/** Requests that the upstream has and does not answer yet. */
const held: ServerResponse[] = []
const upstream = createServer((request, response) => {
  if (request.url === '/hold') held.push(response)
  else request.resume().on('end', () => response.end('ok\n'))
})
let gateway: TestGateway
let clients: RawClient[] = []

function policy(admission: string, more = ''): string {
  return `
version: 1
origin: ORIGIN
upstreams:
  up: { url: UPSTREAM, assertion: false }
admission: { perAddress: off, ${admission} }
${more}
routes:
  /**: { to: up, access: public, body: 1MiB }
`
}

beforeAll(async () => {
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  gateway = await startTestGateway({ policy: policy('inFlight: 9'), upstreamUrl })
})

afterAll(async () => {
  for (const client of clients) client.close()
  await gateway.close()
  upstream.closeAllConnections()
  upstream.close()
})

beforeEach(async () => {
  for (const client of clients) client.close()
  clients = []
  const left = held.splice(0)
  await until(() => left.every((response) => response.destroyed || response.writableEnded), 'no request is left')
})

async function put(admission: string, more = ''): Promise<void> {
  const { outcome, problem } = await gateway.put(policy(admission, more))
  expect(outcome, problem ?? '').not.toBe('refused')
}

async function ask(path: string, ...lines: readonly string[]): Promise<RawClient> {
  const client = await rawClient(gateway.url)
  clients.push(client)
  client.send([`GET ${path} HTTP/1.1`, `Host: ${new URL(gateway.origin).host}`, ...lines, '', ''].join('\r\n'))
  return client
}

async function answerTo(path: string, ...lines: readonly string[]) {
  const client = await ask(path, 'Connection: close', ...lines)
  return parseAnswer(await client.closed())
}

async function hold(...lines: readonly string[]): Promise<RawClient> {
  const before = held.length
  const client = await ask('/hold', ...lines)
  await until(() => held.length > before, 'the upstream has the request')
  return client
}

test('[FR-058] requests beyond the node’s cap are 503 with Retry-After, and are let in again as others end', async () => {
  await put('inFlight: 2')
  await hold()
  await hold()
  const refused = await answerTo('/')
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toEqual(['1'])
  expect(JSON.parse(refused.body)).toMatchObject({ code: 'unavailable' })
  expect(await gateway.recordOf(({ reason }) => reason === 'gateway.busy')).toMatchObject({ status: 503 })
  for (const path of ['/_postern/healthz', '/_postern/readyz']) expect((await answerTo(path)).status).toBe(200)
  held.shift()!.end('late\n')
  await expect.poll(async () => (await answerTo('/')).status).toBe(200)
})

test('[FR-058] each way a request can end gives its place back', async () => {
  await put('inFlight: 1')
  const leaver = await hold()
  leaver.close()
  await expect.poll(async () => (await answerTo('/')).status).toBe(200)
  for (const [path, status] of [
    ['/%00', 400],
    ['/_postern/nothing', 404],
    ['/', 200],
  ] as const) {
    for (let round = 0; round < 3; round++) expect((await answerTo(path)).status, path).toBe(status)
  }
  const upgrade = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${'a'.repeat(22)}==`,
  ]
  for (let round = 0; round < 3; round++) {
    const client = await ask('/socket', ...upgrade)
    expect(parseAnswer(await client.closed()).status).not.toBe(503)
    client.close()
    await expect.poll(async () => (await answerTo('/')).status).toBe(200)
  }
})

test('[FR-058] an upgrade needs a place too', async () => {
  await put('inFlight: 1')
  await hold()
  const upgrade = [
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${'a'.repeat(22)}==`,
  ]
  const client = await ask('/socket', ...upgrade)
  expect(parseAnswer(await client.closed()).status).toBe(503)
})

test('[FR-058] one address has its own cap, told apart as a trusted proxy tells, IPv6 by its /64', async () => {
  await put('inFlightPerAddress: 1', 'trust: [127.0.0.1/32]')
  await hold('X-Forwarded-For: 2001:db8:1:2::7')
  expect((await answerTo('/', 'X-Forwarded-For: 2001:db8:1:2::8')).status).toBe(503)
  expect((await answerTo('/', 'X-Forwarded-For: 198.51.100.9, 2001:db8:1:2::8')).status).toBe(503)
  expect((await answerTo('/', 'X-Forwarded-For: 2001:db8:1:3::7')).status).toBe(200)
  await put('inFlightPerAddress: 1')
  await hold('X-Forwarded-For: 192.0.2.1')
  expect((await answerTo('/', 'X-Forwarded-For: 192.0.2.2')).status, 'nobody is believed').toBe(503)
})

test('[FR-058] connections of one address beyond its cap are told so and closed; those of a trusted proxy are not', async () => {
  await put('connectionsPerAddress: 2')
  await hold()
  await hold()
  const third = await rawClient(gateway.url)
  const told = parseAnswer(await third.closed())
  expect(told.status).toBe(503)
  expect(told.headers.get('retry-after')).toEqual(['1'])
  expect(told.headers.get('connection')).toEqual(['close'])
  third.close()
  await put('connectionsPerAddress: 2', 'trust: [127.0.0.1/32]')
  for (let more = 0; more < 4; more++) await hold()
})

test('[FR-058] connections beyond the node’s cap are closed as they come', async () => {
  await put('connections: 2')
  await hold()
  const second = await hold()
  const third = await rawClient(gateway.url)
  expect(await third.closed()).toBe('')
  second.close()
  await expect
    .poll(
      async () =>
        await answerTo('/').then(
          ({ status }) => status,
          () => 0,
        ),
    )
    .toBe(200)
})

test('[FR-058] a client that drips its body is cut, and one that is slow but steady is not', async () => {
  await put('bodyIdle: 1s')
  const host = new URL(gateway.origin).host
  const post = async (bytes: number) => {
    const client = await rawClient(gateway.url)
    clients.push(client)
    client.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n`)
    return client
  }
  const dripping = await post(100_000)
  const drip = setInterval(() => dripping.send('x'), 50)
  const steady = await post(50 * 512)
  let sent = 0
  const flow = setInterval(() => (sent++ < 50 ? steady.send('y'.repeat(512)) : clearInterval(flow)), 50)
  try {
    expect(parseAnswer(await dripping.closed()).status).toBe(408)
    expect(parseAnswer(await steady.closed())).toMatchObject({ status: 200, body: expect.stringContaining('ok') })
  } finally {
    clearInterval(drip)
    clearInterval(flow)
  }
})

test('[FR-058] a head that drips, and a connection that says nothing, are cut after the time that the policy in force says', async () => {
  await put('headTimeout: 1s')
  const silent = await rawClient(gateway.url)
  const dripping = await rawClient(gateway.url)
  clients.push(silent, dripping)
  dripping.send(`GET / HTTP/1.1\r\nHost: ${new URL(gateway.origin).host}\r\n`)
  const drip = setInterval(() => dripping.send('X-More: x\r\n'), 50)
  try {
    expect(parseAnswer(await dripping.closed()).status).toBe(408)
    expect(parseAnswer(await silent.closed()).status).toBe(408)
  } finally {
    clearInterval(drip)
  }
})
