/**
 * Carries one allowed exchange: the upstream's events go straight to the client's response, with backpressure both ways.
 * Whatever ends early ends on both sides: a client that leaves cancels the upstream, a torn answer tears ours.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AnswerHead, ForwardPlan, HeaderList, Refusal } from '../model.ts'
import { answer, mayRetry } from '../pipeline.ts'
import type { Snapshot } from '../snapshot.ts'
import { answerFailure } from './answer.ts'
import type { Exchange } from './exchange.ts'
import type { OpenExchange } from './open-exchanges.ts'
import type { Sweepable } from './relay-sweep.ts'
import { type BodyOwner, drain, RequestBody } from './request-body.ts'
import type { UpstreamCall, UpstreamHandler } from './upstream/transport.ts'
import { codeOf, isStaleConnection, refusalOf, type StopReason, stopped } from './upstream-failure.ts'

/** How long a client may take no byte of an answer that waits for it. */
const CLIENT_STALL_MS = 60_000

export class Relay implements UpstreamHandler, BodyOwner, Sweepable, OpenExchange {
  readonly plan: ForwardPlan
  readonly snapshot: Snapshot
  readonly #exchange: Exchange
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  #call: UpstreamCall | null = null
  #body: RequestBody | null = null
  #activeAtMs = performance.now()
  /** Bytes the upstream's head promises; -1 when it does not say. */
  #lengthBytes = -1
  #isRetried = false
  #isStarted = false
  #isEnded = false
  #isPaused = false
  #hasDrainListener = false
  /** Of the answer, what may not pass yet, in order. */
  #heldUp: (() => void)[] | null = null

  constructor(exchange: Exchange, plan: ForwardPlan, request: IncomingMessage, response: ServerResponse) {
    this.#exchange = exchange
    this.snapshot = exchange.gateway.snapshot
    this.plan = plan
    this.#request = request
    this.#response = response
  }

  start(): void {
    const { sweep, exchanges } = this.#exchange.gateway
    sweep.add(this)
    exchanges.add(this)
    const { head, route } = this.plan
    if (head.bodyBytes !== 0) this.#body = new RequestBody(this.#request, route.bodyBytesMax, this)
    this.#send()
  }

