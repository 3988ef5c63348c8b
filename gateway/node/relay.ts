/**
 * Carries one allowed exchange: undici's events go straight to the client's response, with backpressure both ways.
 * Whatever ends early ends on both sides: a client that leaves cancels the upstream, a torn answer tears ours.
 */

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Dispatcher } from 'undici'
import type { AnswerHead, ForwardPlan, HeaderList, Refusal } from '../model.ts'
import { answer, mayRetry } from '../pipeline.ts'
import type { Snapshot } from '../snapshot.ts'
import { answerFailure } from './answer.ts'
import type { Exchange } from './exchange.ts'
import type { OpenExchange } from './open-exchanges.ts'
import type { Sweepable } from './relay-sweep.ts'
import { drain, type RequestBody, requestBody } from './request-body.ts'
import { codeOf, isStaleConnection, refusalOf, type StopReason, stopped } from './upstream-failure.ts'

/** How long a client may take no byte of an answer that waits for it. */
const CLIENT_STALL_MS = 60_000

export class Relay implements Dispatcher.DispatchHandler, Sweepable, OpenExchange {
  readonly plan: ForwardPlan
  readonly snapshot: Snapshot
  readonly #exchange: Exchange
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  #controller: Dispatcher.DispatchController | null = null
  #body: RequestBody | null = null
  #activeAtMs = performance.now()
  /** Bytes the upstream's head promises; -1 when it does not say. */
  #lengthBytes = -1
  #stop: Error | null = null
  #isRetried = false
  #isStarted = false
  #isEnded = false
  #isPaused = false
  #hasDrainListener = false
  /** Of the answer, what may not pass yet, in order. */
  readonly #heldUp: (() => void)[] = []

  constructor(exchange: Exchange, plan: ForwardPlan, request: IncomingMessage, response: ServerResponse) {
    this.#exchange = exchange
    this.snapshot = exchange.gateway.snapshot
    this.plan = plan
    this.#request = request
    this.#response = response
  }

