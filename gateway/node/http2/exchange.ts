/**
 * One stream of HTTP/2 (RFC 9113) as a request and its answer, in the shapes of inbound.ts. Nothing is joined or dropped but
 * what HTTP/2 itself took apart: the pseudo-fields become a method, a target and a Host, crumbs of Cookie one field (§8.2.3).
 */

import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { fieldsByName } from '../../http/header-list.ts'
import type { InboundRequest, InboundResponse } from '../inbound.ts'

const TORN = new Error('the answer is incomplete')

type Listener = (given: never) => void

/** A head as HTTP/1.1 would have written it, for `admit` to judge. */
export interface Http2Head {
  readonly method: string
  readonly target: string
  readonly headers: string[]
  readonly isContinueAsked: boolean
  readonly takesTrailers: boolean
}

/**
 * What does not belong to this connection is put so that `admit` refuses it: another scheme as an absolute-form target, a Host
 * beside another authority as a second Host.
 */
export function headOf(raw: readonly string[]): Http2Head {
  let [method, path, scheme, authority] = ['', '', '', '']
  const headers: string[] = []
  let cookieAt = -1
  let isContinueAsked = false
  let takesTrailers = false
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!
    const value = raw[at + 1]!
    if (name === ':method') method = value
    else if (name === ':path') path = value
    else if (name === ':scheme') scheme = value
    else if (name === ':authority') authority = value
    else if (name === 'cookie' && cookieAt >= 0) headers[cookieAt] += `; ${value}`
    else {
      if (name === 'cookie') cookieAt = headers.length + 1
      else if (name === 'expect') isContinueAsked = value.toLowerCase() === '100-continue'
      else if (name === 'te') takesTrailers = value.toLowerCase() === 'trailers'
      headers.push(name, value)
    }
  }
  if (authority !== '') {
    const hostAt = headers.findIndex((name, at) => at % 2 === 0 && name === 'host')
    if (hostAt >= 0 && headers[hostAt + 1] === authority) headers.splice(hostAt, 2)
    headers.unshift('host', authority)
  }
  const target = scheme === 'https' ? path : `${scheme}://${authority}${path}`
  return { method, target, headers, isContinueAsked, takesTrailers }
}

export class Http2Request implements InboundRequest {
  readonly httpVersion = '2.0'
  readonly httpVersionMajor = 2
  readonly httpVersionMinor = 0
  readonly method: string
  readonly url: string
  readonly rawHeaders: string[]
  rawTrailers: string[] = []
  readonly socket: Socket
  readonly isOpen: boolean
  /** The client said so (RFC 9110 §6.5.1). */
  readonly takesTrailers: boolean
  readonly #stream: ServerHttp2Stream
  readonly #whenEnded = new Set<() => void>()
  #isComplete: boolean
  #isEnded = false

