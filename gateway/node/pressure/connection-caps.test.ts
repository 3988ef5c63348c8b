/** Readers that take nothing: what waits for them stays bounded, and their connections end, whatever was sent on them. */

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { rawClient } from '../../test/support/raw.ts'
import { until } from '../../test/support/until.ts'
import { capConnections } from './connection-caps.ts'

const LIMITS = { connectionsMax: 100, perAddressMax: 100, isTrusted: () => false }
const PACE = { sweepMs: 20, stallMs: 200 }
const PIECE = Buffer.alloc(64 * 1024)
const BYTES = 512 * PIECE.length
let server: Server

afterEach(() => {
  server.closeAllConnections()
  server.close()
})

async function start() {
  const counts = { open: 0, refused: 0 }
  server = createServer((_request, response) => {
    let left = BYTES
    const fill = () => {
      while (left > 0) {
        left -= PIECE.length
        if (!response.write(PIECE)) return void response.once('drain', fill)
      }
      response.end()
    }
    fill()
  })
  const open = capConnections(
    server,
    () => LIMITS,
    (socket) => socket.destroy(),
    counts,
    PACE,
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = await rawClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  return { client, open, counts }
}

test('[FR-058] a reader that takes nothing, or a few bytes now and then, is cut', async () => {
  for (const isDripping of [false, true]) {
    const { client, counts } = await start()
    client.socket.pause()
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const drip = setInterval(() => isDripping && client.socket.read(1), 20)
    await until(() => counts.open === 1, 'it is connected')
    await until(() => counts.open === 0, 'it is cut')
    clearInterval(drip)
    client.close()
    server.close()
  }
})

test('[FR-058] a reader that is slow and takes a piece in each interval is not', async () => {
  const { client, counts } = await start()
  client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  let isReading = true
  const stop = setInterval(() => {
    isReading = !isReading
    if (isReading) client.socket.resume()
    else client.socket.pause()
  }, 30)
  const received = await client.closed()
  clearInterval(stop)
  expect(received.length).toBeGreaterThan(BYTES)
  expect(counts.refused).toBe(0)
})
