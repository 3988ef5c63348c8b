/** A Workers request as a RawHead. The runtime has joined duplicate fields by then, so what is joined must not parse as one. */

import type { RawHead } from '../model.ts'

export function rawHeadOf(request: Request, requestId: string, receivedAtMs: number): RawHead {
  const headers: string[] = []
  for (const [name, value] of request.headers) headers.push(name, value)
  if (!request.headers.has('host')) headers.push('host', authorityOf(request.url))
  return {
    requestId,
    receivedAtMs,
    method: request.method,
    target: targetOf(request.url),
    httpVersion: '1.1',
    headers: framed(headers, request),
    peerAddress: request.headers.get('cf-connecting-ip') ?? '0.0.0.0',
    isUpgrade: request.method === 'GET' && request.headers.get('upgrade')?.toLowerCase() === 'websocket',
  }
}

/** The request-target's bytes as the runtime kept them: `URL` would normalize once more. */
function targetOf(url: string): string {
  const slash = url.indexOf('/', url.indexOf('//') + 2)
  return slash < 0 ? '/' : url.slice(slash)
}

function authorityOf(url: string): string {
  const start = url.indexOf('//') + 2
  const slash = url.indexOf('/', start)
  return slash < 0 ? url.slice(start) : url.slice(start, slash)
}

/** The runtime owns framing here; a body without a declared length is chunked to us, whatever the wire said. */
function framed(headers: readonly string[], request: Request): readonly string[] {
  const kept = headers.filter((_, at) => headers[at - (at % 2)]?.toLowerCase() !== 'transfer-encoding')
  if (request.body === null || request.headers.has('content-length')) return kept
  return [...kept, 'transfer-encoding', 'chunked']
}