  start(): void {
    const { bodyBytes } = this.plan.head
    const { sweep, exchanges } = this.#exchange.gateway
    sweep.add(this)
    exchanges.add(this)
    if (bodyBytes !== 0) {
      this.#body = requestBody(this.#request, this.plan.route.bodyBytesMax, () => {
        this.#activeAtMs = performance.now()
        return exchanges.mayPass(this)
      })
    }
    this.#dispatch()
  }

  #dispatch(): void {
    const { origin, path, head, headers } = this.plan
    const { pools } = this.#exchange.gateway
    const servername = pools.tlsOf(origin)?.servername
    try {
      pools.of(origin).dispatch(
        {
          path,
          method: head.method as Dispatcher.HttpMethod,
          headers: head.bodyBytes > 0 ? [...headers, 'Content-Length', String(head.bodyBytes)] : (headers as string[]),
          body: this.#body,
          ...(servername === undefined ? null : { servername }),
        } as Dispatcher.DispatchOptions,
        this,
      )
    } catch (error) {
      this.onResponseError(null, error)
    }
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
    for (const pass of this.#heldUp.splice(0)) pass()
    if (this.#heldUp.length === 0 && !this.#isPaused) this.#controller?.resume()
  }

  #holdUp(controller: Dispatcher.DispatchController, pass: () => void): void {
    this.#heldUp.push(pass)
    controller.pause()
  }

  #mayPass(): boolean {
    return this.#heldUp.length === 0 && this.#exchange.gateway.exchanges.mayPass(this)
  }

  sweep(nowMs: number): void {
    const idleMs = nowMs - this.#activeAtMs
    if (this.#isPaused || this.#isEnded || this.#heldUp.length > 0) {
      if (idleMs > CLIENT_STALL_MS) this.#response.destroy()
    } else if (idleMs > this.plan.route.timeoutMs) {
      const isUploading = this.#body !== null && !this.#body.readableEnded && this.#body.readableLength === 0
      const reason = isUploading && !this.#isStarted && !this.#request.complete ? 'client.stalled' : 'upstream.timeout'
      this.#abort(stopped(reason, `no byte for ${this.plan.route.timeoutMs} ms`))
    }
  }

  #abort(reason: Error): void {
    if (this.#stop !== null) return
    this.#stop = reason
    if (this.#controller !== null) this.#controller.abort(reason)
    // Still waiting for a connection: nothing to abort yet, so the client is answered now and onRequestStart does the rest.
    else this.onResponseError(null, reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#stop !== null) return void controller.abort(this.#stop)
    const fault = this.#exchange.gateway.exchanges.startFault(this)
    if (fault !== null) this.#abort(stopped(fault, 'when the connection was there'))
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: unknown): void {
    this.#activeAtMs = performance.now()
    if (status < 200) return // RFC 9110 §15.2: a proxy may drop 1xx it did not ask for
    if (this.#isEnded) return
    if (!this.#mayPass()) return void this.#holdUp(controller, () => this.onResponseStart(controller, status, headers))
    const lines = flatten(controller.rawHeaders, headers)
    if (!isFramedOnce(lines)) {
      this.#abort(stopped('upstream.protocol', 'more than one framing of the body'))
      return
    }
    const head = this.#answer({ status, headers: lines })
    if (head === null) return
    this.#lengthBytes = lengthOf(head, this.plan.head.method)
    this.#response.writeHead(status, framed(head) as string[])
    this.#isStarted = true
    if (status === 205) {
      // RFC 9110 §15.3.6: it has no content, and bytes sent as such would be taken for the next answer.
      this.#end()
      controller.abort(stopped('upstream.protocol', 'nothing follows a 205'))
    } else if (this.#lengthBytes === 0) this.#end()
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

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#activeAtMs = performance.now()
    if (this.#isEnded) return
    if (!this.#mayPass()) return void this.#holdUp(controller, () => this.onResponseData(controller, chunk))
    if (chunk.length === this.#lengthBytes) {
      // Head and body in one write; a latin1 string costs less than a buffer here.
      this.#end(chunk.toString('latin1'))
      return
    }
    this.#lengthBytes = -1 // no longer a body of one piece
    if (this.#response.write(chunk)) return
    this.#isPaused = true
    controller.pause()
    if (this.#hasDrainListener) return
    this.#hasDrainListener = true
    this.#response.on('drain', () => {
      this.#activeAtMs = performance.now()
      this.#isPaused = false
      if (this.#heldUp.length === 0) this.#controller?.resume()
    })
  }

  /** Trailers are dropped: a field that no head announced has passed no policy. */
  onResponseEnd(): void {
    if (this.#heldUp.length > 0) this.#heldUp.push(() => this.onResponseEnd())
    else if (!this.#isEnded) this.#end()
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: unknown): void {
    if (this.#isEnded) return
    this.#heldUp.length = 0
    const { head } = this.plan
    const isOurs = this.#stop !== null
    if (!this.#isRetried && !isOurs && isStaleConnection(error) && mayRetry(head, this.#isStarted)) {
      this.#isRetried = true
      this.#controller = null
      this.#dispatch()
      return
    }
    this.#isEnded = true
    this.#body?.destroy()
    const cause = this.#stop ?? error
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

/** undici keeps an HTTP/1 head as a flat list of names and values; duplicates and spelling survive. */
function flatten(raw: unknown, parsed: unknown): HeaderList {
  const flat: string[] = []
  if (Array.isArray(raw)) {
    for (const part of raw as (Buffer | string)[]) flat.push(typeof part === 'string' ? part : part.toString('latin1'))
    return flat
  }
  for (const [name, value] of Object.entries(parsed as Record<string, string | string[]>)) {
    for (const each of Array.isArray(value) ? value : [value]) flat.push(name, each)
  }
  return flat
}

/** RFC 9112 §6.3: an answer with two lengths, or a length beside a coding, has two ends. The parser joins them; we refuse. */
function isFramedOnce(lines: HeaderList): boolean {
  let framings = 0
  for (let at = 0; at < lines.length; at += 2) {
    const name = lines[at]!
    if (name.length !== 14 && name.length !== 17) continue
    const lower = name.toLowerCase()
    if (lower === 'content-length' || lower === 'transfer-encoding') framings++
  }
  return framings < 2
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

/** Bytes of body that will follow this head; -1 when only its end will tell. */
function lengthOf(head: AnswerHead, method: string): number {
  if (method === 'HEAD' || head.status === 204 || head.status === 205 || head.status === 304) return -1
  for (let at = 0; at < head.headers.length; at += 2) {
    const name = head.headers[at]!
    if (name.length === 14 && name.toLowerCase() === 'content-length') return Number(head.headers[at + 1])
  }
  return -1
}
