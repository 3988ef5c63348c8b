/** The end of a gateway: what is in flight finishes, nothing new begins, and nothing is left open. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../upstream-mock/server.ts'
import { OPEN_POLICY, startTestGateway } from '../test/support/gateway.ts'
import { isWhole, parseAnswer, rawClient } from '../test/support/raw.ts'
import { until } from '../test/support/until.ts'

let upstream: Upstream

beforeAll(async () => {
  upstream = await startUpstream({ faults: true, record: true })
})

afterAll(() => upstream.close())

const start = async (more = '') => {
  const gateway = await startTestGateway({ policy: `${OPEN_POLICY}\n${more}`, upstreamUrl: upstream.url })
  return { gateway, host: new URL(gateway.origin).host }
}

test('[FR-001] a request in flight is answered whole, an idle connection is closed, and no new one is accepted', async () => {
  const { gateway, host } = await start()
  const idle = await rawClient(gateway.url)
  idle.send(`GET /api/health HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  await idle.until(isWhole)
  const busy = await rawClient(gateway.url)
  busy.send(`GET /faults/slow-head?ms=300 HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  await until(() => upstream.recordings().some((bytes) => bytes.includes('slow-head')), 'the request is in flight')
  const closed = gateway.close()
  await idle.closed()
  await expect(rawClient(gateway.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  expect(parseAnswer(await busy.closed())).toMatchObject({ status: 200, body: 'late\n' })
  await closed
  expect(gateway.records.filter(({ path }) => path === '/faults/slow-head')).toHaveLength(1)
  expect(gateway.faults).toEqual([])
  await until(() => upstream.connections() === 0, 'no connection to the upstream is left')
})

test('[FR-059] the last answer on a connection says so, also where its request came before the end', async () => {
  const { gateway, host } = await start()
  const busy = await rawClient(gateway.url)
  busy.send(`GET /faults/slow-head?ms=301 HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  await until(() => upstream.recordings().some((bytes) => bytes.includes('ms=301')), 'the request is in flight')
  const closed = gateway.close()
  expect(parseAnswer(await busy.closed()).headers.get('connection')).toEqual(['close'])
  await closed
})

test('[FR-059] an announced end: readiness first, the listener stays for the delay, and then nobody gets in', async () => {
  const { gateway, host } = await start('shutdown: { delay: 2s, grace: 5s }')
  const ask = async (path: string) => {
    const client = await rawClient(gateway.url)
    client.send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    return parseAnswer(await client.until(isWhole))
  }
  expect((await ask('/_postern/readyz')).status).toBe(200)
  const closed = gateway.close('announced')
  const [ready, alive, answer] = await Promise.all(['/_postern/readyz', '/_postern/healthz', '/api/health'].map(ask))
  expect([ready?.status, alive?.status, answer?.status]).toEqual([503, 200, 200])
  expect(answer?.headers.get('connection')).toEqual(['close'])
  await closed
  await expect(rawClient(gateway.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('[FR-059] an event stream is told at once and ends whole; its request is on record as answered', async () => {
  const { gateway, host } = await start()
  const client = await rawClient(gateway.url)
  client.send(`GET /api/chat?events=10000&gapMs=50 HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`)
  await client.until((text) => text.includes('text/event-stream'))
  await gateway.close()
  expect(await client.closed()).toMatch(/\r\n0\r\n\r\n$/)
  expect(client.isReset()).toBe(false)
})

test('[FR-059] what is still open after the grace is cut: 503 before a head, torn after it', async () => {
  const { gateway, host } = await start('shutdown: { grace: 100ms }')
  const [never, half] = await Promise.all([rawClient(gateway.url), rawClient(gateway.url)])
  never.send(`GET /faults/never HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  half.send(`GET /faults/slow-body?gapMs=50&chunks=100000 HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  await until(() => upstream.recordings().some((bytes) => bytes.includes('/never')), 'the request is in flight')
  await half.until((text) => text.includes('\r\n\r\n'))
  await gateway.close()
  const told = parseAnswer(await never.closed())
  expect([told.status, JSON.parse(told.body).code]).toEqual([503, 'unavailable'])
  expect(await half.closed()).not.toMatch(/\r\n0\r\n\r\n$/)
  for (const path of ['/faults/never', '/faults/slow-body']) {
    expect(await gateway.recordOf((record) => record.path === path)).toMatchObject({ reason: 'gateway.stopping' })
  }
})

test('[FR-017] a WebSocket, which has no end of its own, ends with the gateway', async () => {
  const { gateway, host } = await start()
  const client = await rawClient(gateway.url)
  client.send(
    `GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  )
  await client.until((text) => text.includes(' 101 '))
  await gateway.close()
  // Final, opcode 8, going away (RFC 6455 §7.4.1).
  expect(await client.closed()).toMatch(/\r\n\r\n\x88.\x03\xe9/s)
  await until(() => upstream.connections() === 0, 'no connection to the upstream is left')
})
