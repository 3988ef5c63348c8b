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

const start = async () => {
  const gateway = await startTestGateway({ policy: OPEN_POLICY, upstreamUrl: upstream.url })
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

test('[FR-017] a WebSocket, which has no end of its own, ends with the gateway', async () => {
  const { gateway, host } = await start()
  const client = await rawClient(gateway.url)
  client.send(
    `GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  )
  await client.until((text) => text.includes(' 101 '))
  await gateway.close()
  await client.closed()
  await until(() => upstream.connections() === 0, 'no connection to the upstream is left')
})
