/**
 * Carries one allowed exchange: the upstream's events go straight to the client's response, with backpressure both ways.
 * Whatever ends early ends on both sides: a client that leaves cancels the upstream, a torn answer tears ours.
 */

import { linesFor } from '../forward/plan.ts'
import { firstValue } from '../http/header-list.ts'
import type { AnswerHead, ForwardPlan, HeaderList, Refusal } from '../model.ts'
import { answer, mayRetry } from '../pipeline.ts'
import type { Snapshot } from '../snapshot.ts'
import { clientTrailers, earlyHints } from '../transform/trailers.ts'
import { answerFailure } from './answer.ts'
import type { Exchange } from './exchange.ts'
import type { InboundRequest, InboundResponse } from './inbound.ts'
import { writeInterim } from './interim.ts'
import type { OpenExchange } from './open-exchanges.ts'
import { CLIENT_STALL_MS } from './pressure/connection-caps.ts'
import type { Sweepable } from './relay-sweep.ts'
import { type BodyOwner, drain, RequestBody } from './request-body.ts'
import { tear } from './tear.ts'
import type { LiveServer } from './upstream/live-server.ts'
import type { Asker, LiveUpstream } from './upstream/live-upstream.ts'
import type { UpstreamCall, UpstreamHandler } from './upstream/transport.ts'
import {
  codeOf,
  isServersFault,
  isStaleConnection,
  isTriedElsewhere,
  refusalOf,
  type StopReason,
  stopped,
} from './upstream-failure.ts'

/** Interim answers to one request; what comes beyond them is dropped. */
const INTERIMS_MAX = 8
const NONE: readonly string[] = Object.freeze([])

export class Relay implements UpstreamHandler, BodyOwner, Sweepable, OpenExchange, Asker {
  sweepSeat = -1
  openSeat = -1
  readonly plan: ForwardPlan
  readonly snapshot: Snapshot
  readonly #exchange: Exchange
  readonly #request: InboundRequest
  readonly #response: InboundResponse
  #call: UpstreamCall | null = null
  #body: RequestBody | null = null
  readonly #upstream: LiveUpstream
  /** Where it has a place now; null while it waits for one, and when it is over. */
  #server: LiveServer | null = null
  #tries = 0
  /** Those that failed, the last one last. */
  #failed: readonly string[] = NONE
  #isConnected = false
  /** Something came back of the try under way. */
  #isAnswered = false
  readonly #startedAtMs = performance.now()
  #triedAtMs = this.#startedAtMs
  #activeAtMs = this.#startedAtMs
  /** What the client was sent of it. */
  #head: AnswerHead | null = null
  /** Bytes the upstream's head promises; -1 when it does not say. */
  #lengthBytes = -1
  #isStarted = false
  #isEnded = false
  #interims = 0
  #isPaused = false
  #hasDrainListener = false
  /** Of the answer, what may not pass yet, in order. */
  #heldUp: (() => void)[] | null = null

  constructor(exchange: Exchange, plan: ForwardPlan, request: InboundRequest, response: InboundResponse) {
    this.#exchange = exchange
    this.snapshot = exchange.gateway.snapshot
    this.plan = plan
    this.#upstream = exchange.gateway.upstreams.of(plan.upstream)
    this.#request = request
    this.#response = response
  }

  start(): void {
    const { sweep, exchanges } = this.#exchange.gateway
    sweep.add(this)
    exchanges.add(this)
    const { head, route } = this.plan
    if (head.bodyBytes !== 0) this.#body = new RequestBody(this.#request, route.bodyBytesMax, this)
    this.#ask(this.plan.origin)
  }

