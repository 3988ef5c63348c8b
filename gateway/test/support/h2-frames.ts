/** HTTP/2 made of frames: sends exactly what a test wrote, lawful or not, and keeps the frames that come back (RFC 9113 §4.1, RFC 7541). */

import { connect } from 'node:tls'
import { until } from './until.ts'

export const FRAME = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export interface FrameClient {
  send(...frames: readonly Buffer[]): void
  /** Resolves with the first such frame, now or later. */
  until(isWanted: (frame: Frame) => boolean): Promise<Frame>
  readonly frames: readonly Frame[]
  readonly isClosed: () => boolean
  close(): void
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A whole head in one frame; `isEnd`: no body follows. */
export function headers(stream: number, fields: readonly string[], isEnd = true): Buffer {
  return frame(FRAME.headers, isEnd ? 0x5 : 0x4, stream, block(fields))
}

export function reset(stream: number, code: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(code)
  return frame(FRAME.reset, 0, stream, payload)
}

/** Literals without indexing and without Huffman coding. */
export function block(fields: readonly string[]): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < fields.length; at += 2) parts.push(Buffer.from([0]), text(fields[at]!), text(fields[at + 1]!))
  return Buffer.concat(parts)
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  const length: number[] = []
  if (bytes.length < 127) length.push(bytes.length)
  else {
    length.push(127)
    let rest = bytes.length - 127
    for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128)
    length.push(rest)
  }
  return Buffer.concat([Buffer.from(length), bytes])
}

export async function frameClient(url: string, ca: string, servername: string): Promise<FrameClient> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), ca, servername, ALPNProtocols: ['h2'] })
  const frames: Frame[] = []
  let isClosed = false
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const length = 9 + rest.readUIntBE(0, 3)
      const payload = rest.subarray(9, length)
      frames.push({ type: rest[3]!, flags: rest[4]!, stream: rest.readUInt32BE(5) & 0x7fffffff, payload })
      rest = rest.subarray(length)
    }
  })
  socket.on('close', () => {
    isClosed = true
  })
  socket.on('error', () => {})
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', () => resolve()).once('error', reject))
  socket.write(PREFACE)
  socket.write(frame(FRAME.settings, 0, 0))
  return {
    frames,
    send: (...sent) => void (socket.destroyed || socket.write(Buffer.concat(sent))),
    async until(isWanted) {
      await until(() => frames.some(isWanted), 'such a frame')
      return frames.find(isWanted)!
    },
    isClosed: () => isClosed,
    close: () => void socket.destroy(),
  }
}
