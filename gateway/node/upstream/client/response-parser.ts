/**
 * Reads answers of HTTP/1.1 as strictly as llhttp or stricter, from bytes however they are cut. Pure: bytes in, events out.
 * Lines end in CR LF and nothing else, and hold no other control character than HTAB; every length has a limit.
 */

import type { HeaderList } from '../../../model.ts'
import { HEAD_BYTES_MAX } from '../transport.ts'
import { ChunkedBody } from './chunked-body.ts'
import { LineScan } from './line-scan.ts'
import { type Fault, isFraming, type ResponseHead, readFields, readHead } from './response-head.ts'

const TRAILER_BYTES_MAX = 16 * 1024
const INTERIM_COUNT_MAX = 32

export interface ResponseSink {
  onInterim(status: number, headers: HeaderList): void
  /** `lengthBytes` as for an UpstreamHandler. */
  onHead(status: number, headers: HeaderList, lengthBytes: number): void
  /** A view into the buffer that is being read. */
  onData(chunk: Buffer): void
}

const LETTER_H = 0x48

const OVER = 0
const IN_HEAD = 1
const IN_LENGTH = 2
const IN_CHUNKS = 3
const IN_TRAILERS = 4
/** The end of the connection is the end of the body. */
const TO_THE_END = 5

export class ResponseParser {
  readonly #sink: ResponseSink
  readonly #head: ResponseHead = {
    status: 0,
    headers: [],
    lengthBytes: -1,
    isChunked: false,
    isKeptAlive: false,
    keepAliveMs: -1,
  }
  readonly #lines = new LineScan()
  readonly #chunks = new ChunkedBody()
  #phase = OVER
  #isHeadMethod = false
  #isDoubtful = false
  #leftBytes = 0
  #interimCount = 0
  #trailers: string[] = NONE
  #fault: Fault | null = null

  constructor(sink: ResponseSink) {
    this.#sink = sink
  }

  /** An answer to a request of this method comes next. */
  begin(method: string): void {
    this.#phase = IN_HEAD
    this.#isHeadMethod = method === 'HEAD'
    this.#isDoubtful = this.#isHeadMethod
    this.#interimCount = 0
    this.#trailers = NONE
    this.#lines.begin(HEAD_BYTES_MAX)
  }

  get isOver(): boolean {
    return this.#phase === OVER
  }

  get fault(): Fault | null {
    return this.#fault
  }

  get trailers(): HeaderList {
    return this.#trailers
  }

  /**
   * The connection may serve another request: the server says so, and the answer was of a kind after which no server sends
   * bytes that do not belong to it. Many do after the answer to a HEAD, and some after a 204 or 304 that has a length.
   */
  get isReusable(): boolean {
    return this.#head.isKeptAlive && !this.#isDoubtful && this.#fault === null
  }

  get keepAliveMs(): number {
    return this.#head.keepAliveMs
  }

  /** Takes the first `bytes` of `buffer`, whose chunks may be moved together. Returns how many belong to the answer. */
  read(buffer: Buffer, bytes: number): number {
    let at = 0
    while (at < bytes && this.#phase !== OVER) {
      switch (this.#phase) {
        case IN_HEAD:
          at = this.#readHead(buffer, at, bytes)
          break
        case IN_LENGTH:
          at = this.#readLength(buffer, at, bytes)
          break
        case IN_CHUNKS:
          at = this.#readChunks(buffer, at, bytes)
          break
        case IN_TRAILERS:
          at = this.#readTrailers(buffer, at, bytes)
          break
        default:
          this.#sink.onData(buffer.subarray(at, bytes))
          return bytes
      }
    }
    return at
  }

  /** The connection has ended. False when that cuts the answer off. */
  end(): boolean {
    if (this.#phase !== TO_THE_END) return this.#phase === OVER && this.#fault === null
    this.#phase = OVER
    return true
  }

  #fail(fault: Fault): void {
    this.#fault = fault
    this.#phase = OVER
  }

  #readHead(buffer: Buffer, at: number, bytes: number): number {
    // A server of another protocol is told at once, and not when it has kept us waiting for the end of a head.
    if (this.#lines.isUntouched && buffer[at] !== LETTER_H) {
      this.#fail('no answer of HTTP')
      return at
    }
    const end = this.#lines.scan(buffer, at, bytes)
    if (this.#lines.fault !== null) this.#fail(this.#lines.fault)
    if (end < 0) return bytes
    const fault = readHead(this.#lines.text, this.#head)
    if (fault !== null) this.#fail(fault)
    else if (this.#head.status < 200) this.#endInterim()
    else this.#beginBody()
    return end
  }

  #endInterim(): void {
    const { status, headers, isKeptAlive } = this.#head
    this.#isDoubtful ||= status !== 103
    if (!isKeptAlive) return void this.#fail('an interim answer that is said to be the last')
    if (status === 101) return void this.#fail('a switch of protocols that nobody asked for')
    if (++this.#interimCount > INTERIM_COUNT_MAX)
      return void this.#fail(`more than ${INTERIM_COUNT_MAX} interim answers`)
    this.#lines.begin(HEAD_BYTES_MAX)
    if (status !== 100) this.#sink.onInterim(status, headers)
  }

  #beginBody(): void {
    const { status, headers, lengthBytes, isChunked } = this.#head
    const isBodiless = this.#isHeadMethod || status === 204 || status === 304
    if (isBodiless) {
      this.#isDoubtful ||= isChunked || lengthBytes > 0
      this.#phase = OVER
      this.#sink.onHead(status, headers, 0)
    } else if (isChunked) {
      this.#phase = IN_CHUNKS
      this.#chunks.begin()
      this.#sink.onHead(status, headers, -1)
    } else if (lengthBytes >= 0) {
      this.#leftBytes = lengthBytes
      this.#phase = lengthBytes === 0 ? OVER : IN_LENGTH
      this.#sink.onHead(status, headers, lengthBytes)
    } else {
      this.#phase = TO_THE_END
      this.#isDoubtful = true
      this.#sink.onHead(status, headers, -1)
    }
  }

  #readLength(buffer: Buffer, at: number, bytes: number): number {
    const end = Math.min(bytes, at + this.#leftBytes)
    this.#leftBytes -= end - at
    if (this.#leftBytes === 0) this.#phase = OVER
    this.#sink.onData(buffer.subarray(at, end))
    return end
  }

  #readChunks(buffer: Buffer, at: number, bytes: number): number {
    const chunks = this.#chunks
    const end = chunks.read(buffer, at, bytes)
    if (chunks.fault !== null) this.#fail(chunks.fault)
    else if (chunks.isOver) {
      this.#phase = IN_TRAILERS
      this.#lines.begin(TRAILER_BYTES_MAX)
    }
    if (chunks.dataTo > chunks.dataFrom) this.#sink.onData(buffer.subarray(chunks.dataFrom, chunks.dataTo))
    return end
  }

  #readTrailers(buffer: Buffer, at: number, bytes: number): number {
    const end = this.#lines.scan(buffer, at, bytes)
    if (this.#lines.fault !== null) this.#fail(this.#lines.fault)
    if (end < 0) return bytes
    const { text } = this.#lines
    this.#phase = OVER
    if (text === '') return end
    const trailers: string[] = []
    const fault = readFields(text, 0, trailers)
    if (fault !== null) this.#fail(fault)
    else if (trailers.some((part, place) => place % 2 === 0 && isFraming(part))) this.#fail('a framing in the trailers')
    else this.#trailers = trailers
    return end
  }
}

const NONE: string[] = []
