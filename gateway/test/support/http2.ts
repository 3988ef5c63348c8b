/** A client of HTTP/2: sends the fields as given, and keeps what comes back and how it ended. */

import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'

export interface Http2Client {
  readonly session: ClientHttp2Session
  /** Sends a whole request and waits until its stream is closed. */
  ask(fields: readonly string[], body?: string | Buffer): Promise<Http2Answer>
  /** Begins a request; what comes of it is in `answer`. */
  open(fields: readonly string[]): Http2Exchange
  close(): void
}

export interface Http2Exchange {
  readonly stream: ClientHttp2Stream
  readonly answer: Promise<Http2Answer>
  /** Of the body so far. */
  received(): string
  status(): number
}

export interface Http2Answer {
  readonly status: number
  /** Flat, as they came, without the status. */
  readonly lines: readonly string[]
  readonly interims: readonly number[]
  readonly body: string
  readonly trailers: readonly string[]
  /** Its end came with END_STREAM. */
  readonly isWhole: boolean
  readonly rstCode: number
}

/** Any host may be asked for on one connection; the certificate is that of `ca`. */
export async function http2Client(url: string, ca: string, servername = 'localhost'): Promise<Http2Client> {
  const options = { ca, servername, strictSingleValueFields: false }
  const session = connect(url, options)
  session.on('error', () => {})
  await new Promise<void>((resolve, reject) => session.once('connect', () => resolve()).once('error', reject))
  const open = (fields: readonly string[]): Http2Exchange => {
    const stream = session.request([...fields], { endStream: false })
    const found = { status: 0, lines: [] as string[], interims: [] as number[], trailers: [] as string[], body: '' }
    let isWhole = false
    const { push } = stream
    // Of a reset Node tells as of an end; only END_STREAM comes while the stream is open.
    stream.push = (chunk, encoding) => {
      if (chunk === null && !stream.closed) isWhole = true
      return push.call(stream, chunk, encoding)
    }
    stream.on('headers', (head) => found.interims.push(Number(head[':status'])))
    stream.on('response', (head, _flags, raw: string[]) => {
      found.status = Number(head[':status'])
      found.lines = raw.slice(2)
    })
    stream.on('trailers', (_head, _flags, raw: string[]) => {
      found.trailers = raw
    })
    stream.on('data', (chunk: Buffer) => {
      found.body += chunk.toString('latin1')
    })
    stream.on('error', () => {})
    const answer = new Promise<Http2Answer>((resolve) => {
      stream.on('close', () => resolve({ ...found, isWhole, rstCode: stream.rstCode ?? 0 }))
    })
    return { stream, answer, received: () => found.body, status: () => found.status }
  }
  return {
    session,
    open,
    ask(fields, body) {
      const { stream, answer } = open(fields)
      stream.end(body)
      return answer
    },
    close: () => session.destroy(),
  }
}