  constructor(stream: ServerHttp2Stream, socket: Socket, head: Http2Head, isOpen: boolean) {
    this.#stream = stream
    this.socket = socket
    this.method = head.method
    this.url = head.target
    this.rawHeaders = head.headers
    this.isOpen = isOpen
    this.takesTrailers = head.takesTrailers
    this.#isComplete = !isOpen
    if (!isOpen) return
    stream.on('trailers', (_fields, _flags, raw: string[]) => {
      this.rawTrailers = raw
    })
    stream.on('end', () => {
      // A reset without an error reads like an end; only while the stream is open was it the client's own (RFC 9113 §8.1).
      if (stream.closed) return
      this.#isComplete = true
      this.#isEnded = true
      for (const hear of [...this.#whenEnded]) hear()
    })
  }

  get complete(): boolean {
    return this.#isComplete
  }

  get destroyed(): boolean {
    return this.#stream.destroyed
  }

  isPaused(): boolean {
    return this.#stream.isPaused()
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  /** After an answer that stands, the client is asked to stop (RFC 9113 §8.1); before it, nothing stands. */
  destroy(): void {
    if (this.#stream.writableFinished) this.#stream.close(constants.NGHTTP2_NO_ERROR)
    else this.#stream.destroy(TORN)
  }

  on(event: 'data' | 'end' | 'close' | 'error', listener: Listener): this {
    if (event === 'end') this.#hearEnd(listener as () => void)
    else this.#stream.on(event, listener as () => void)
    return this
  }

  /** An empty body ends without anybody reading it, so it may have ended before. */
  #hearEnd(listener: () => void): void {
    this.#whenEnded.add(listener)
    if (!this.#isEnded) return
    process.nextTick(() => {
      if (this.#whenEnded.has(listener)) listener()
    })
  }

  off(event: 'data' | 'end' | 'close', listener: Listener): this {
    if (event === 'end') this.#whenEnded.delete(listener as () => void)
    else this.#stream.off(event, listener as () => void)
    return this
  }
}

export class Http2Response implements InboundResponse {
  readonly req: Http2Request
  readonly #stream: ServerHttp2Stream
  readonly #whenClosed: (() => void)[] = []
  /** Written by the next write, end or flush, so that a head without a body ends its stream by itself. */
  #head: string[] | null = null
  #hasNoBody: boolean
  readonly #mayHaveTrailers: boolean
  readonly #trailers: Record<string, string[]> = Object.create(null)
  #isClosed = false
  statusCode = 200
  headersSent = false
  writableEnded = false
  shouldKeepAlive = true

  constructor(stream: ServerHttp2Stream, request: Http2Request) {
    this.req = request
    this.#stream = stream
    this.#hasNoBody = request.method === 'HEAD'
    this.#mayHaveTrailers = request.takesTrailers
    // Reasons arrive by other ways; an error event that nobody hears would end the process.
    stream.on('error', ignore)
    stream.on('close', () => this.#close())
    // The client may go on with its body for a while after an answer that is out.
    stream.on('finish', () => {
      if (this.writableFinished) this.#close()
    })
  }

  get socket(): Socket | null {
    return this.#isClosed ? null : this.req.socket
  }

  get writableFinished(): boolean {
    if (!this.writableEnded || this.#head !== null) return false
    const { writableFinished, closed, rstCode } = this.#stream
    // A reset ends the writing too; and a stream that has ended on both sides is closed before it tells that it has finished.
    return this.#hasNoBody || ((writableFinished || closed) && (rstCode ?? 0) === constants.NGHTTP2_NO_ERROR)
  }

  get closed(): boolean {
    return this.#isClosed
  }

  get destroyed(): boolean {
    return this.#isClosed || this.#stream.destroyed
  }

  writeContinue(): void {
    if (!this.destroyed) this.#stream.additionalHeaders({ ':status': 100 })
  }

  writeInformation(status: number, headers: readonly string[]): void {
    if (!this.destroyed) this.#stream.additionalHeaders({ ...fieldsByName(headers), ':status': status })
  }

  addTrailers(lines: readonly (readonly [name: string, value: string])[]): void {
    for (const [name, value] of lines) {
      const lower = name.toLowerCase()
      this.#trailers[lower] = [...(this.#trailers[lower] ?? []), value]
    }
  }

  writeHead(status: number, headers: readonly string[]): void {
    this.statusCode = status
    this.headersSent = true
    if (status === 204 || status === 205 || status === 304) this.#hasNoBody = true
    this.#head = [':status', String(status), ...headers]
  }

  flushHeaders(): void {
    this.#respond(false)
  }

  write(chunk: Buffer): boolean {
    this.#respond(false)
    return this.#hasNoBody || this.destroyed || this.#stream.write(chunk)
  }

  end(body?: Buffer | string | Uint8Array, encoding?: 'latin1'): void {
    this.writableEnded = true
    if (this.destroyed) return
    if (this.#hasNoBody || body === undefined || body.length === 0) {
      // Trailers follow what did not end with its head.
      if (!this.#hasNoBody && Object.keys(this.#trailers).length > 0) this.#respond(false)
      if (this.#head === null) this.#stream.end()
      else this.#respond(true)
    } else {
      this.#respond(false)
      if (encoding === undefined) this.#stream.end(body)
      else this.#stream.end(body, encoding)
    }
    if (this.#hasNoBody) process.nextTick(() => this.#close())
  }

  #respond(isEnd: boolean): void {
    const head = this.#head
    if (head === null || this.#stream.destroyed || this.#stream.closed) return
    this.#head = null
    const waitForTrailers = this.#mayHaveTrailers && !isEnd && !this.#hasNoBody
    if (waitForTrailers) this.#stream.once('wantTrailers', () => this.#stream.sendTrailers(this.#trailers))
    try {
      this.#stream.respond(head, { endStream: isEnd, waitForTrailers })
    } catch {
      // HTTP/1.1 has heads that HTTP/2 has no room for, such as a status of 600.
      this.destroy()
    }
  }

  /** A reset with an error, whatever was still to be sent. `close(code)` would send END_STREAM first, which says that the answer is whole. */
  destroy(): void {
    this.#stream.destroy(TORN)
  }

  on(event: 'close' | 'drain', listener: () => void): this {
    if (event === 'close') this.#whenClosed.push(listener)
    else this.#stream.on('drain', listener)
    return this
  }

  once(_event: 'close', listener: () => void): this {
    this.#whenClosed.push(listener)
    return this
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const hear of this.#whenClosed) hear()
  }
}

function ignore(): void {}
