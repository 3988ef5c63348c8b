/** Serves the gateway's own paths: the endpoints get a request rebuilt from the admitted head, with a body read whole within limits. */

import { isHopByHop } from '../http/field-names.ts'
import { type HeaderList, Refusal, type RequestHead } from '../model.ts'
import { ownRequest } from '../transform/own-request.ts'
import { answerFailure } from './answer.ts'
import type { Exchange } from './exchange.ts'
import type { InboundRequest, InboundResponse } from './inbound.ts'
import { drain } from './request-body.ts'

const BODY_BYTES_MAX = 64 * 1024
const BODY_TIMEOUT_MS = 10_000

const TOO_LARGE = Object.freeze(new Refusal('body.too-large'))
const TOO_SLOW = Object.freeze(new Refusal('head.timeout'))

export async function serveOwn(
  exchange: Exchange,
  head: RequestHead,
  request: InboundRequest,
  response: InboundResponse,
): Promise<void> {
  const { endpoints, snapshot } = exchange.gateway
  const body = await readBody(request, head.bodyBytes)
  if (body instanceof Refusal) {
    exchange.failure = body
    return answerFailure(exchange, body, request, response)
  }
  const answer = await endpoints.fetch(ownRequest(snapshot, head, body as BodyInit | null))
  const bytes = Buffer.from(await answer.arrayBuffer())
  if (response.destroyed) return
  const headers = ownFields(exchange, answer.headers)
  const hasBody = head.method !== 'HEAD' && answer.status !== 204 && answer.status !== 304
  if (hasBody) headers.push('Content-Length', String(bytes.length))
  drain(request)
  response.writeHead(answer.status, headers)
  response.end(hasBody ? bytes : undefined)
}

/** Bytes of the whole body, null when there is none. GET and HEAD cannot carry one in fetch's model: theirs is dropped. */
async function readBody(request: InboundRequest, bodyBytes: number): Promise<Buffer | null | Refusal> {
  if (bodyBytes > BODY_BYTES_MAX) return TOO_LARGE
  if (bodyBytes === 0 || request.method === 'GET' || request.method === 'HEAD') return null
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const settle = (result: Buffer | Refusal) => {
      clearTimeout(timer)
      request.off('data', onData).off('end', onEnd).off('close', onClose)
      resolve(result)
    }
    const onData = (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > BODY_BYTES_MAX) settle(TOO_LARGE)
      else chunks.push(chunk)
    }
    const onEnd = () => settle(Buffer.concat(chunks))
    const onClose = () => settle(TOO_SLOW)
    const timer = setTimeout(() => settle(TOO_SLOW), BODY_TIMEOUT_MS)
    request.on('data', onData).on('end', onEnd).on('close', onClose)
    request.on('error', onClose)
  })
}

/** The endpoint's own fields, and those that every answer of ours carries. */
function ownFields(exchange: Exchange, headers: Headers): string[] {
  const { snapshot } = exchange.gateway
  const list: string[] = []
  for (const [name, value] of headers) {
    if (name === 'set-cookie' || name === 'content-length' || name === 'x-request-id' || isHopByHop(name)) continue
    list.push(name, value)
  }
  for (const cookie of headers.getSetCookie()) list.push('Set-Cookie', cookie)
  list.push('X-Request-Id', exchange.requestId)
  if (!headers.has('cache-control')) list.push('Cache-Control', 'no-store')
  addAbsent(list, headers, snapshot.ownHeaders)
  return list
}

function addAbsent(list: string[], present: Headers, more: HeaderList): void {
  for (let at = 0; at < more.length; at += 2) {
    if (!present.has(more[at]!)) list.push(more[at]!, more[at + 1]!)
  }
}
