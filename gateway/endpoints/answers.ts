/** Every answer of ours is built here, so that each leaves `no-store`, under a policy that runs nothing and is framed by nobody. */

import type { Refusal } from '../model.ts'
import { problemAnswer } from '../problem/response.ts'
import type { Html } from './pages/layout.ts'
import { STYLE } from './pages/style.ts'

/**
 * Headers an answer leaves with unless it has set its own. Referrer-Policy is `same-origin`, because under `no-referrer`
 * a browser sends `Origin: null` with our own forms (Fetch §3.2), which then look like somebody else's.
 */
const OWN_HEADERS: readonly (readonly [string, string])[] = [
  ['cache-control', 'no-store'],
  ['content-security-policy', "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"],
  ['cross-origin-opener-policy', 'same-origin'],
  ['cross-origin-resource-policy', 'same-origin'],
  ['referrer-policy', 'same-origin'],
  ['x-content-type-options', 'nosniff'],
]

/** The same answer with our headers on it. Set-Cookie lines stay separate lines. */
export function dressed(response: Response, requestId: string): Response {
  const headers = new Headers(response.headers)
  for (const [name, value] of OWN_HEADERS) if (!headers.has(name)) headers.set(name, value)
  headers.set('x-request-id', requestId)
  return new Response(response.body, { status: response.status, headers })
}

/** The id the runtime gave this request. One that did not come from a runtime of ours is not echoed. */
export function requestIdOf(request: Request): string {
  const given = request.headers.get('x-request-id')
  return given !== null && /^[\w-]{8,128}$/.test(given) ? given : 'unknown'
}

/** SHA-256 of the style sheet in the CSP's spelling. The text is kept, not the promise: an isolate may not await another request's. */
let styleHash: string | null = null

export async function pageAnswer(status: number, page: Html, headers: Headers = new Headers()): Promise<Response> {
  if (styleHash === null) {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(STYLE))
    styleHash = `'sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}'`
  }
  headers.set('content-type', 'text/html; charset=utf-8')
  headers.set(
    'content-security-policy',
    `default-src 'none'; style-src ${styleHash}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
  )
  return new Response(String(await page), { status, headers })
}

/** RFC 9110 §15.4.4: after a form, the browser asks for the next page with GET. `location` is a path of this origin. */
export function seeOther(location: string, headers: Headers = new Headers()): Response {
  headers.set('location', location)
  return new Response(null, { status: 303, headers })
}

/** Probes read one word. */
export function word(status: number, text: string): Response {
  return new Response(`${text}\n`, { status, headers: { 'content-type': 'text/plain; charset=utf-8' } })
}

export function refusalAnswer(refusal: Refusal, request: Request, origin: string): Response {
  const answer = problemAnswer(refusal, requestIdOf(request), origin, [])
  const headers = new Headers()
  for (let i = 0; i < answer.headers.length; i += 2) headers.append(answer.headers[i]!, answer.headers[i + 1]!)
  return new Response(answer.body, { status: answer.status, headers })
}

/** Header lines that carry these cookies, each on its own line (RFC 6265 §3). */
export function cookieHeaders(setCookies: readonly string[]): Headers {
  const headers = new Headers()
  for (const cookie of setCookies) headers.append('set-cookie', cookie)
  return headers
}
