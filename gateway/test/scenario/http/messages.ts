/** Reads HTTP/1.1 messages out of bytes, by RFC 9112 §6.3 and nothing else: a reader of its own, so that no parser judges itself. */

/** One whole message. */
export interface Message {
  /** Request line or status line. */
  readonly start: string
  /** `name: value`, the name in lower case, in wire order. */
  readonly fields: readonly string[]
  readonly body: string
  readonly trailers: readonly string[]
  readonly raw: string
}

export interface Answer extends Message {
  readonly status: number
  /** 1xx before it. */
  readonly interims: readonly Message[]
}

interface Read {
  readonly message: Message
  readonly length: number
}

/** Null while it is not whole. Throws for what could be read in two ways: nothing of the kind may reach an upstream. */
export function readRequest(bytes: string): Read | null {
  const head = readHead(bytes)
  if (head === null) return null
  const lengths = valuesOf(head.fields, 'content-length')
  const codings = valuesOf(head.fields, 'transfer-encoding')
  if (lengths.length + codings.length > 1) throw new Error(`more than one framing in ${JSON.stringify(bytes)}`)
  if (codings.length > 0) return readChunks(bytes, head)
  return readLength(bytes, head, Number(lengths[0] ?? 0))
}

/** The answers to requests of these methods, and what is left over. `isClosed`: the end of the bytes is the end of the connection. */
export function readAnswers(bytes: string, methods: readonly string[], isClosed: boolean) {
  const answers: Answer[] = []
  let rest = bytes
  let interims: Message[] = []
  while (rest !== '') {
    const head = readHead(rest)
    if (head === null) break
    const status = Number(head.start.split(' ')[1])
    const isInterim = status < 200 && status !== 101
    const method = methods[answers.length] ?? 'GET'
    const read = isInterim ? readLength(rest, head, 0) : readAnswer(rest, head, status, method, isClosed)
    if (read === null) break
    rest = rest.slice(read.length)
    if (isInterim) interims.push(read.message)
    else {
      answers.push({ ...read.message, status, interims })
      interims = []
    }
  }
  return { answers, interims, rest }
}

function readAnswer(bytes: string, head: Head, status: number, method: string, isClosed: boolean): Read | null {
  if (method === 'HEAD' || status === 101 || status === 204 || status === 304) return readLength(bytes, head, 0)
  if (valuesOf(head.fields, 'transfer-encoding').length > 0) return readChunks(bytes, head)
  const length = valuesOf(head.fields, 'content-length')[0]
  if (length !== undefined) return readLength(bytes, head, Number(length))
  return isClosed ? readLength(bytes, head, bytes.length - head.length) : null
}

interface Head {
  readonly start: string
  readonly fields: readonly string[]
  readonly length: number
}

function readHead(bytes: string): Head | null {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [start = '', ...lines] = bytes.slice(0, end).split('\r\n')
  return { start, fields: lines.map(lowered), length: end + 4 }
}

function lowered(line: string): string {
  const colon = line.indexOf(':')
  return `${line.slice(0, colon).toLowerCase()}: ${line.slice(colon + 1).trim()}`
}

export function valuesOf(fields: readonly string[], name: string): string[] {
  return fields.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2))
}

function readLength(bytes: string, { start, fields, length }: Head, bodyLength: number): Read | null {
  const total = length + bodyLength
  if (bytes.length < total) return null
  const message = { start, fields, body: bytes.slice(length, total), trailers: [], raw: bytes.slice(0, total) }
  return { message, length: total }
}

function readChunks(bytes: string, { start, fields, length }: Head): Read | null {
  let at = length
  let body = ''
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return null
    const size = Number.parseInt(bytes.slice(at, lineEnd), 16)
    if (Number.isNaN(size)) throw new Error(`no chunk size in ${JSON.stringify(bytes.slice(at, at + 40))}`)
    at = lineEnd + 2
    if (size === 0) break
    if (bytes.length < at + size + 2) return null
    body += bytes.slice(at, at + size)
    at += size + 2
  }
  const trailers: string[] = []
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return null
    const line = bytes.slice(at, lineEnd)
    at = lineEnd + 2
    if (line === '') return { message: { start, fields, body, trailers, raw: bytes.slice(0, at) }, length: at }
    trailers.push(lowered(line))
  }
}