  #ask(origin: string): void {
    const place = this.#upstream.enter(this.plan.upstream, origin, this)
    if (place === 'busy') this.#fail(stopped('upstream.busy', 'as many requests wait as may'))
    else if (place !== 'waiting') this.onTurn(place)
  }

  onTurn(server: LiveServer): void {
    const { plan } = this
    const { path, head } = plan
    const { origin } = server
    const { method, bodyBytes } = head
    this.#server = server
    const tries = ++this.#tries
    if (tries > 1 || plan.upstream.servers.length > 1) this.#exchange.asked = { server: origin, tries }
    const headers = origin === plan.origin ? plan.headers : linesFor(plan, origin)
    this.#call = server.send({ method, path, headers, bodyBytes }, this)
  }

  /** The place at the server, or in the queue for one. */
  #leavePlace(): void {
    const server = this.#server
    if (server === null) return void this.#upstream.forget(this)
    this.#server = null
    server.leave(this)
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
      tear(this.#request, this.#response)
    }
  }

  /** An event stream: its reader drops an event that is not whole, and comes back (HTML §9.2.6). */
  leave(): void {
    if (this.#isEnded || this.#head === null || !isEventStream(this.#head.headers)) return
    this.#call?.abort()
    this.#end()
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
    const { connectMs, firstByteMs, idleMs: idleMsMax, totalMs } = this.plan.route.timeouts
    if (totalMs !== null && !this.#isEnded && nowMs - this.#startedAtMs > totalMs) {
      return void this.#abort(stopped('upstream.total-timeout', `not over after ${totalMs} ms`))
    }
    if (!this.#isConnected && !this.#isEnded) {
      if (nowMs - this.#triedAtMs > connectMs) this.#giveUpConnecting(connectMs)
      return
    }
    const idleMs = nowMs - this.#activeAtMs
    const { bodyIdleMs } = this.#exchange.gateway.pressure.limits
    if (this.#body?.isTooSlow(nowMs, bodyIdleMs) === true) {
      return void this.#abort(stopped('client.stalled', `less than 1 KiB of the body in ${bodyIdleMs} ms`))
    }
    if (this.#isPaused || this.#isEnded || this.#heldUp !== null) {
      if (idleMs > CLIENT_STALL_MS) tear(this.#request, this.#response)
    } else if (idleMs > (this.#isStarted ? idleMsMax : firstByteMs)) {
      const isStalled = this.#body?.isWaitingForClient === true && !this.#isStarted && !this.#request.complete
      const reason = this.#isStarted ? 'upstream.timeout' : 'upstream.first-byte-timeout'
      if (!isStalled && !this.#isAnswered) this.#server?.failed(this)
      this.#abort(stopped(isStalled ? 'client.stalled' : reason, `no byte for ${Math.round(idleMs)} ms`))
    }
  }

  #giveUpConnecting(connectMs: number): void {
    if (this.#server === null)
      return void this.#fail(stopped('upstream.busy', `no server was free for ${connectMs} ms`))
    this.#call?.abort()
    this.onFailure(stopped('upstream.connect-timeout', `no connection for ${connectMs} ms`))
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
    this.#isConnected = true
    this.#activeAtMs = performance.now()
    const fault = this.#exchange.gateway.exchanges.startFault(this)
    if (fault !== null) this.#abort(stopped(fault, 'when the connection was there'))
    else this.#body?.start(call)
  }

  onWritable(): void {
    this.#activeAtMs = performance.now()
    this.#body?.onWritable()
  }

  /** RFC 9110 §15.2: passed on, a few of them, but not to HTTP/1.0, where the first head is the answer. */
  onInterim(status: number, headers: HeaderList): void {
    this.#activeAtMs = performance.now()
    if (this.#isEnded) return
    this.#isAnswered = true
    if (this.#interims === INTERIMS_MAX || this.#response.req.httpVersion === '1.0') return
    if (!this.#mayPassBack()) return void this.#holdUp(() => this.onInterim(status, headers))
    const lines = status === 103 ? (earlyHints(this.plan, headers) as string[]) : []
    if (status !== 102 && lines.length === 0) return
    this.#interims++
    writeInterim(this.#response, () => this.#response.writeInformation(status, lines))
  }

  onHead(status: number, headers: HeaderList, lengthBytes: number): void {
    this.#activeAtMs = performance.now()
    if (this.#isEnded) return
    this.#isAnswered = true
    this.#server?.succeeded(this)
    if (!this.#mayPassBack()) return void this.#holdUp(() => this.onHead(status, headers, lengthBytes))
    const head = this.#answer({ status, headers })
    if (head === null) return
    this.#head = head
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

  onEnd(trailers: HeaderList): void {
    if (this.#heldUp !== null) return void this.#heldUp.push(() => this.onEnd(trailers))
    if (this.#isEnded) return
    if (trailers.length > 0) this.#addTrailers(trailers)
    this.#end()
  }

  #addTrailers(sent: HeaderList): void {
    const kept = clientTrailers(this.snapshot, this.plan, sent)
    const lines: [string, string][] = []
    for (let at = 0; at < kept.length; at += 2) lines.push([kept[at]!, kept[at + 1]!])
    if (lines.length > 0) this.#response.addTrailers(lines)
  }

  onFailure(error: Error): void {
    if (this.#isEnded) return
    const isSent = this.#isConnected
    const isUpload = isSent && this.#body !== null
    // A server may well hang up on a body it does not want.
    if (!this.#isAnswered && !isUpload && isServersFault(error)) this.#server?.failed(this)
    if (this.#server !== null) this.#failed = [...this.#failed, this.#server.origin]
    this.#leavePlace()
    const origin = this.#nextTry(error, isSent)
    if (origin === null) return void this.#fail(error)
    this.#isConnected = false
    this.#triedAtMs = performance.now()
    this.#activeAtMs = this.#triedAtMs
    this.#ask(origin)
  }

  /** Where to try again; null for nowhere. */
  #nextTry(error: Error, isSent: boolean): string | null {
    const attempt = { tries: this.#tries, isSent, isAnswered: this.#isAnswered }
    const isStale = isStaleConnection(error)
    if (!mayRetry(this.plan.head, attempt) || !(isSent ? isStale : isTriedElsewhere(error))) return null
    return this.#upstream.retryAt(this.#failed, isStale)
  }

  #fail(cause: Error): void {
    this.#isEnded = true
    this.#leavePlace()
    this.#heldUp = null
    this.#body?.stop()
    const response = this.#response
    if (codeOf(cause) === 'client.gone') return void tear(this.#request, response)
    const refusal = refusalOf(cause)
    this.#exchange.failure = refusal
    if (response.destroyed) return
    // Once the head has left, a torn connection is the only honest way to say "incomplete".
    if (response.headersSent) tear(this.#request, response)
    else answerFailure(this.#exchange, refusal, this.#request, response)
  }

  #end(latin1?: string): void {
    this.#isEnded = true
    this.#leavePlace()
    this.#body?.stop()
    drain(this.#request)
    if (latin1 === undefined) this.#response.end()
    else this.#response.end(latin1, 'latin1')
  }
}

function isEventStream(headers: HeaderList): boolean {
  return firstValue(headers, 'content-type')?.toLowerCase().startsWith('text/event-stream') === true
}

/** A head whose body is not here yet leaves alone (event streams need it); one that already left with its body is not touched. */
function flushHead(response: InboundResponse): void {
  if (!response.destroyed && !response.writableEnded) response.flushHeaders()
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
