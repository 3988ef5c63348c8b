/**
 * The judge: llhttp as Node ships it, strict, fed byte by byte so that each message has its exact place. `_http_common` is
 * Node's own door to it; nothing that is shipped uses it.
 */

import { createRequire } from 'node:module'

export interface Message {
  /** Of requests. */
  readonly method: string
  readonly target: string
  /** Of answers. */
  readonly status: number
  readonly version: string
  readonly headers: readonly string[]
  readonly trailers: readonly string[]
  readonly body: string
  readonly isComplete: boolean
  /** The parser takes what follows for another protocol. */
  readonly isUpgrade: boolean
  /** Nothing in the head says that this is the last message. */
  readonly isKeptAlive: boolean
  /** Places of its first byte and of the first byte behind it. */
  readonly from: number
  readonly to: number
}

type Open = { -readonly [Key in keyof Message]: Message[Key] }

interface Parser {
  [callback: number]: unknown
  initialize(type: number, resource: object, headBytesMax: number, leniency: number): void
  execute(bytes: Buffer): number | Error
  finish(): Error | undefined
  close(): void
}

interface ParserClass {
  new (): Parser
  readonly REQUEST: number
  readonly RESPONSE: number
  readonly kOnMessageBegin: number
  readonly kOnHeaders: number
  readonly kOnHeadersComplete: number
  readonly kOnBody: number
  readonly kOnMessageComplete: number
  readonly kLenientNone: number
  readonly kLenientAll: number
}

const { HTTPParser } = createRequire(import.meta.url)('_http_common') as { HTTPParser: ParserClass }

export interface Reader {
  readonly messages: readonly Message[]
  /** Why it stopped for good; null while it goes on. */
  readonly error: string | null
  /** It stopped because what follows is of another protocol. */
  readonly isUpgraded: boolean
  read(bytes: Buffer): void
  /** Nothing more will come. */
  end(): void
  /** Leaves out of `messages` what is complete. */
  forget(): void
  close(): void
}

export interface ReaderOptions {
  readonly headBytesMax: number
  readonly isLenient?: boolean
  /** For answers: has the one at this place (interim ones not counted) no body whatever it says? */
  readonly isBodiless?: (place: number) => boolean
  readonly onHead?: (message: Message) => void
  readonly onMessage?: (message: Message) => void
}

export function requestReader(options: ReaderOptions): Reader {
  return reader(HTTPParser.REQUEST, options)
}

export function answerReader(options: ReaderOptions): Reader {
  return reader(HTTPParser.RESPONSE, options)
}

function reader(type: number, options: ReaderOptions): Reader {
  const messages: Open[] = []
  let current: Open | null = null
  let first: string[] = []
  let target = ''
  let error: string | null = null
  let isUpgraded = false
  /** Of the byte that is read. */
  let place = 0
  /** Of the body under way; one string made byte by byte would take thirty times its length. */
  let pieces: string[] = []
  const gather = () => {
    if (current !== null && pieces.length > 0) current.body += pieces.join('')
    pieces = []
  }
  let finals = 0
  let begin = 0
  let seen = ''
  const parser = new HTTPParser()
  parser.initialize(
    type,
    {},
    options.headBytesMax,
    options.isLenient ? HTTPParser.kLenientAll : HTTPParser.kLenientNone,
  )
  parser[HTTPParser.kOnMessageBegin] = () => {
    first = []
    target = ''
    current = null
    seen = seen.slice(-1)
    begin = place
  }
  parser[HTTPParser.kOnHeaders] = (lines: string[], url: string) => {
    if (current === null) {
      first.push(...lines)
      target += url
    } else current.trailers = [...current.trailers, ...lines]
  }
  parser[HTTPParser.kOnHeadersComplete] = (
    major: number,
    minor: number,
    more: string[] | undefined,
    _method: number,
    url: string | undefined,
    status: number | undefined,
    _reason: string,
    isUpgrade: boolean,
  ) => {
    const lines = [...first, ...(more ?? [])]
    current = {
      method: seen.slice(0, seen.indexOf(' ')),
      target: target + (url ?? ''),
      status: status ?? 0,
      version: `${major}.${minor}`,
      headers: lines,
      trailers: [],
      body: '',
      isComplete: false,
      isUpgrade,
      isKeptAlive:
        minor > 0 && !lines.some((value, at) => value === 'close' && /^connection$/i.test(lines[at - 1] ?? '')),
      from: begin,
      to: place + 1,
    }
    messages.push(current)
    options.onHead?.(current)
    if (type === HTTPParser.REQUEST || current.status < 200) return 0
    return options.isBodiless?.(finals++) ? 1 : 0
  }
  parser[HTTPParser.kOnBody] = (bytes: Buffer) => {
    pieces.push(bytes.toString('latin1'))
  }
  parser[HTTPParser.kOnMessageComplete] = () => {
    const done = current
    if (done === null) return
    gather()
    done.isComplete = true
    isUpgraded = done.isUpgrade
    done.to = Math.max(done.to, place + 1)
    options.onMessage?.(done)
  }
  return {
    messages,
    get error() {
      return error
    },
    get isUpgraded() {
      return isUpgraded
    },
    read(bytes) {
      for (let at = 0; at < bytes.length && error === null && !isUpgraded; at += 1, place += 1) {
        if (current?.isComplete !== false) seen += String.fromCharCode(bytes[at]!)
        const read = parser.execute(bytes.subarray(at, at + 1))
        if (typeof read !== 'number') error = 'code' in read ? String(read.code) : read.message
      }
      gather()
    },
    end() {
      if (error !== null || isUpgraded) return
      const failed = parser.finish()
      if (failed !== undefined) error = 'code' in failed ? String(failed.code) : failed.message
    },
    forget() {
      for (let at = messages.length - 1; at >= 0; at -= 1) if (messages[at]!.isComplete) messages.splice(at, 1)
    },
    close: () => parser.close(),
  }
}
