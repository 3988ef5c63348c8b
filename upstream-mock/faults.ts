/**
 * Misbehavior on command: each row of FAULTS breaks one rule of HTTP or of good manners, and says which.
 * Bytes are written to the socket as they stand here, so that no library can repair them on the way out.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { numberOf, sendJson, sendText } from './books.ts'
import { acceptWebSocket, frame, refuseUpgrade } from './websocket.ts'

type Fault = (url: URL, request: IncomingMessage, response: ServerResponse, socket: Socket) => void

const BYTES_MAX = 1024 * 1024 * 1024
const MS_MAX = 600_000

/** What a hostile upstream would set on the origin it shares with the gateway. */
const HOSTILE_LINES = [
  'Set-Cookie: postern.session_token=evil; Path=/',
  'Set-Cookie: __Host-postern.session_token=evil; Path=/; Secure',
  'Set-Cookie: POSTERN.session_token=evil; Path=/',
  'Set-Cookie: books=kept; Path=/',
  'Clear-Site-Data: "*"',
  'Service-Worker-Allowed: /',
  'Alt-Svc: h3="evil.example:443"',
  'NEL: {"report_to":"evil","max_age":1}',
  'Report-To: {"group":"evil","max_age":1,"endpoints":[{"url":"https://evil.example/"}]}',
  'X-Request-Id: evil',
  'Connection: keep-alive, X-Secret-Hop',
  'X-Secret-Hop: evil',
  'Keep-Alive: timeout=999',
  'Proxy-Authenticate: Basic realm="evil"',
]

