/** Forwards a planned request with `fetch` and streams the answer. The simple relay: the one on Node is measured against it. */

import { type AnswerHead, type ForwardPlan, type HeaderList, Refusal } from '../model.ts'

/** The upstream's answer, or the Refusal that stands for its failure. */
export async function forward(plan: ForwardPlan, request: Request): Promise<Response | Refusal> {
  const headers = new Headers()
  for (let at = 0; at < plan.headers.length; at += 2) headers.append(plan.headers[at]!, plan.headers[at + 1]!)
  if (plan.head.isUpgrade) headers.set('upgrade', 'websocket')
  const stop = new AbortController()
  const limited =
    plan.head.bodyBytes === -1 ? limitBody(request.body, plan.route.bodyBytesMax, () => stop.abort()) : null
  const body = plan.head.bodyBytes === 0 ? null : (limited?.stream ?? request.body)
  const timer = setTimeout(() => stop.abort(), plan.route.timeouts.firstByteMs)
  try {
    const { method } = plan.head
    const init = { method, headers, body, redirect: 'manual', signal: stop.signal } as const
    const response = await fetch(plan.origin + plan.path, init)
    if (isAnswer(response, plan)) return response
    stop.abort()
    return new Refusal('upstream.protocol', { log: 'an answer that is none, or with more than one framing' })
  } catch (error) {
    const log = error instanceof Error ? error.message : String(error)
    if (limited?.isExceeded()) return new Refusal('body.too-large')
    return new Refusal(stop.signal.aborted ? 'upstream.first-byte-timeout' : 'upstream.refused', { log })
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The runtime takes an answer with a length beside a coding by the coding (RFC 9112 §6.3), and leaves a coding that it does not
 * know in the body. Neither is passed on, nor a 101 that nobody asked for.
 */
function isAnswer({ status, headers }: Response, plan: ForwardPlan): boolean {
  const coding = headers.get('transfer-encoding')
  if (coding !== null && (coding.toLowerCase() !== 'chunked' || headers.has('content-length'))) return false
  return status >= 200 || plan.head.isUpgrade
}

/** The upstream's field lines, its Set-Cookie lines apart from each other. */
export function upstreamHead(response: Response): AnswerHead {
  const headers: string[] = []
  for (const [name, value] of response.headers) if (name !== 'set-cookie') headers.push(name, value)
  for (const cookie of response.headers.getSetCookie()) headers.push('set-cookie', cookie)
  return { status: response.status, headers }
}

export function toHeaders(list: HeaderList): Headers {
  const headers = new Headers()
  for (let at = 0; at < list.length; at += 2) headers.append(list[at]!, list[at + 1]!)
  return headers
}

/**
 * Bodies without a declared length are counted as they flow; one that grows too long is never delivered as complete. `stop` ends the
 * whole exchange: of a stream that only breaks off the runtime would write the last chunk.
 */
function limitBody(body: ReadableStream | null, bytesMax: number, stop: () => void) {
  let bytes = 0
  let exceeded = false
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.byteLength
      exceeded = bytes > bytesMax
      if (!exceeded) return controller.enqueue(chunk)
      stop()
      return new Promise<void>(() => {})
    },
  })
  return { stream: body?.pipeThrough(counter) ?? null, isExceeded: () => exceeded }
}
