/**
 * A client's body on its way to an upstream, counted as it flows, piece by piece and never faster than either side takes it.
 */

import type { InboundRequest } from './inbound.ts'
import type { UpstreamCall } from './upstream/transport.ts'
import { stopped } from './upstream-failure.ts'

/** Whoever has a body sent. */
export interface BodyOwner {
  /** Asked about each piece; one that may not pass waits for `flow`. */
  mayPass(): boolean
  /** It is too long, or the client broke off. Nothing more is sent. */
  onBodyFault(error: Error): void
}

/** Less than this is no progress. */
const PROGRESS_BYTES_MIN = 1024

export class RequestBody {
  readonly #request: InboundRequest
  readonly #bytesMax: number
  readonly #owner: BodyOwner
  #call: UpstreamCall | null = null
  #bytes = 0
  /** Where it was when the client last made progress, or was not waited for. */
  #markBytes = 0
  #markedAtMs = 0
  #held: Buffer | null = null
  #isStarted = false
  #isOver = false

  /** Never passes on more than `bytesMax`. */
  constructor(request: InboundRequest, bytesMax: number, owner: BodyOwner) {
    this.#request = request
    this.#bytesMax = bytesMax
    this.#owner = owner
  }

  /** Something has been read of it, so nobody can send it again from its beginning. */
  get isStarted(): boolean {
    return this.#isStarted
  }

  /** The client is waited for, and not the upstream. */
  get isWaitingForClient(): boolean {
    return this.#isStarted && !this.#isOver && this.#held === null && !this.#request.isPaused()
  }

  /** Has the client, while it was waited for, sent next to nothing for so long? To be asked often. */
  isTooSlow(nowMs: number, idleMs: number): boolean {
    if (!this.isWaitingForClient || this.#markedAtMs === 0 || this.#bytes - this.#markBytes >= PROGRESS_BYTES_MIN) {
      this.#markBytes = this.#bytes
      this.#markedAtMs = nowMs
    }
    return nowMs - this.#markedAtMs > idleMs
  }

  /** From now on its pieces go to this call. */
  start(call: UpstreamCall): void {
    this.#call = call
    this.#isStarted = true
    const request = this.#request
    if (request.destroyed && !request.complete) return void this.#gone()
    request.on('data', this.#take).on('end', this.#end).on('close', this.#gone)
    // Reasons arrive by other ways; an error event that nobody hears would end the process.
    request.on('error', ignore)
  }

  /** What waits may be asked about again. */
  flow(): void {
    const chunk = this.#held
    if (chunk === null || this.#isOver) return
    this.#held = null
    this.#pass(chunk)
    if (this.#held === null) this.#request.resume()
  }

  onWritable(): void {
    if (this.#isStarted && this.#held === null && !this.#isOver) this.#request.resume()
  }

  /** Nothing more of it is sent. */
  stop(): void {
    this.#isOver = true
    this.#held = null
    this.#request.off('data', this.#take).off('end', this.#end).off('close', this.#gone)
  }

  readonly #take = (chunk: Buffer): void => {
    this.#bytes += chunk.length
    if (this.#bytes > this.#bytesMax) this.#fault(stopped('body.too-large', `more than ${this.#bytesMax} bytes`))
    else this.#pass(chunk)
  }

  #pass(chunk: Buffer): void {
    if (!this.#owner.mayPass()) {
      this.#held = chunk
      this.#request.pause()
    } else if (!this.#call!.write(chunk)) this.#request.pause()
  }

  readonly #end = (): void => {
    this.stop()
    this.#call!.end()
  }

  readonly #gone = (): void => {
    if (!this.#request.complete) this.#fault(stopped('client.gone', 'the client broke off its body'))
  }

  #fault(error: Error): void {
    this.stop()
    this.#owner.onBodyFault(error)
  }
}

/** How much of a body nobody wants is read before the connection is given up. */
const DRAIN_BYTES_MAX = 8 * 1024 * 1024
const DRAIN_MS = 5_000

/**
 * Reads on after an answer that did not wait for its request's body, so that the client can read the answer: a close with
 * unread bytes is a reset, which discards what was sent (RFC 9112 §9.6). Call before the answer ends.
 */
export function drain(request: InboundRequest): void {
  if (request.complete) return
  let bytes = 0
  const giveUp = () => {
    if (!request.complete) request.destroy()
  }
  const timer = setTimeout(giveUp, DRAIN_MS).unref()
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > DRAIN_BYTES_MAX) giveUp()
  })
  request.on('close', () => clearTimeout(timer))
  request.on('error', ignore)
  request.resume()
}

function ignore(): void {}