const FAULTS: Record<string, Fault> = {
  /** Content-Length promises 1000 bytes more than come. `after` bytes are sent first; `reset` sends RST instead of FIN. */
  torn(url, _request, _response, socket) {
    const after = numberOf(url, 'after', 10, BYTES_MAX)
    const end = url.searchParams.has('reset') ? () => socket.resetAndDestroy() : () => socket.destroy()
    socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${after + 1000}\r\n\r\n`)
    socket.write('x'.repeat(after), end)
  },
  /** A whole chunk, half a chunk, and the end of the connection. */
  'torn-chunked'(_url, _request, _response, socket) {
    socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n')
    socket.write('5\r\nwhole\r\n10\r\nhalf', () => socket.destroy())
  },
  'slow-head'(url, _request, response) {
    later(response, numberOf(url, 'ms', 1000, MS_MAX), () => sendText(response, 200, 'late\n'))
  },
  /** The head at once, then `chunks` bytes of body, `gapMs` apart. */
  'slow-body'(url, _request, response) {
    const gapMs = numberOf(url, 'gapMs', 100, MS_MAX)
    let left = numberOf(url, 'chunks', 5, 100_000)
    response.writeHead(200, { 'Content-Type': 'text/plain' })
    response.flushHeaders()
    const timer = setInterval(() => {
      if (left-- > 0) return void response.write('x')
      clearInterval(timer)
      response.end()
    }, gapMs)
    response.once('close', () => clearInterval(timer))
  },
  /** 103 and 100 before the answer (RFC 8297, RFC 9110 §15.2). */
  '1xx'(_url, _request, _response, socket) {
    socket.write('HTTP/1.1 103 Early Hints\r\nLink: </early.css>; rel=preload\r\nX-Forwarded-User: early\r\n\r\n')
    socket.write('HTTP/1.1 100 Continue\r\n\r\n')
    socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nfinal\n')
  },
  trailers(_url, _request, _response, socket) {
    const head = 'HTTP/1.1 200 OK\r\nTrailer: X-Checksum, Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n'
    socket.write(`${head}4\r\nbody\r\n0\r\nX-Checksum: 1\r\nSet-Cookie: postern.session_token=evil\r\n\r\n`)
  },
  /** Framing that lies (RFC 9112 §6.3): `kind` is short (more bytes than promised), two, both or negative. */
  'wrong-length'(url, _request, _response, socket) {
    const framing: Record<string, string> = {
      short: 'Content-Length: 5',
      two: 'Content-Length: 5\r\nContent-Length: 9',
      both: 'Content-Length: 5\r\nTransfer-Encoding: chunked',
      negative: 'Content-Length: -5',
    }
    const line = framing[url.searchParams.get('kind') ?? 'short'] ?? framing.short
    socket.write(`HTTP/1.1 200 OK\r\n${line}\r\n\r\nhello, and more than was promised`)
  },
  garbage(_url, _request, _response, socket) {
    socket.write('\x00\x01\x02 this is not HTTP at all\r\n\r\n')
  },
  /** `cookie` adds Set-Cookie lines to those that any hostile upstream would try. */
  'set-cookie'(url, _request, _response, socket) {
    const more = url.searchParams.getAll('cookie').map((line) => `Set-Cookie: ${line}`)
    writeHead(socket, 200, [...HOSTILE_LINES, ...more, 'Content-Length: 3'])
    socket.end('ok\n')
  },
  /** `set=Name: value` writes a line as given; `count` and `bytes` write many lines, or one of that size. */
  headers(url, _request, _response, socket) {
    const lines = [...url.searchParams.getAll('set')]
    const count = numberOf(url, 'count', 0, 100_000)
    for (let i = 0; i < count; i++) lines.push(`X-Many-${i}: ${i}`)
    const bytes = numberOf(url, 'bytes', 0, 16 * 1024 * 1024)
    if (bytes > 0) lines.push(`X-Large: ${'x'.repeat(bytes)}`)
    writeHead(socket, 200, [...lines, 'Content-Length: 3'])
    socket.end('ok\n')
  },
  /** Answers before a byte of the body is read; `close` ends the connection too. */
  early(url, _request, response, socket) {
    const status = numberOf(url, 'status', 200, 599)
    sendText(response, Math.max(status, 200), 'early\n')
    if (url.searchParams.has('close')) response.once('finish', () => socket.destroy())
  },
  /** A WebSocket that is refused; a plain request is told to upgrade. */
  'ws-refuse'(_url, _request, response) {
    sendText(response, 426, 'This is a WebSocket.\n', { Upgrade: 'websocket' })
  },
  never() {},
  /** The connection ends without a byte of an answer. */
  close(url, _request, _response, socket) {
    if (url.searchParams.has('reset')) socket.resetAndDestroy()
    else socket.destroy()
  },
  /** A whole answer that keeps the connection alive, which is then closed: the next request on it meets a dead one. */
  stale(_url, _request, _response, socket) {
    socket.write('HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 6\r\n\r\nstale\n', () => socket.end())
  },
  /** `cc` is the Cache-Control to answer with, given as often as it should appear. */
  cache(url, _request, response) {
    for (const value of url.searchParams.getAll('cc')) response.appendHeader('Cache-Control', value)
    response.setHeader('CDN-Cache-Control', 'max-age=600')
    response.setHeader('Surrogate-Control', 'max-age=600')
    sendText(response, 200, 'cached?\n')
  },
  status(url, _request, response) {
    const code = Math.max(200, numberOf(url, 'code', 200, 599))
    if (code === 204 || code === 304) response.writeHead(code).end()
    else sendJson(response, code, { status: code })
  },
  /** `bytes` of body, as fast as they are read; `chunked` leaves their number unsaid. */
  big(url, _request, response) {
    let left = numberOf(url, 'bytes', 1024 * 1024, BYTES_MAX)
    const block = Buffer.alloc(64 * 1024, 'x')
    const head = { 'Content-Type': 'application/octet-stream' }
    response.writeHead(200, url.searchParams.has('chunked') ? head : { ...head, 'Content-Length': left })
    const fill = () => {
      while (left > 0 && !response.destroyed) {
        const part = block.subarray(0, Math.min(left, block.length))
        left -= part.length
        if (!response.write(part)) return void response.once('drain', fill)
      }
      if (!response.destroyed) response.end()
    }
    fill()
  },
  /** An HTTP/1.0 answer whose end is the end of the connection. */
  http10(_url, _request, _response, socket) {
    socket.end('HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold manners\n')
  },
}

export const FAULT_NAMES: readonly string[] = Object.keys(FAULTS)

export function answerFault(url: URL, request: IncomingMessage, response: ServerResponse): void {
  const fault = named(FAULTS, url)
  if (fault === undefined) sendJson(response, 404, { error: 'no such fault', faults: FAULT_NAMES })
  else fault(url, request, response, request.socket)
}

type UpgradeFault = (url: URL, request: IncomingMessage, socket: Duplex) => void

/** Faults of the WebSocket handshake (RFC 6455 §4). Those that wait read on, so that a recording shows what comes before the 101. */
const UPGRADE_FAULTS: Record<string, UpgradeFault> = {
  never: (_url, _request, socket) => socket.resume(),
  close: (_url, _request, socket) => socket.destroy(),
  'ws-refuse': (url, _request, socket) => refuseUpgrade(socket, numberOf(url, 'status', 403, 599), HOSTILE_LINES),
  'ws-late'(url, request, socket) {
    socket.resume()
    const timer = setTimeout(() => acceptWebSocket(request, socket), numberOf(url, 'ms', 1000, MS_MAX))
    socket.once('close', () => clearTimeout(timer))
  },
  'ws-wrong'(_url, _request, socket) {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n')
    socket.write(`Sec-WebSocket-Accept: wrong\r\n${HOSTILE_LINES.join('\r\n')}\r\n\r\n`)
  },
  'ws-torn'(_url, request, socket) {
    if (!acceptWebSocket(request, socket)) return
    const message = frame(0x1, Buffer.from('this frame is never finished'))
    socket.write(message.subarray(0, 8), () => socket.destroy())
  },
}

/** Names that exist for upgrades alone. */
export const UPGRADE_FAULT_NAMES: readonly string[] = Object.keys(UPGRADE_FAULTS).filter((name) => !(name in FAULTS))

export function upgradeFault(url: URL, request: IncomingMessage, socket: Duplex): void {
  socket.on('error', () => socket.destroy())
  const fault = named(UPGRADE_FAULTS, url)
  if (fault === undefined) refuseUpgrade(socket, 404)
  else fault(url, request, socket)
}

function named<T>(faults: Record<string, T>, url: URL): T | undefined {
  const name = url.pathname.slice('/faults/'.length)
  return Object.hasOwn(faults, name) ? faults[name] : undefined
}

function writeHead(socket: Socket, status: number, lines: readonly string[]): void {
  socket.write(`HTTP/1.1 ${status} OK\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`)
}

function later(response: ServerResponse, delayMs: number, act: () => void): void {
  const timer = setTimeout(act, delayMs)
  response.once('close', () => clearTimeout(timer))
}
