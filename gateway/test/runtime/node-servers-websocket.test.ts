/** WebSockets and the several servers of an upstream, over real sockets: which is asked, and that none is asked twice. */

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Backend, fine, startBackend, startMute, torn } from '../support/backend.ts'
import { allPlacesFree, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { freePort } from '../support/ports.ts'
import { exchangeRaw, parseAnswer, rawClient } from '../support/raw.ts'
import { until } from '../support/until.ts'

let a: Backend
let b: Backend
let mute: Awaited<ReturnType<typeof startMute>>
let gateway: TestGateway
/** Statuses of health paths, by their whole URL; 200 where there is none. */
const unwell = new Map<string, number>()
let host: string

const NAMES = ['many', 'half-dead', 'half-mute', 'checked', 'mute', 'idle']
const policy = (deadUrl: string) => `
version: 1
origin: ORIGIN
admission: { perAddress: off }
upstreams:
  many: { url: [${a.url}, ${b.url}], ejection: off, assertion: false }
  half-dead: { url: ["${deadUrl}", ${b.url}], ejection: off, assertion: false }
  half-mute: { url: ["https://127.0.0.1:${mute.port}", ${b.url}], ejection: off, assertion: false, timeouts: { connect: 300ms } }
  checked: { url: [${a.url}, ${b.url}], assertion: false, health: { path: /health/checked, interval: 100ms } }
  mute: { url: "https://127.0.0.1:${mute.port}", assertion: false, timeouts: { connect: 20s } }
  idle: { url: "${a.url}", assertion: false, timeouts: { firstByte: 1h } }
routes:
${NAMES.map((name) => `  /${name}/**: { to: ${name}, access: public }`).join('\n')}
`

beforeAll(async () => {
  ;[a, b] = await Promise.all([startBackend(unwell), startBackend(unwell)])
  mute = await startMute()
  gateway = await startTestGateway({ policy: policy(`http://127.0.0.1:${await freePort()}`) })
  host = new URL(gateway.origin).host
})

afterEach(() => {
  a.answer = fine
  b.answer = fine
  expect(gateway.faults).toEqual([])
})

afterAll(async () => {
  await allPlacesFree(gateway)
  await gateway?.close()
  mute?.close()
  await Promise.all([a?.kill(), b?.kill()])
})

const countOf = (backend: Backend, path: string) => backend.seen.filter((line) => line.endsWith(path)).length
const serversOf = (name: string) => gateway.upstreams().find(({ id }) => id === name)!.servers
const stateOf = (name: string) => serversOf(name).map(({ state }) => state)
const handshake = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
const upgrade = (path: string) => exchangeRaw(gateway.url, handshake(path))

test('[FR-055] a WebSocket goes where requests go: not to a server that is down, and not at all when all are', async () => {
  unwell.set(`${a.url}/health/checked`, 500)
  await until(() => stateOf('checked')[0] === 'down' && stateOf('checked')[1] === 'up', 'one is down')
  for (let at = 0; at < 4; at += 1) expect(parseAnswer(await upgrade('/checked/ws')).status).toBe(200)
  expect([countOf(a, '/checked/ws'), countOf(b, '/checked/ws')]).toEqual([0, 4])
  unwell.set(`${b.url}/health/checked`, 500)
  await until(() => stateOf('checked')[1] === 'down', 'both are down')
  expect(parseAnswer(await upgrade('/checked/ws')).status).toBe(503)
})

test('[FR-055] a WebSocket that could not be sent is sent to another server; one that was sent is not sent again', async () => {
  for (const name of ['half-dead', 'half-mute']) {
    for (let at = 0; at < 8; at += 1) expect(parseAnswer(await upgrade(`/${name}/ws`)).status).toBe(200)
    const records = gateway.records.filter(({ path }) => path === `/${name}/ws`)
    expect(records.some(({ tries }) => tries === 2)).toBe(true)
    expect(records.every(({ server }) => server === b.url)).toBe(true)
  }
  expect(new Set(b.hosts.slice(-8)), 'nor the Host of the one that was not there').toEqual(new Set([host]))
  a.answer = torn
  b.answer = torn
  for (let at = 0; at < 4; at += 1) expect(parseAnswer(await upgrade(`/many/ws`)).status).toBe(502)
  expect(countOf(a, '/many/ws') + countOf(b, '/many/ws')).toBe(4)
})

test('[FR-055] a client that leaves while its WebSocket finds no server, or no answer, gives its place back at once', async () => {
  a.answer = () => {}
  const placesOf = (name: string) => serversOf(name)[0]!.underWay
  for (const name of ['mute', 'idle']) {
    const client = await rawClient(gateway.url)
    client.send(handshake(`/${name}/ws`))
    await until(() => placesOf(name) === 1, 'it is under way')
    client.close()
    expect((await gateway.recordOf(({ path }) => path === `/${name}/ws`)).status).toBe(499)
    expect(placesOf(name)).toBe(0)
  }
})
