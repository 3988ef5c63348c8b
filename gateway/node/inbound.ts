/**
 * A client's request and the answer to it, as far as the gateway looks at them. HTTP/1.1 has node:http's own objects, which
 * satisfy these shapes as they are; HTTP/2 has those of http2-exchange.ts.
 */

import type { Socket } from 'node:net'

export interface InboundRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly httpVersion: string
  /** Field lines as they came, flat. Of HTTP/2 the authority is first, as Host. */
  readonly rawHeaders: string[]
  readonly rawTrailers: string[]
  /** All of it is here, its body and trailers included. */
  readonly complete: boolean
  readonly destroyed: boolean
  readonly socket: Socket
  /** HTTP/2 only: the head did not end the request. */
  readonly isOpen?: boolean
  isPaused(): boolean
  pause(): unknown
  resume(): unknown
  /** Nothing more of it is wanted. */
  destroy(): unknown
  on(event: 'data', listener: (chunk: Buffer) => void): this
  on(event: 'end' | 'close', listener: () => void): this
  on(event: 'error', listener: (error: Error) => void): this
  off(event: 'data', listener: (chunk: Buffer) => void): this
  off(event: 'end' | 'close', listener: () => void): this
}

export interface InboundResponse {
  readonly req: { readonly httpVersion: string }
  /** Null once it is over. */
  readonly socket: Socket | null
  readonly statusCode: number
  readonly headersSent: boolean
  /** Its end has been written. */
  readonly writableEnded: boolean
  /** All of it is on its way. */
  readonly writableFinished: boolean
  /** It came to its end, or will never come to it. */
  readonly closed: boolean
  readonly destroyed: boolean
  /** Of HTTP/2, whose connections outlive whatever goes wrong in one of their streams, this says nothing. */
  shouldKeepAlive: boolean
  writeContinue(): void
  /** A 1xx other than 100 and 101. */
  writeInformation(status: number, headers: string[]): unknown
  writeHead(status: number, headers: string[]): unknown
  flushHeaders(): void
  /** Before the end, and only where the body has no length. */
  addTrailers(lines: [name: string, value: string][]): void
  /** False: wait for `drain`. */
  write(chunk: Buffer): boolean
  end(body?: Buffer | string | Uint8Array): unknown
  end(body: string, encoding: 'latin1'): unknown
  /** Ends it so that the client can tell that something is missing. */
  destroy(): unknown
  on(event: 'close' | 'drain', listener: () => void): unknown
  once(event: 'close', listener: () => void): unknown
}
