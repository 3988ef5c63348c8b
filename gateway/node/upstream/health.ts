/** Asks a server again and again whether it is well, whatever requests do: its own path, its own time-out, its own verdict. */

import type { HeaderList } from '../../model.ts'
import type { HealthRule } from '../../rules.ts'
import { isStaleConnection } from '../upstream-failure.ts'
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from './transport.ts'

export interface HealthWatch {
  /** A server not asked yet is not down. */
  readonly isDown: boolean
  readonly host: string
  close(): void
}

export interface HealthDeps {
  readonly rule: HealthRule
  /** The Host it is asked for. */
  readonly host: string
  readonly send: (request: UpstreamRequest, handler: UpstreamHandler) => UpstreamCall
  /** With why it is down; null when it is well again. */
  readonly onChange: (why: string | null) => void
}

/** Of an answer. What is longer is not read. */
const BODY_BYTES_MAX = 64 * 1024

export function watchHealth({ rule, host, send, onChange }: HealthDeps): HealthWatch {
  let isDown = false
  /** Answers in a row that speak against what is held true now. */
  let against = 0
  let check: Check | null = null
  let timer = setTimeout(ask, rule.intervalMs * FIRST_SHARE * Math.random()).unref()
  const headers = ['Host', host, 'User-Agent', 'postern-health', 'Accept', '*/*']
  const request: UpstreamRequest = { method: 'GET', path: rule.path, headers, bodyBytes: 0 }
  return {
    get isDown() {
      return isDown
    },
    host,
    close() {
      clearTimeout(timer)
      check?.cancel()
    },
  }

  function ask(): void {
    check = new Check(request, rule.timeoutMs, send, heard)
  }

  function heard(why: string | null): void {
    timer = setTimeout(ask, rule.intervalMs * (1 - JITTER_SHARE * Math.random())).unref()
    const isWell = why === null
    if (isWell !== isDown) {
      against = 0
      return
    }
    against += 1
    if (against < (isWell ? rule.healthyAfter : rule.unhealthyAfter)) return
    against = 0
    isDown = !isWell
    onChange(why)
  }
}

/** Nodes and servers that start together do not ask together. */
const FIRST_SHARE = 0.2
const JITTER_SHARE = 0.2

/** One question. Its verdict comes with the head; the rest is read so that the connection can be used again. */
class Check implements UpstreamHandler {
  readonly #request: UpstreamRequest
  readonly #send: HealthDeps['send']
  readonly #heard: (why: string | null) => void
  readonly #timer: NodeJS.Timeout
  #call: UpstreamCall
  #verdict: string | null = 'no answer'
  #bytes = 0
  #isTriedAgain = false
  #isSettled = false

  constructor(
    request: UpstreamRequest,
    timeoutMs: number,
    send: HealthDeps['send'],
    heard: (why: string | null) => void,
  ) {
    this.#request = request
    this.#send = send
    this.#heard = heard
    this.#timer = setTimeout(() => {
      this.#call.abort()
      this.#settle(`no answer to GET ${request.path} within ${timeoutMs} ms`)
    }, timeoutMs).unref()
    this.#call = send(request, this)
  }

  cancel(): void {
    this.#isSettled = true
    clearTimeout(this.#timer)
    this.#call.abort()
  }

  onConnected(): void {}
  onInterim(): void {}
  onWritable(): void {}

  onHead(status: number, _headers: HeaderList): void {
    this.#verdict = status >= 200 && status < 300 ? null : `GET ${this.#request.path} answers ${status}`
  }

  onData(chunk: Buffer): void {
    this.#bytes += chunk.length
    if (this.#bytes <= BODY_BYTES_MAX) return
    this.#call.abort()
    this.#settle(this.#verdict)
  }

  onEnd(): void {
    this.#settle(this.#verdict)
  }

  onFailure(error: Error): void {
    if (this.#isSettled) return
    if (isStaleConnection(error) && !this.#isTriedAgain) {
      // A kept connection that had been closed at the other end says nothing.
      this.#isTriedAgain = true
      this.#call = this.#send(this.#request, this)
    } else this.#settle(`GET ${this.#request.path} fails: ${error.message}`)
  }

  #settle(why: string | null): void {
    if (this.#isSettled) return
    this.#isSettled = true
    clearTimeout(this.#timer)
    this.#heard(why)
  }
}
