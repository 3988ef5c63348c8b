/** Connections of HTTP/2 that nobody uses end; those with a request on them do not. */

import { type ClientHttp2Session, connect } from 'node:http2'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { until } from '../../test/support/until.ts'
import type { Http2Response } from './exchange.ts'
import { type Http2Sessions, http2Sessions } from './sessions.ts'

let server: Server
let sessions: Http2Sessions
let clients: ClientHttp2Session[] = []

afterEach(() => {
  for (const client of clients) client.destroy()
  clients = []
  sessions.destroy()
  server.close()
})

async function open(pace: { idleMs: number; firstMs: number }, serve: (response: Http2Response) => void) {
  sessions = http2Sessions((_request, response) => serve(response), { sweepMs: 5, ...pace })
  server = createServer((socket) => sessions.accept(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  client.on('error', () => {})
  clients.push(client)
  return client
}

const never = 1_000_000

test('[FR-057] a connection on which no first request comes is closed', async () => {
  const client = await open({ idleMs: never, firstMs: 20 }, () => {})
  await until(() => client.destroyed && sessions.size === 0, 'its end, on both sides')
})

test('[FR-057] a connection without a request is closed after a while, and not while there is one', async () => {
  let held: Http2Response | null = null
  const client = await open({ idleMs: 20, firstMs: never }, (response) => {
    held = response
    response.writeHead(200, [])
    response.flushHeaders()
  })
  const stream = client.request({ ':path': '/' })
  let text = ''
  stream.on('data', (chunk) => {
    text += chunk
  })
  await until(() => held !== null, 'the request')
  const startedAtMs = performance.now()
  await until(() => performance.now() - startedAtMs > 100, 'several sweeps')
  expect(client.closed).toBe(false)
  held!.end('whole')
  await until(() => client.destroyed, 'its end')
  expect(text).toBe('whole')
})
