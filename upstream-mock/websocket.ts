/**
 * A WebSocket echo by hand (RFC 6455): enough to see every frame that crosses a gateway, and no more.
 * A broken frame ends the connection with the close code the RFC names; nothing is repaired.
 */

import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { whoami } from './books.ts'

const MESSAGE_BYTES_MAX = 1024 * 1024
/** RFC 6455 §1.3. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

const CONTINUATION = 0x0
const TEXT = 0x1
const CLOSE = 0x8
const PING = 0x9
const PONG = 0xa

interface Frame {
  readonly isFinal: boolean
  readonly opcode: number
  readonly payload: Buffer
  /** Bytes of the buffer that the frame took. */
  readonly bytes: number
}

/** A close code (RFC 6455 §7.4.1) when the frame is broken, null when more bytes are needed. */
function parseFrame(buffer: Buffer): Frame | number | null {
  if (buffer.length < 2) return null
  const first = buffer[0]!
  const second = buffer[1]!
  const opcode = first & 0x0f
  const isControl = opcode >= 0x8
  const isKnown = opcode <= 0x2 || (opcode >= CLOSE && opcode <= PONG)
  const isMasked = (second & 0x80) !== 0
  if ((first & 0x70) !== 0 || !isKnown || !isMasked) return 1002
  let length = second & 0x7f
  if (isControl && (length > 125 || (first & 0x80) === 0)) return 1002
  let offset = 2
  if (length === 126) {
    if (buffer.length < 4) return null
    length = buffer.readUInt16BE(2)
    offset = 4
  } else if (length === 127) {
    if (buffer.length < 10) return null
    if (buffer.readBigUInt64BE(2) > BigInt(MESSAGE_BYTES_MAX)) return 1009
    length = Number(buffer.readBigUInt64BE(2))
    offset = 10
  }
  if (length > MESSAGE_BYTES_MAX) return 1009
  const bytes = offset + 4 + length
  if (buffer.length < bytes) return null
  const payload = Buffer.alloc(length)
  for (let i = 0; i < length; i++) payload[i] = buffer[offset + 4 + i]! ^ buffer[offset + (i & 3)]!
  return { isFinal: (first & 0x80) !== 0, opcode, payload, bytes }
}

export function frame(opcode: number, payload: Buffer): Buffer {
  const length = payload.length
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10)
  head[0] = 0x80 | opcode
  if (length < 126) head[1] = length
  else if (length < 65_536) {
    head[1] = 126
    head.writeUInt16BE(length, 2)
  } else {
    head[1] = 127
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([head, payload])
}

/** Answers the handshake (RFC 6455 §4.2). False when it is not one that can be accepted; the socket is then closed. */
export function acceptWebSocket(request: IncomingMessage, socket: Duplex): boolean {
  const key = request.headers['sec-websocket-key']
  if (request.method !== 'GET' || key === undefined || Buffer.from(key, 'base64').length !== 16) {
    refuseUpgrade(socket, 400)
    return false
  }
  if (request.headers['sec-websocket-version'] !== '13') {
    refuseUpgrade(socket, 426, ['Sec-WebSocket-Version: 13'])
    return false
  }
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
  const accept = createHash('sha1').update(key.trim() + ACCEPT_SUFFIX)
  lines.push(`Sec-WebSocket-Accept: ${accept.digest('base64')}`)
  const protocol = request.headers['sec-websocket-protocol']?.split(',')[0]?.trim()
  if (protocol) lines.push(`Sec-WebSocket-Protocol: ${protocol}`)
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  return true
}

/** Sends every message back. With `isTold`, the first message tells what the handshake looked like from here. */
export function echoWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer, isTold: boolean): void {
  socket.on('error', () => socket.destroy())
  if (!acceptWebSocket(request, socket)) return
  if (isTold) socket.write(frame(TEXT, Buffer.from(JSON.stringify(whoami(request)))))
  let rest = head
  let message: { opcode: number; parts: Buffer[]; bytes: number } | null = null

  const closeWith = (code: number) => {
    const payload = Buffer.alloc(2)
    payload.writeUInt16BE(code)
    socket.end(frame(CLOSE, payload))
    socket.removeAllListeners('data')
    socket.resume()
  }

  /** Null when the frame was fine, else the code to close with. */
  const take = ({ opcode, payload, isFinal }: Frame): number | null => {
    if (opcode === PONG) return null
    if (opcode === PING) {
      socket.write(frame(PONG, payload))
      return null
    }
    if (opcode === CLOSE) return payload.length >= 2 ? payload.readUInt16BE(0) : 1000
    if ((opcode === CONTINUATION) === (message === null)) return 1002
    message ??= { opcode, parts: [], bytes: 0 }
    message.parts.push(payload)
    message.bytes += payload.length
    if (message.bytes > MESSAGE_BYTES_MAX) return 1009
    if (!isFinal) return null
    const whole = Buffer.concat(message.parts)
    const kind = message.opcode
    message = null
    if (kind === TEXT && !isUtf8(whole)) return 1007
    socket.write(frame(kind, whole))
    return null
  }

  const onData = (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (;;) {
      const found = parseFrame(rest)
      if (found === null) return
      const code = typeof found === 'number' ? found : take(found)
      if (code !== null) return closeWith(code)
      rest = rest.subarray((found as Frame).bytes)
    }
  }
  socket.on('data', onData)
  socket.once('end', () => socket.end())
  onData(Buffer.alloc(0))
}

function isUtf8(bytes: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}

const REASON_PHRASES: Record<number, string> = { 400: 'Bad Request', 403: 'Forbidden', 404: 'Not Found' }

/** An ordinary answer to an upgrade request, after which the connection is closed. */
export function refuseUpgrade(socket: Duplex, status: number, lines: readonly string[] = []): void {
  const body = `{"error":"no upgrade","status":${status}}\n`
  const head = [
    `HTTP/1.1 ${status} ${REASON_PHRASES[status] ?? 'Refused'}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    'Connection: close',
    ...lines,
  ]
  socket.on('error', () => socket.destroy())
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
