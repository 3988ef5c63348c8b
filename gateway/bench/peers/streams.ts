/** Connections that live long: a thousand event streams that each get a line now and then, and as many WebSockets that say nothing. */

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { cpuUs, memoryBytes } from './processes.ts'
import { linesOf } from './wrk.ts'

export interface StreamMeasure {
  readonly cpuUsPerEvent: number
  readonly bytesPerStream: number
  readonly bytesPerWebSocket: number
}

export interface StreamUpstream {
  close(): Promise<void>
}

const EVENTS_PER_SECOND = 4
const EVENT = `data: ${JSON.stringify({ id: 1, text: 'x'.repeat(100) })}\n\n`
const MEASURED_MS = 5000
/** For a process to come to rest after it was given many connections. */
const SETTLE_MS = 2000
/** Opened at once: more would only test the queue of the listener. */
const OPENED_AT_ONCE = 100
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

export async function startStreamUpstream(port: number): Promise<StreamUpstream> {
  const open = new Set<ServerResponse>()
  const sockets = new Set<Duplex>()
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
    response.write(EVENT)
    open.add(response)
    response.on('close', () => open.delete(response))
  })
  server.on('connection', (socket) => sockets.add(socket).size && socket.on('close', () => sockets.delete(socket)))
  server.on('upgrade', (request, socket) => {
    socket.on('error', () => {})
    const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${ACCEPT_GUID}`).digest('base64')
    const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
    socket.write([...lines, `Sec-WebSocket-Accept: ${accept}`, '', ''].join('\r\n'))
  })
  const timer = setInterval(() => {
    for (const response of open) response.write(EVENT)
  }, 1000 / EVENTS_PER_SECOND)
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    async close() {
      clearInterval(timer)
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** `tokens` go round among the connections. */
export async function measureStreams(
  pids: readonly number[],
  port: number,
  tokens: readonly string[],
  count: number,
): Promise<StreamMeasure> {
  const memory = () => pids.reduce((sum, pid) => sum + memoryBytes(pid), 0)
  const opened = async (path: string, more: (at: number) => readonly string[], hear: (chunk: Buffer) => void) => {
    const sockets: Socket[] = []
    for (let at = 0; at < count; at += OPENED_AT_ONCE) {
      const batch = Array.from({ length: Math.min(OPENED_AT_ONCE, count - at) }, (_, of) => at + of)
      sockets.push(
        ...(await Promise.all(batch.map((each) => open(port, path, tokens[each % tokens.length]!, more(each), hear)))),
      )
    }
    return sockets
  }
  // What the first connections cost is not theirs: code is compiled, and tokens are verified.
  for (const socket of await opened(
    '/events',
    () => [],
    () => {},
  ))
    socket.destroy()
  await wait(SETTLE_MS)

  let events = 0
  const idleBytes = memory()
  const streams = await opened(
    '/events',
    () => [],
    (chunk) => {
      for (let at = chunk.indexOf('data: '); at >= 0; at = chunk.indexOf('data: ', at + 1)) events++
    },
  )
  await wait(SETTLE_MS)
  const [beforeUs, beforeEvents] = [cpuUs(pids), events]
  await wait(MEASURED_MS)
  const cpuUsPerEvent = (cpuUs(pids) - beforeUs) / (events - beforeEvents)
  const bytesPerStream = (memory() - idleBytes) / count
  for (const socket of streams) socket.destroy()
  await wait(SETTLE_MS)

  const quietBytes = memory()
  const key = () => [
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
  ]
  const webSockets = await opened(
    '/ws',
    () => [...key(), 'Sec-WebSocket-Version: 13'],
    () => {},
  )
  await wait(SETTLE_MS)
  const bytesPerWebSocket = (memory() - quietBytes) / count
  for (const socket of webSockets) socket.destroy()
  await wait(SETTLE_MS)
  return { cpuUsPerEvent, bytesPerStream, bytesPerWebSocket }
}

/** Resolves once the answer begins. */
async function open(
  port: number,
  path: string,
  token: string,
  more: readonly string[],
  hear: (chunk: Buffer) => void,
): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  const lines = Object.entries(linesOf(token, false)).map((line) => line.join(': '))
  socket.write([`GET ${path} HTTP/1.1`, ...lines, ...more, '', ''].join('\r\n'))
  const [head] = (await once(socket, 'data')) as [Buffer]
  const status = head.toString('latin1', 9, 12)
  if (status !== '200' && status !== '101')
    throw new Error(`${path} on port ${port}: ${head.toString('latin1', 0, 300)}`)
  socket.on('data', hear)
  return socket
}
