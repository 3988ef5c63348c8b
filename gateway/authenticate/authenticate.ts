/**
 * Finds the credential a request presents and has it verified. One credential, or two of one subject, or nobody:
 * a credential that is presented and bad is never the same as none (SECURITY rules 11-13).
 */

import { type Authentication, type Principal, Refusal, type RequestHead, type Soon } from '../model.ts'
import type { Ports } from '../ports.ts'

/** Nobody, with nothing to say about cookies. */
export const NOBODY: Authentication = Object.freeze({
  principal: null,
  setCookies: Object.freeze([]) as readonly string[],
})

type Sources = Pick<Ports, 'sessions' | 'tokens'>
type Found = Authentication | Refusal

const SCHEME_UNKNOWN = Object.freeze(new Refusal('credential.scheme'))
const SUBJECTS_DIFFER = Object.freeze(new Refusal('credential.subjects-differ'))

export function authenticate(sources: Sources, head: RequestHead): Soon<Found> {
  const bearer =
    head.authorization === null ? null : verifyAuthorization(sources, head.authorization, head.receivedAtMs)
  if (bearer instanceof Refusal) return bearer
  const cookie = head.sessionCookie === null || sources.sessions === null ? null : head.sessionCookie
  const session = cookie === null ? null : sources.sessions!.verifyCookie(cookie, head.receivedAtMs)
  if (bearer instanceof Promise || session instanceof Promise) return bothLater(bearer, session)
  return combine(bearer, session)
}

async function bothLater(bearer: Soon<Principal | Refusal> | null, session: Soon<Found> | null): Promise<Found> {
  const [principal, authentication] = await Promise.all([bearer, session])
  return combine(principal, authentication)
}

/** RFC 6750 §2.1: the scheme is case-insensitive, and no other scheme is ours to understand. */
function verifyAuthorization(sources: Sources, authorization: string, nowMs: number): Soon<Principal | Refusal> {
  if (sources.tokens === null || authorization.length < 8) return SCHEME_UNKNOWN
  if (authorization.slice(0, 7).toLowerCase() !== 'bearer ') return SCHEME_UNKNOWN
  return sources.tokens.verifyToken(authorization.slice(7).trim(), nowMs)
}

/** A bearer token beside a session: both must speak for one subject, and then the token's scopes and roles rule. */
function combine(bearer: Principal | Refusal | null, session: Found | null): Found {
  if (bearer === null) return session ?? NOBODY
  if (bearer instanceof Refusal) return bearer
  if (session === null) return { principal: bearer, setCookies: NOBODY.setCookies }
  if (session instanceof Refusal) return session
  if (session.principal === null) return { principal: bearer, setCookies: session.setCookies }
  if (session.principal.subject !== bearer.subject || session.principal.issuer !== bearer.issuer) return SUBJECTS_DIFFER
  return { principal: bearer, setCookies: session.setCookies }
}