  #send(): void {
    const { origin, path, head, headers } = this.plan
    const { method, bodyBytes } = head
    this.#call = this.#exchange.gateway.upstreams.send(origin, { method, path, headers, bodyBytes }, this)
  }

  /** The client has gone, or the exchange is over. */
  close(isAborted: boolean): void {
    const { sweep, exchanges } = this.#exchange.gateway
    sweep.delete(this)
    exchanges.delete(this)
    if (isAborted && !this.#isEnded) this.#abort(stopped('client.gone', 'the client closed the connection'))
  }

  /** The client gets a refusal if it has nothing yet, else an answer that is visibly incomplete. */
  cut(refusal: Refusal): void {
    if (!this.#isEnded) {
      this.#abort(stopped(refusal.reason as StopReason, refusal.log ?? 'cut while it was open'))
    } else if (!this.#response.destroyed) {
      // The upstream is done and the client is not: what it has not read yet does not follow.
      this.#exchange.failure ??= refusal
      tear(this.#response)
    }
  }

  flow(): void {
    this.#activeAtMs = performance.now()
    this.#body?.flow()
    const held = this.#heldUp
    if (held === null) return
    this.#heldUp = null
    for (const pass of held) pass()
    if (this.#heldUp === null && !this.#isPaused) this.#call?.resume()
  }

  #holdUp(pass: () => void): void {
    this.#heldUp ??= []
    this.#heldUp.push(pass)
    this.#call?.pause()
  }

  #mayPassBack(): boolean {
    return this.#heldUp === null && this.#exchange.gateway.exchanges.mayPass(this)
  }

  sweep(nowMs: number): void {
    const idleMs = nowMs - this.#activeAtMs
    if (this.#isPaused || this.#isEnded || this.#heldUp !== null) {
      if (idleMs > CLIENT_STALL_MS) this.#response.destroy()
    } else if (idleMs > this.plan.route.timeoutMs) {
      const isStalled = this.#body?.isWaitingForClient === true && !this.#isStarted && !this.#request.complete
      const reason = isStalled ? 'client.stalled' : 'upstream.timeout'
      this.#abort(stopped(reason, `no byte for ${this.plan.route.timeoutMs} ms`))
    }
  }

  mayPass(): boolean {
    this.#activeAtMs = performance.now()
    return this.#exchange.gateway.exchanges.mayPass(this)
  }

  onBodyFault(error: Error): void {
    this.#abort(error)
  }

  #abort(reason: Error): void {
    if (this.#isEnded) return
    this.#call?.abort()
    this.#fail(reason)
  }

  onConnected(call: UpstreamCall): void {
    this.#call = call
    const fault = this.#exchange.gateway.exchanges.startFault(this)
    if (fault !== null) this.#abort(stopped(fault, 'when the connection was there'))
    else this.#body?.start(call)
  }

  onWritable(): void {
    this.#activeAtMs = performance.now()
    this.#body?.onWritable()
  }

  /** RFC 9110 §15.2: a proxy may drop what it did not ask for. */
  onInterim(): void {
    this.#activeAtMs = performance.now()
  }

  onHead(status: number, headers: HeaderList, lengthBytes: number): void {
    this.#activeAtMs = performance.now()
    if (this.#isEnded) return
    if (!this.#mayPassBack()) return void this.#holdUp(() => this.onHead(status, headers, lengthBytes))
    const head = this.#answer({ status, headers })
    if (head === null) return
    this.#lengthBytes = lengthBytes
    this.#response.writeHead(status, framed(head) as string[])
    this.#isStarted = true
    if (status === 205) {
      // RFC 9110 §15.3.6: it has no content, and bytes sent as such would be taken for the next answer.
      this.#end()
      this.#call?.abort()
    } else if (lengthBytes === 0) this.#end()
    else process.nextTick(flushHead, this.#response)
  }

  /** Null when there is a bug: it is then 503 with a stack in the journal, not a fault of the upstream. */
  #answer(upstream: AnswerHead): AnswerHead | null {
    try {
      return answer(this.snapshot, this.plan, upstream)
    } catch (error) {
      this.#exchange.gateway.ports.journal.fault(this.#exchange.requestId, error)
      this.#abort(stopped('gateway.bug', 'see the fault of this request'))
      return null
    }
  }

  onData(chunk: Buffer, isLent: boolean): void {
    this.#activeAtMs = performance.now()
    if (this.#isEnded) return
    if (!this.#mayPassBack()) {
      const kept = isLent ? Buffer.from(chunk) : chunk
      return void this.#holdUp(() => this.onData(kept, false))
    }
    if (chunk.length === this.#lengthBytes) {
      // Head and body in one write; a latin1 string costs less than a buffer here.
      this.#end(chunk.toString('latin1'))
      return
    }
    this.#lengthBytes = -1 // no longer a body of one piece
    if (this.#response.write(isLent ? Buffer.from(chunk) : chunk)) return
    this.#isPaused = true
    this.#call?.pause()
    if (this.#hasDrainListener) return
    this.#hasDrainListener = true
    this.#response.on('drain', () => {
      this.#activeAtMs = performance.now()
      this.#isPaused = false
      if (this.#heldUp === null) this.#call?.resume()
    })
  }

  /** Trailers are dropped: a field that no head announced has passed no policy. */
  onEnd(): void {
    if (this.#heldUp !== null) this.#heldUp.push(() => this.onEnd())
    else if (!this.#isEnded) this.#end()
  }

  onFailure(error: Error): void {
    if (this.#isEnded) return
    const isUnsent = this.#body === null || !this.#body.isStarted
    if (!this.#isRetried && isUnsent && isStaleConnection(error) && mayRetry(this.plan.head, this.#isStarted)) {
      this.#isRetried = true
      this.#send()
    } else this.#fail(error)
  }

  #fail(cause: Error): void {
    this.#isEnded = true
    this.#heldUp = null
    this.#body?.stop()
    const response = this.#response
    if (codeOf(cause) === 'client.gone') return void response.destroy()
    const refusal = refusalOf(cause)
    this.#exchange.failure = refusal
    if (response.destroyed) return
    // Once the head has left, a torn connection is the only honest way to say "incomplete".
    if (response.headersSent) tear(response)
    else answerFailure(this.#exchange, refusal, this.#request, response)
  }

  #end(latin1?: string): void {
    this.#isEnded = true
    this.#body?.stop()
    drain(this.#request)
    if (latin1 === undefined) this.#response.end()
    else this.#response.end(latin1, 'latin1')
  }
}

/** A head whose body is not here yet leaves alone (event streams need it); one that already left with its body is not touched. */
function flushHead(response: ServerResponse): void {
  if (!response.destroyed && !response.writableEnded) response.flushHeaders()
}

/** To an HTTP/1.0 client the end of the connection is the end of the body, so only a reset says that it is not. */
function tear(response: ServerResponse): void {
  const { socket } = response
  if (response.req.httpVersion === '1.0' && socket !== null && 'resetAndDestroy' in socket) socket.resetAndDestroy()
  else response.destroy()
}

/** RFC 9110 §8.6: no Content-Length in a 204; RFC 9110 §15.3.6: a 205 has no content. */
function framed(head: AnswerHead): HeaderList {
  if (head.status !== 204 && head.status !== 205) return head.headers
  const kept: string[] = []
  for (let at = 0; at < head.headers.length; at += 2) {
    if (head.headers[at]!.toLowerCase() !== 'content-length') kept.push(head.headers[at]!, head.headers[at + 1]!)
  }
  if (head.status === 205) kept.push('Content-Length', '0')
  return kept
}
