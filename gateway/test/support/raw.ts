/** A client made of bytes: sends exactly what a test wrote and keeps exactly what came back, so that no library repairs either. */

import { connect, type Socket } from 'node:net'
import { bareHost } from '../../http/authority.ts'

export interface RawClient {
  readonly socket: Socket
  send(bytes: string | Buffer): void
  /** Everything received so far, each byte one character. */
  received(): string
  /** Resolves when what was received satisfies `isEnough`; rejects with what came instead. */
  until(isEnough: (received: string) => boolean): Promise<string>
  /** Resolves with everything received when the other end has closed. */
  closed(): Promise<string>
  /** True when the connection was reset rather than closed. */
  isReset(): boolean
  close(): void
}

export interface RawAnswer {
  readonly status: number
  /** Lower-case name to its values in wire order. */
  readonly headers: ReadonlyMap<string, readonly string[]>
  readonly head: string
  readonly body: string
}

const WAIT_MS = 10_000

export async function rawClient(url: string): Promise<RawClient> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: bareHost(hostname), port: Number(port), allowHalfOpen: true })
  const waiting = new Set<() => void>()
  let text = ''
  let isClosed = false
  let wasReset = false
  const wake = () => {
    for (const check of waiting) check()
  }
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    wake()
  })
  socket.on('error', (error) => {
    wasReset ||= 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
  })
  const end = () => {
    isClosed = true
    wake()
  }
  socket.on('end', end).on('close', end)
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))

  const wait = (isDone: () => boolean, isHopeless: () => boolean): Promise<string> =>
    new Promise((resolve, reject) => {
      const fail = (why: string) => finish(() => reject(new Error(`${why}; received: ${JSON.stringify(text)}`)))
      const timer = setTimeout(() => fail(`nothing for ${WAIT_MS} ms`), WAIT_MS)
      const finish = (settle: () => void) => {
        clearTimeout(timer)
        waiting.delete(check)
        settle()
      }
      const check = () => {
        if (isDone()) finish(() => resolve(text))
        else if (isHopeless()) fail('the connection ended')
      }
      waiting.add(check)
      check()
    })

  return {
    socket,
    send: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    received: () => text,
    until: (isEnough) =>
      wait(
        () => isEnough(text),
        () => isClosed,
      ),
    closed: () =>
      wait(
        () => isClosed,
        () => false,
      ),
    isReset: () => wasReset,
    close: () => void socket.destroy(),
  }
}

/** Sends one request on a connection of its own and returns all that came back before it was closed. */
export async function exchangeRaw(url: string, bytes: string | Buffer): Promise<string> {
  const client = await rawClient(url)
  try {
    client.send(bytes)
    return await client.closed()
  } finally {
    client.close()
  }
}

/** The first answer in `text`; the body is whatever follows the head, undecoded. */
export function parseAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) throw new Error(`no whole head in ${JSON.stringify(text)}`)
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = new Map<string, string[]>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()])
  }
  return { status: Number(statusLine.split(' ')[1]), headers, head: text.slice(0, end), body: text.slice(end + 4) }
}

/** True when `text` holds a whole answer framed by Content-Length or chunks. */
export function isWhole(text: string): boolean {
  if (!text.includes('\r\n\r\n')) return false
  const { headers, body } = parseAnswer(text)
  const length = headers.get('content-length')?.[0]
  return length === undefined ? body.endsWith('0\r\n\r\n') : body.length >= Number(length)
}
