/** One exchange on a connection of ours, from the sender's side: its head, its body in the framing promised, and how it ends. */

import type { HeaderList } from '../../../model.ts'
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from '../transport.ts'
import type { Connection } from './connection.ts'
import { wrongLength } from './failure.ts'
import { lastChunk } from './request-head.ts'

/** A piece up to this size is written together with what stands before it, as one string: one call instead of several. */
const JOINED_BYTES_MAX = 8 * 1024

export class ClientCall implements UpstreamCall {
  readonly request: UpstreamRequest
  readonly handler: UpstreamHandler
  /** Null while it waits for one, and when it is over. */
  connection: Connection | null = null
  /** Where it waits for one. */
  queue: Set<ClientCall> | null = null
  isOver = false
  /** Its handler wants to hear no more. */
  isAborted = false
  /** The whole request has been written. */
  isSent = false
  isPaused = false
  /** Not written yet; empty once it is. */
  #head: string
  #bytes = 0

  constructor(request: UpstreamRequest, handler: UpstreamHandler, head: string) {
    this.request = request
    this.handler = handler
    this.#head = head
  }

  /** Nothing has been written of it, so no byte that comes can be its answer. */
  get isUnsent(): boolean {
    return this.#head !== ''
  }

  /**
   * The handler has been told of the connection. A head waits for the first bytes of its body: they leave in one piece, and if
   * they are none that a request may have, the server hears nothing of it.
   */
  begin(): void {
    if (this.request.bodyBytes !== 0) return
    this.isSent = true
    this.#write('')
  }

  /** It has waited for long enough. The server should know that its connection is in use, and may answer early. */
  flush(): void {
    if (this.isUnsent) this.#write('')
  }

  write(chunk: Buffer): boolean {
    // A chunk of no bytes would be the last one.
    if (this.isOver || chunk.length === 0) return true
    this.#bytes += chunk.length
    const { bodyBytes } = this.request
    if (bodyBytes < 0 ? this.isSent : this.#bytes > bodyBytes) return this.#failLength()
    if (bodyBytes < 0) return this.#writePiece(`${chunk.length.toString(16)}\r\n`, chunk, '\r\n')
    // Sent with its last byte: a server that has it all may answer before `end` says so.
    if (this.#bytes === bodyBytes) this.isSent = true
    return this.#writePiece('', chunk, '')
  }

  end(trailers: HeaderList = []): void {
    const { bodyBytes } = this.request
    if (this.isOver || this.isSent) return
    if (bodyBytes > 0) return void this.#failLength()
    const last = lastChunk(trailers)
    if (last instanceof Error) return void this.#failLater(last)
    this.isSent = true
    this.#write(last)
  }

  pause(): void {
    this.isPaused = true
    this.connection?.pause()
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    this.connection?.resume()
  }

  abort(): void {
    this.isAborted = true
    this.#leave()
  }

  #leave(): void {
    if (this.isOver) return
    this.isOver = true
    this.queue?.delete(this)
    this.connection?.drop(this)
  }

  #write(text: string): boolean {
    const bytes = this.#head + text
    this.#head = ''
    return this.connection!.socket.write(bytes, 'latin1')
  }

  #writePiece(before: string, chunk: Buffer, after: string): boolean {
    if (chunk.length <= JOINED_BYTES_MAX) return this.#write(before + chunk.toString('latin1') + after)
    const { socket } = this.connection!
    socket.cork()
    if (this.#head !== '' || before !== '') this.#write(before)
    let isTaken = socket.write(chunk)
    if (after !== '') isTaken = socket.write(after, 'latin1')
    socket.uncork()
    return isTaken
  }

  #failLength(): true {
    this.#failLater(wrongLength())
    return true
  }

  /** What was promised cannot be kept, so the server is shown that it was not. */
  #failLater(error: Error): void {
    this.#leave()
    process.nextTick(tell, this, error)
  }
}

/** A failure, some time after the return of whatever caused it. */
export function tell(call: ClientCall, error: Error): void {
  if (!call.isAborted) call.handler.onFailure(error)
}
