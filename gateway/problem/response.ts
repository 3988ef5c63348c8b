/** A Refusal as the client sees it: RFC 9457 problem details with a stable code, our request id, and never a reason of ours. */

import type { HeaderList, OwnAnswer, Refusal, StepUp } from '../model.ts'
import { PROBLEMS, type Problem, REASONS } from './catalogue.ts'

/** The public problem behind a reason. */
export function problemOf(refusal: Refusal): Problem & { readonly code: string } {
  const code = REASONS[refusal.reason]
  return { code, ...PROBLEMS[code] }
}

/** `origin` is the realm of challenges and the base of `type`; `ownHeaders` stand on every answer of ours. */
export function problemAnswer(refusal: Refusal, requestId: string, origin: string, ownHeaders: HeaderList): OwnAnswer {
  const problem = problemOf(refusal)
  const detail = refusal.detail ?? (refusal.stepUp === null ? null : stepUpText(refusal.stepUp))
  const body = `${JSON.stringify({
    type: `${origin}/_postern/problems/${problem.code}`,
    title: problem.title,
    status: problem.status,
    ...(detail === null ? {} : { detail }),
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
  headers.push(...refusal.headers)
  return { status: problem.status, headers: [...headers, ...ownHeaders], body }
}

/** RFC 9110 §11.6.1 and RFC 6750 §3. No scheme is registered for API keys; a 401 names one that would do. */
function challengeFor(refusal: Refusal, origin: string): string | null {
  const code = REASONS[refusal.reason]
  if (code === 'login-required' || code === 'invalid-session' || code === 'invalid-key')
    return `Bearer realm="${origin}"`
  if (code === 'invalid-token') return `Bearer realm="${origin}", error="invalid_token"`
  if (code === 'insufficient-user-authentication') return stepUpChallenge(refusal.stepUp, origin)
  if (refusal.reason === 'scope.missing') return `Bearer realm="${origin}", error="insufficient_scope"`
  return null
}

/** What a client asks its own issuer for where the policy says `mfa: true`. */
export const SECOND_FACTOR_ACR = 'mfa'

/** RFC 9470 §3. Less than a second cannot be said, so no age asked for is older than what the policy takes. */
function stepUpChallenge(stepUp: StepUp | null, origin: string): string {
  const parts = [`Bearer realm="${origin}"`, 'error="insufficient_user_authentication"']
  if (stepUp === null) return parts.join(', ')
  parts.push(`error_description="${stepUpText(stepUp)}"`)
  if (stepUp.isSecondFactorNeeded) parts.push(`acr_values="${SECOND_FACTOR_ACR}"`)
  if (stepUp.maxAgeMs !== null) parts.push(`max_age="${Math.floor(stepUp.maxAgeMs / 1000)}"`)
  return parts.join(', ')
}

/** One sentence; RFC 6750 §3 allows it no quote and no backslash. */
function stepUpText({ isSecondFactorNeeded, maxAgeMs }: StepUp): string {
  const fresh = maxAgeMs === null ? null : `a sign-in of the last ${ageText(maxAgeMs)}`
  if (!isSecondFactorNeeded) return `This asks for ${fresh ?? 'a new sign-in'}.`
  return `This asks for a sign-in with a second factor${fresh === null ? '' : ` and for ${fresh}`}.`
}

function ageText(ageMs: number): string {
  for (const [unitMs, name] of UNITS) {
    if (ageMs >= unitMs && ageMs % unitMs === 0) {
      const count = ageMs / unitMs
      return count === 1 ? name : `${count} ${name}s`
    }
  }
  return `${ageMs} milliseconds`
}

const UNITS = [
  [86_400_000, 'day'],
  [3_600_000, 'hour'],
  [60_000, 'minute'],
  [1000, 'second'],
] as const
