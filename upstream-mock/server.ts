/**
 * An upstream to stand behind a gateway: an ordinary Books app, and with `faults` an instrument that misbehaves on command.
 * A net server hands each socket to a node:http server and keeps a copy of every byte that came in, so recordings are exact.
 */

import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { booksApp } from './books.ts'
import { answerFault, upgradeFault } from './faults.ts'
import { echoWebSocket, refuseUpgrade } from './websocket.ts'

export interface UpstreamOptions {
  readonly host?: string
  /** 0, the default, takes a free port. */
  readonly port?: number
  /** Serve `/faults/*` too. */
  readonly faults?: boolean
  /** Keep every byte received, per connection. Off by default: a long load would fill the memory. */
  readonly record?: boolean
  /** Called when a recorded connection ends. */
  readonly onRecording?: (bytes: Buffer) => void
}

export interface Upstream {
  /** As `http://127.0.0.1:9000`, without a trailing slash. */
  readonly url: string
  readonly port: number
  /** The bytes received on each connection so far, in the order the connections were opened. Empty without `record`. */
  recordings(): Buffer[]
  /** Drops what was recorded; open connections go on recording from here. */
  forget(): void
  /** How many connections are open now. */
  connections(): number
  /** Closes every connection, busy or not, and stops listening. */
  close(): Promise<void>
}

interface Recording {
  chunks: Buffer[]
  isOpen: boolean
}

export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const sockets = new Set<Socket>()
  const http = createAppServer(options.faults === true)
  let recordings: Recording[] = []

  const net = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => sockets.delete(socket))
    http.emit('connection', socket)
    // After the http server took the socket, not before: listening for data makes it give back the raw handle.
    if (options.record === true) recordings.push(recordingOf(socket, options.onRecording))
  })

  const host = options.host ?? '127.0.0.1'
  await new Promise<void>((resolve, reject) => {
    net.once('error', reject)
    net.listen(options.port ?? 0, host, resolve)
  })
  const { port } = net.address() as AddressInfo

  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    port,
    recordings: () => recordings.map((recording) => Buffer.concat(recording.chunks)),
    forget() {
      recordings = recordings.filter((recording) => recording.isOpen)
      for (const recording of recordings) recording.chunks = []
    },
    connections: () => sockets.size,
    async close() {
      const closed = new Promise<void>((resolve) => net.close(() => resolve()))
      const ended = [...sockets].map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())))
      for (const socket of sockets) socket.destroy()
      await Promise.all([closed, ...ended])
    },
  }
}

function recordingOf(socket: Socket, onRecording: UpstreamOptions['onRecording']): Recording {
  const recording: Recording = { chunks: [], isOpen: true }
  socket.on('data', (chunk: Buffer) => recording.chunks.push(chunk))
  socket.once('close', () => {
    recording.isOpen = false
    onRecording?.(Buffer.concat(recording.chunks))
  })
  return recording
}

function createAppServer(withFaults: boolean): HttpServer {
  const app = booksApp()
  const server = createHttpServer({
    maxHeaderSize: 64 * 1024,
    keepAliveTimeout: 60_000,
    shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
  })
  server.on('request', (request, response) => {
    const url = urlOf(request)
    if (withFaults && url.pathname.startsWith('/faults/')) answerFault(url, request, response)
    else app(url, request, response)
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const url = urlOf(request)
    if (withFaults && url.pathname.startsWith('/faults/')) upgradeFault(url, request, socket)
    else if (url.pathname === '/ws') echoWebSocket(request, socket, head, url.searchParams.has('whoami'))
    else refuseUpgrade(socket, 404)
  })
  return server
}

/** The target as this app reads it. Like many an ordinary app it resolves dot segments: a gateway must not rely on it. */
function urlOf(request: IncomingMessage): URL {
  const target = request.url ?? '/'
  const text = target.startsWith('/') ? `http://books.invalid${target}` : target
  return URL.canParse(text) ? new URL(text) : new URL('http://books.invalid/not-found')
}
