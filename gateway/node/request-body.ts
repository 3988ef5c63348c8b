/**
 * A client's body on its way to an upstream, counted as it flows. It is a stream of its own, because an upstream that
 * fails destroys the stream it was sent: were that the client's, the client could not be answered any more.
 */

import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { stopped } from './upstream-failure.ts'

export interface RequestBody extends Readable {
  /** The piece that was held up is to be asked about again. */
  flow(): void
}

/**
 * The body, never longer than `bytesMax`. `mayPass` is asked about each piece; one that may not waits for `flow`. Errors when
 * the client breaks off.
 */
export function requestBody(request: IncomingMessage, bytesMax: number, mayPass: () => boolean): RequestBody {
  let bytes = 0
  let held: Buffer | null = null
  const onData = (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > bytesMax) body.destroy(stopped('body.too-large', `more than ${bytesMax} bytes`))
    else pass(chunk)
  }
  const pass = (chunk: Buffer) => {
    held = mayPass() ? null : chunk
    if (held !== null || !body.push(chunk)) request.pause()
  }
  const onEnd = () => body.push(null)
  const onGone = () => {
    if (!request.complete) body.destroy(stopped('client.gone', 'the client broke off its body'))
  }
  const body = new Readable({
    read() {
      if (held === null) request.resume()
    },
    destroy(error, done) {
      request.off('data', onData).off('end', onEnd).off('close', onGone)
      done(error)
    },
  })
  request.on('data', onData).on('end', onEnd).on('close', onGone)
  // Reasons arrive by other ways; an error event that nobody hears would end the process.
  request.on('error', ignore)
  body.on('error', ignore)
  return Object.assign(body, {
    flow() {
      if (held === null || body.destroyed) return
      request.resume()
      pass(held)
    },
  })
}

/** How much of a body nobody wants is read before the connection is given up. */
const DRAIN_BYTES_MAX = 8 * 1024 * 1024
const DRAIN_MS = 5_000

/**
 * Reads on after an answer that did not wait for its request's body, so that the client can read the answer: a close with
 * unread bytes is a reset, which discards what was sent (RFC 9112 §9.6). Call before the answer ends.
 */
export function drain(request: IncomingMessage): void {
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
