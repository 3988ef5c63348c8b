/** Forwards a planned request with `fetch` and streams the answer. The simple relay: the one on Node is measured against it. */

import { type AnswerHead, type ForwardPlan, type HeaderList, Refusal } from '../model.ts'

/** The upstream's answer, or the Refusal that stands for its failure. */
export async function forward(plan: ForwardPlan, request: Request): Promise<Response | Refusal> {
  const headers = new Headers()
  for (let at = 0; at < plan.headers.length; at += 2) headers.append(plan.headers[at]!, plan.headers[at + 1]!)
  if (plan.head.isUpgrade) headers.set('upgrade', 'websocket')
  const limited = plan.head.bodyBytes === -1 ? limitBody(request.body, plan.route.bodyBytesMax) : null
  const body = plan.head.bodyBytes === 0 ? null : (limited?.stream ?? request.body)
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(), plan.route.timeoutMs)
  try {
    const { method } = plan.head
    const init = { method, headers, body, redirect: 'manual', signal: timeout.signal } as const
    return await fetch(plan.origin + plan.path, init)
  } catch (error) {
    const log = error instanceof Error ? error.message : String(error)
    if (limited?.isExceeded()) return new Refusal('body.too-large')
    return new Refusal(timeout.signal.aborted ? 'upstream.timeout' : 'upstream.refused', { log })
  } finally {
    clearTimeout(timer)
  }
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

/** Bodies without a declared length are counted as they flow; one that grows too long is never delivered as complete. */
function limitBody(body: ReadableStream | null, bytesMax: number) {
  let bytes = 0
  let exceeded = false
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.byteLength
      exceeded = bytes > bytesMax
      if (exceeded) controller.error(new Error('body too large'))
      else controller.enqueue(chunk)
    },
  })
  return { stream: body?.pipeThrough(counter) ?? null, isExceeded: () => exceeded }
}
