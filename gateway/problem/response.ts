/** A Refusal as the client sees it: RFC 9457 problem details with a stable code, our request id, and never a reason of ours. */

import type { HeaderList, OwnAnswer, Refusal } from '../model.ts'
import { PROBLEMS, type Problem, REASONS } from './catalogue.ts'

/** The public problem behind a reason. */
export function problemOf(refusal: Refusal): Problem & { readonly code: string } {
  const code = REASONS[refusal.reason]
  return { code, ...PROBLEMS[code] }
}

/** `origin` is the realm of challenges and the base of `type`; `ownHeaders` stand on every answer of ours. */
export function problemAnswer(refusal: Refusal, requestId: string, origin: string, ownHeaders: HeaderList): OwnAnswer {
  const problem = problemOf(refusal)
  const body = `${JSON.stringify({
    type: `${origin}/_postern/problems/${problem.code}`,
    title: problem.title,
    status: problem.status,
    ...(refusal.detail === null ? {} : { detail: refusal.detail }),
    instance: `urn:postern:request:${requestId}`,
    code: problem.code,
    requestId,
  })}\n`
  const headers: string[] = ['Content-Type', 'application/problem+json', 'Cache-Control', 'no-store']
  headers.push('X-Request-Id', requestId, 'Content-Length', String(new TextEncoder().encode(body).length))
  const challenge = challengeFor(refusal, origin)
  if (challenge !== null) headers.push('WWW-Authenticate', challenge)
  if (refusal.retryAfterMs !== null) headers.push('Retry-After', String(Math.ceil(refusal.retryAfterMs / 1000)))
  if (problem.status === 503 && refusal.retryAfterMs === null) headers.push('Retry-After', '1')
  if (problem.status === 405) headers.push('Allow', refusal.allow.join(', '))
  for (const cookie of refusal.setCookies) headers.push('Set-Cookie', cookie)
  return { status: problem.status, headers: [...headers, ...ownHeaders], body }
}

/** RFC 9110 §11.6.1 and RFC 6750 §3. No scheme is registered for API keys; a 401 names one that would do. */
function challengeFor(refusal: Refusal, origin: string): string | null {
  const code = REASONS[refusal.reason]
  if (code === 'login-required' || code === 'invalid-session' || code === 'invalid-key')
    return `Bearer realm="${origin}"`
  if (code === 'invalid-token') return `Bearer realm="${origin}", error="invalid_token"`
  if (refusal.reason === 'scope.missing') return `Bearer realm="${origin}", error="insufficient_scope"`
  return null
}
