/** One request to one server and its answer, as events: what every way of reaching an upstream keeps, and all that a relay knows. */

import type { LookupFunction } from 'node:net'
import type { HeaderList } from '../../model.ts'

/** Shorter than what servers keep an idle connection for (Node's own default is 5 s), so that fewer requests meet a dead one. */
export const KEEP_ALIVE_MS = 4_000
/** Of an answer, interim heads each for themselves. */
export const HEAD_BYTES_MAX = 64 * 1024

export interface UpstreamRequest {
  readonly method: string
  readonly path: string
  /** Complete but for the framing of the body, which the transport writes from `bodyBytes`. */
  readonly headers: HeaderList
  /** 0: none. -1: chunked, as it comes. */
  readonly bodyBytes: number
}

/**
 * Called in the order `onConnected`, `onInterim`*, `onHead`, `onData`*, and last exactly one of `onEnd` and `onFailure`. What one of
 * these throws comes back as the failure.
 */
export interface UpstreamHandler {
  /**
   * A connection is there and not a byte has been sent: the last moment to `abort`. From here on the call takes the body.
   * May come before `send` has returned.
   */
  onConnected(call: UpstreamCall): void
  /** A 1xx but for 100 and 101 (RFC 9110 §15.2). */
  onInterim(status: number, headers: HeaderList): void
  /** `lengthBytes`: of the body to come, 0 where there is none; -1 when only its end will tell. Its framing was found to be unambiguous. */
  onHead(status: number, headers: HeaderList, lengthBytes: number): void
  /** `isLent`: the bytes are overwritten after the return, so what waits must be copied. */
  onData(chunk: Buffer, isLent: boolean): void
  onEnd(trailers: HeaderList): void
  /** The answer is missing or incomplete. May come at any time after `send` has returned. */
  onFailure(error: Error): void
  /** `write` said no before; now it may be asked again. */
  onWritable(): void
}

/** One exchange under way. */
export interface UpstreamCall {
  /** False when the sender should wait for `onWritable`. */
  write(chunk: Buffer): boolean
  end(trailers?: HeaderList): void
  /** No `onData` until `resume`, but for what is under way. */
  pause(): void
  resume(): void
  /** Ends it and its connection. The handler is told nothing more. */
  abort(): void
}

export interface TransportOptions {
  /** A connection that is not there by then is given up. */
  readonly connectMs: number
  /** Finds addresses of names; null for the system's. */
  readonly lookup: LookupFunction | null
  /** Our own client speaks HTTP/1.1 without TLS; else undici does, which tests compare it with. */
  readonly isClientOurs: boolean
}

export interface Transport {
  /** Never throws: whatever goes wrong reaches `onFailure`, after the return. */
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall
  /** Waits for exchanges under way. */
  close(): Promise<void>
  /** Ends exchanges under way. */
  destroy(): Promise<void>
}
