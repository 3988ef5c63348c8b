/** One exchange with an upstream on a stream of HTTP/2 (RFC 9113). */

import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2'
import { fieldsByName, isNamed } from '../../http/header-list.ts'
import type { HeaderList } from '../../model.ts'
import { codeOf, stopped } from '../upstream-failure.ts'
import { lengthOf, WITH_CONTENT } from './framing.ts'
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from './transport.ts'

/** Interim answers to one request; more are a flood. */
const INTERIMS_MAX = 16

const END_STREAM = 0x1

const TORN = new Error('the exchange is over')

export class Http2Call implements UpstreamCall {
  readonly #request: UpstreamRequest
  readonly #handler: UpstreamHandler
  #stream: ClientHttp2Stream | null = null
  /** Where the server turned out to speak HTTP/1.1. */
  #elsewhere: UpstreamCall | null = null
  #isOver = false
  #isPaused = false
  /** The stream ended with END_STREAM, and not by a reset. */
  #isWhole = false
  #interims = 0
  /** Written while the connection was only told about. */
  #early: Buffer[] | null = []
  #earlyEnd: { readonly trailers: HeaderList } | null = null
  #requestTrailers: HeaderList = []
  #trailers: HeaderList = []

  constructor(request: UpstreamRequest, handler: UpstreamHandler) {
    this.#request = request
    this.#handler = handler
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** `onClose`: the stream is gone, or there never was one. */
  start(session: ClientHttp2Session, scheme: 'http' | 'https', onClose: () => void): void {
    this.#handler.onConnected(this)
    if (this.#isOver) return void onClose()
    let stream: ClientHttp2Stream
    try {
      const { bodyBytes } = this.#request
      const isOpen = bodyBytes !== 0
      stream = session.request(headOf(this.#request, scheme), { endStream: !isOpen, waitForTrailers: bodyBytes < 0 })
    } catch (error) {
      onClose()
      return void this.fail(unasked(error))
    }
    this.#stream = stream
    this.#listen(stream, onClose)
    this.#flush(stream)
  }

  #listen(stream: ClientHttp2Stream, onClose: () => void): void {
    // Node tells of a reset without an error as of any other end. Only END_STREAM comes while the stream is open.
    const { push } = stream
    stream.push = (chunk, encoding) => {
      if (chunk === null && !stream.closed) this.#isWhole = true
      return push.call(stream, chunk, encoding)
    }
    stream.on('headers', (fields, _flags, raw: string[]) => this.#interim(Number(fields[':status']), raw))
    stream.on('response', (fields, flags, raw: string[]) => this.#head(Number(fields[':status']), flags, raw))
    stream.on('trailers', (_fields, _flags, raw: string[]) => {
      this.#trailers = raw
    })
    stream.on('end', () => this.#ended())
    stream.on('error', (error) => this.fail(reasonOf(stream, error)))
    stream.on('close', () => {
      onClose()
      this.fail(reasonOf(stream, null))
    })
    stream.on('drain', () => {
      if (!this.#isOver) this.#handler.onWritable()
    })
    stream.on('wantTrailers', () => stream.sendTrailers(fieldsByName(this.#requestTrailers)))
  }

  /** It turned out that the server does not speak HTTP/2: the same request, by what it does speak. */
  delegate(send: (request: UpstreamRequest, handler: UpstreamHandler) => UpstreamCall): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#elsewhere = send(this.#request, this.#handler)
  }

  write(chunk: Buffer): boolean {
    if (this.#elsewhere !== null) return this.#elsewhere.write(chunk)
    if (this.#isOver) return true
    if (this.#early !== null) return this.#early.push(chunk) < 0
    return this.#stream!.write(chunk)
  }

  end(trailers: HeaderList = []): void {
    if (this.#elsewhere !== null) return void this.#elsewhere.end(trailers)
    if (this.#isOver) return
    if (this.#early !== null) this.#earlyEnd = { trailers }
    else this.#finish(trailers)
  }

  #flush(stream: ClientHttp2Stream): void {
    const early = this.#early ?? []
    this.#early = null
    let mayWrite = true
    for (const chunk of early) mayWrite = stream.write(chunk)
    if (this.#earlyEnd !== null) this.#finish(this.#earlyEnd.trailers)
    else if (early.length > 0 && mayWrite) this.#handler.onWritable()
  }

  #finish(trailers: HeaderList): void {
    this.#requestTrailers = trailers
    this.#stream?.end()
  }

  pause(): void {
    this.#isPaused = true
    this.#elsewhere?.pause()
    this.#stream?.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#elsewhere?.resume()
    this.#stream?.resume()
  }

  abort(): void {
    this.#elsewhere?.abort()
    if (this.#isOver) return
    this.#isOver = true
    this.#reset()
  }

  /** While an upload is under way `close` would send END_STREAM first, and half a body would be taken for a whole one. */
  #reset(): void {
    if (this.#stream?.writableEnded === true) this.#stream.close(constants.NGHTTP2_CANCEL)
    else this.#stream?.destroy(TORN)
  }

  #interim(status: number, raw: readonly string[]): void {
    if (this.#isOver || status === 100) return
    this.#interims += 1
    if (this.#interims > INTERIMS_MAX) return void this.#refuse('more interim answers than anybody needs')
    this.#handler.onInterim(status, withoutPseudo(raw))
  }

  #head(status: number, flags: number, raw: readonly string[]): void {
    if (this.#isOver) return
    const lines = withoutPseudo(raw)
    const stream = this.#stream!
    const isEmpty = (flags & END_STREAM) !== 0
    this.#handler.onHead(status, lines, isEmpty ? 0 : lengthOf(this.#request.method, status, lines))
    if (this.#isOver) return
    stream.on('data', (chunk: Buffer) => {
      if (!this.#isOver) this.#handler.onData(chunk, false)
    })
    if (this.#isPaused) stream.pause()
  }

  #ended(): void {
    if (this.#isOver || !this.#isWhole) return
    this.#isOver = true
    this.#handler.onEnd(this.#trailers)
    // An upload that the server no longer wants holds the stream open (RFC 9113 §8.1).
    if (this.#stream?.writableEnded === false) this.#reset()
  }

  #refuse(why: string): void {
    this.fail(stopped('upstream.protocol', why))
    this.#reset()
  }

  fail(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#handler.onFailure(error)
  }
}

function headOf({ method, path, headers, bodyBytes }: UpstreamRequest, scheme: string): string[] {
  let authority = ''
  const lines: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    if (isNamed(headers[at]!, 'host')) authority = headers[at + 1]!
    else lines.push(headers[at]!, headers[at + 1]!)
  }
  if (bodyBytes > 0 || (bodyBytes === 0 && WITH_CONTENT.has(method))) lines.push('content-length', `${bodyBytes}`)
  return [':method', method, ':scheme', scheme, ':authority', authority, ':path', path, ...lines]
}

function withoutPseudo(raw: readonly string[]): HeaderList {
  const lines: string[] = []
  for (let at = 0; at < raw.length; at += 2) if (!raw[at]!.startsWith(':')) lines.push(raw[at]!, raw[at + 1]!)
  return lines
}

/** The session was over before it was asked, so nothing of the request was sent. */
function unasked(error: unknown): Error {
  const code = codeOf(error)
  const isOver = code === 'ERR_HTTP2_GOAWAY_SESSION' || code === 'ERR_HTTP2_INVALID_SESSION'
  if (isOver) return Object.assign(new Error(`the connection is over (${code})`), { code: 'ECONNRESET' })
  return error instanceof Error ? error : new Error(String(error))
}

const OF_PROTOCOL: ReadonlySet<number | undefined> = new Set([
  constants.NGHTTP2_PROTOCOL_ERROR,
  constants.NGHTTP2_FLOW_CONTROL_ERROR,
  constants.NGHTTP2_FRAME_SIZE_ERROR,
  constants.NGHTTP2_COMPRESSION_ERROR,
  constants.NGHTTP2_ENHANCE_YOUR_CALM,
])

/** A request that the server says it did not take, or that died with an idle connection, may be sent again. */
function reasonOf({ rstCode }: ClientHttp2Stream, error: Error | null): Error {
  const message = error?.message ?? `the stream was closed with code ${rstCode}`
  if (rstCode === constants.NGHTTP2_REFUSED_STREAM) return Object.assign(new Error(message), { code: 'ECONNRESET' })
  if (OF_PROTOCOL.has(rstCode)) return stopped('upstream.protocol', message)
  return error ?? Object.assign(new Error(message), { code: 'ERR_HTTP2_STREAM_ERROR' })
}
