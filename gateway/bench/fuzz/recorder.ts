/** An upstream of bytes: keeps every request exactly as it came, as llhttp reads it, and answers in the manner its path asks for. */

import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type Message, requestReader } from './llhttp.ts'

export interface Heard {
  readonly place: number
  readonly message: Message
  /** As they stood on the wire, once it is complete. */
  bytes: string
  readonly sent: { answer: string; isBad: boolean }
  readonly isOpen: () => boolean
}

export interface Recorder {
  readonly url: string
  /** Requests whose heads came, in order. */
  readonly heard: readonly Heard[]
  /** What arrived that is no request at all. */
  readonly garbage: readonly string[]
  /** Is a request under way, or a byte of one? */
  isBusy(): boolean
  forget(): void
  close(): Promise<void>
}

const HEAD_BYTES_MAX = 256 * 1024

export async function startRecorder(): Promise<Recorder> {
  let heard: Heard[] = []
  let garbage: string[] = []
  const sockets = new Map<Socket, () => boolean>()
  let places = 0
  const server = createServer((socket) => {
    /** From `base` on: what is not part of a complete request. */
    let received = ''
    let base = 0
    let isOver = false
    const own = new Map<Message, Heard>()
    const reader = requestReader({
      headBytesMax: HEAD_BYTES_MAX,
      onHead(message) {
        const one: Heard = {
          place: places++,
          message,
          bytes: '',
          sent: { answer: '', isBad: false },
          isOpen: () => !message.isComplete && !socket.destroyed,
        }
        own.set(message, one)
        heard.push(one)
        if (mannerOf(message.target).startsWith('early')) answer(socket, one)
      },
      onMessage(message) {
        const one = own.get(message)!
        own.delete(message)
        one.bytes = received.slice(message.from - base, message.to - base)
        received = received.slice(message.to - base)
        base = message.to
        reader.forget()
        if (!one.sent.isBad && one.sent.answer === '') answer(socket, one)
      },
    })
    sockets.set(socket, () => received !== '' && !reader.isUpgraded)
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1')
      reader.read(chunk)
      if (reader.error === null || isOver) return
      isOver = true
      garbage.push(`${reader.error}: ${received}`)
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      reader.close()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get heard() {
      return heard
    },
    get garbage() {
      return garbage
    },
    isBusy: () => [...sockets.values()].some((isBusy) => isBusy()),
    forget() {
      heard = []
      garbage = []
    },
    async close() {
      for (const socket of sockets.keys()) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function mannerOf(target: string): string {
  return target.split('?')[0]!.split('/').at(-1)!
}

function answer(socket: Socket, heard: Heard): void {
  const manner = mannerOf(heard.message.target)
  heard.sent.answer = composed(manner, heard)
  heard.sent.isBad = BAD.has(manner)
  const send = () => {
    if (socket.destroyed) return
    socket.write(heard.sent.answer, 'latin1')
    if (manner === 'end' || manner === 'early-end' || heard.sent.isBad) socket.end()
    if (manner === 'poison-late') setImmediate(() => socket.destroyed || socket.write(POISON, 'latin1'))
  }
  if (manner === 'late') setTimeout(send, heard.place % 4)
  else send()
}

const POISON = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
/** No whole answer: the client must be able to tell. */
const BAD: ReadonlySet<string> = new Set(['cut', 'cut-chunks', 'two-lengths', 'garbage', 'nothing', '101', 'flood'])

function composed(manner: string, { place, message }: Heard): string {
  const isHead = message.method === 'HEAD'
  const body = `answer ${place}`
  const mark = `X-Up: ${place}\r\n`
  const length = `Content-Length: ${body.length}\r\n`
  switch (manner) {
    case 'chunked':
      return `HTTP/1.1 200 OK\r\n${mark}Transfer-Encoding: chunked\r\n\r\n${isHead ? '' : `3;x=y\r\n${body.slice(0, 3)}\r\n${(body.length - 3).toString(16)}\r\n${body.slice(3)}\r\n0\r\nX-T: a\r\n\r\n`}`
    case 'empty':
      return `HTTP/1.1 200 OK\r\n${mark}Content-Length: 0\r\n\r\n`
    case '204':
      return `HTTP/1.1 204 No Content\r\n${mark}\r\n`
    case '304':
      return `HTTP/1.1 304 Not Modified\r\n${mark}${length}\r\n`
    case '103':
      return `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n${mark}${length}\r\n${isHead ? '' : body}`
    case 'poison':
      return `HTTP/1.1 200 OK\r\n${mark}${length}\r\n${isHead ? '' : body}${POISON}`
    case 'body-anyway':
      return isHead
        ? `HTTP/1.1 200 OK\r\n${mark}${length}\r\n${body}`
        : `HTTP/1.1 204 No Content\r\n${mark}\r\n${POISON}`
    case 'cut':
      return `HTTP/1.1 200 OK\r\n${isHead ? 'X: ' : `${mark}${length}\r\n`}${body.slice(0, -1)}`
    case 'cut-chunks':
      return `HTTP/1.1 200 OK\r\n${isHead ? 'X: ' : `${mark}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n`}`
    case 'two-lengths':
      return `HTTP/1.1 200 OK\r\n${mark}${length}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`
    case 'garbage':
      return `HTTP/1.1 200 OK\n${mark}\n\0${POISON}`
    case 'nothing':
      return ''
    case '101':
      return `HTTP/1.1 101 Switching Protocols\r\n${mark}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n${POISON}`
    case 'flood':
      return 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(200)
    case 'end':
    case 'early-end':
      return `HTTP/1.1 200 OK\r\n${mark}Connection: close\r\n${length}\r\n${isHead ? '' : body}`
    default:
      return `HTTP/1.1 200 OK\r\n${mark}${length}\r\n${isHead ? '' : body}`
  }
}
