/**
 * One connection to a server and the exchange it serves. It is used again only if nothing about the last exchange leaves a doubt:
 * the request was written whole, its answer was read whole, nothing came behind it, and the server means to go on.
 */

import { connect, type LookupFunction, type Socket } from 'node:net'
import type { HeaderList } from '../../../model.ts'
import type { ClientCall } from './client-call.ts'
import { misread, torn, unanswered } from './failure.ts'
import { ResponseParser, type ResponseSink } from './response-parser.ts'

export type ClientTarget = { readonly host: string; readonly port: number } | { readonly path: string }

export interface ConnectionOwner {
  /** It may serve its first exchange. */
  onConnected(connection: Connection): void
  /** It may serve another exchange. `keepAliveMs`: what the server says it waits for one; -1 when it does not say. */
  onFree(connection: Connection, keepAliveMs: number): void
  /** It is closed, whatever it was doing. */
  onGone(connection: Connection, error: Error | null): void
}

/** An answer of 100 KB is one read, and one write to its client. A larger buffer would only let a slow client hold more. */
const READ_BYTES = 128 * 1024
/** What is read is handed on before the next read begins, whichever connection has it. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES)
const TCP_KEEP_ALIVE_MS = 60_000

export class Connection implements ResponseSink {
  readonly socket: Socket
  readonly openedAtMs: number
  /** Set by its owner. Not used again from then on. */
  idleUntilMs = 0
  isConnected = false
  readonly #owner: ConnectionOwner
  readonly #parser: ResponseParser
  #call: ClientCall | null = null
  /** A byte of the answer has come. */
  #isAnswered = false
  #error: Error | null = null

  constructor(target: ClientTarget, lookup: LookupFunction | undefined, owner: ConnectionOwner, nowMs: number) {
    this.#owner = owner
    this.#parser = new ResponseParser(this)
    this.openedAtMs = nowMs
    this.socket = connect({
      ...target,
      ...(lookup === undefined ? {} : { lookup }),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
      onread: { buffer: shared, callback: (bytes, buffer) => this.#read(bytes, buffer as Buffer) },
    })
    this.socket
      .on('connect', () => {
        this.isConnected = true
        owner.onConnected(this)
      })
      .on('drain', () => this.#call?.handler.onWritable())
      .on('end', () => this.#end())
      .on('error', (error) => {
        this.#error ??= error
      })
      .on('close', () => this.#close())
  }

  start(call: ClientCall): void {
    this.#call = call
    call.connection = this
    this.#isAnswered = false
    this.#parser.begin(call.request.method)
    if (call.isPaused) this.pause()
    try {
      call.handler.onConnected(call)
      if (!call.isOver) call.begin()
    } catch (error) {
      this.#fail(call, error as Error)
    }
  }

  /** Asked now and then. */
  flush(): void {
    this.#call?.flush()
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  /** Its call was aborted: what may still come for it must not be taken for the answer to another. */
  drop(call: ClientCall): void {
    call.connection = null
    this.#call = null
    this.socket.destroy()
  }

  onInterim(status: number, headers: HeaderList): void {
    this.#call?.handler.onInterim(status, headers)
  }

  onHead(status: number, headers: HeaderList, lengthBytes: number): void {
    this.#call?.handler.onHead(status, headers, lengthBytes)
  }

  onData(chunk: Buffer): void {
    this.#call?.handler.onData(chunk, true)
  }

  #read(bytes: number, buffer: Buffer): boolean {
    const call = this.#call
    // Nothing was asked that these bytes could answer, so the next question would be answered by them.
    if (call === null || call.isUnsent) {
      this.socket.destroy()
      return false
    }
    this.#isAnswered = true
    try {
      this.#take(call, buffer, bytes)
    } catch (error) {
      this.#fail(call, error as Error)
    }
    return true
  }

  #take(call: ClientCall, buffer: Buffer, bytes: number): void {
    const parser = this.#parser
    const taken = parser.read(buffer, bytes)
    if (this.#call === null) return
    if (parser.fault !== null) this.#fail(call, misread(parser.fault))
    else if (parser.isOver) this.#finish(call, taken < bytes)
  }

  /** The answer cannot be read, or whoever asked cannot take it. */
  #fail(call: ClientCall, error: Error): void {
    this.#leave(call)
    this.socket.destroy()
    call.handler.onFailure(error)
  }

  #finish(call: ClientCall, hasMore: boolean): void {
    const { socket } = this
    const parser = this.#parser
    const { trailers } = parser
    this.#leave(call)
    if (call.isPaused) socket.resume()
    if (!hasMore && parser.isReusable && call.isSent && socket.writableLength === 0 && !socket.destroyed) {
      this.#owner.onFree(this, parser.keepAliveMs)
    } else socket.destroy()
    try {
      call.handler.onEnd(trailers)
    } catch (error) {
      call.handler.onFailure(error as Error)
    }
  }

  #end(): void {
    const call = this.#call
    if (call !== null && this.#parser.end()) this.#finish(call, false)
    else this.socket.destroy()
  }

  #close(): void {
    const call = this.#call
    const error = this.#error
    if (call !== null) this.#leave(call)
    this.#owner.onGone(this, error)
    call?.handler.onFailure(this.#isAnswered ? torn(error) : unanswered(error))
  }

  #leave(call: ClientCall): void {
    this.#call = null
    call.connection = null
    call.isOver = true
  }
}
