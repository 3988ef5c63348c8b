/**
 * Finds the credential a request presents and has it verified. One credential, or two of one subject, or nobody:
 * a credential that is presented and bad is never the same as none (SECURITY rules 11-13).
 */

import { remembered } from '../http/remembered.ts'
import { type Authentication, Refusal, type RequestHead, type Soon } from '../model.ts'
import type { Ports } from '../ports.ts'

/** Nobody, with nothing to say about cookies. */
export const NOBODY: Authentication = Object.freeze({
  principal: null,
  proofs: Object.freeze([]),
  rate: null,
  setCookies: Object.freeze([]),
})

type Sources = Pick<Ports, 'sessions' | 'tokens' | 'keys'>
type Found = Authentication | Refusal

const BEARER = 'bearer '
const BLANK = 0x20
/** As many as there are tokens whose issuer is remembered, and as long. */
const AUTHORIZATIONS_MAX = 4096
const AUTHORIZATION_CHARS_MAX = 2048

const SCHEME_UNKNOWN = Object.freeze(new Refusal('credential.scheme'))
/** Where no key can be verified, every key is a bad one. */
const KEY_UNKNOWN = Object.freeze(new Refusal('key.unknown'))
const SUBJECTS_DIFFER = Object.freeze(new Refusal('credential.subjects-differ'))

export function authenticate(sources: Sources, head: RequestHead): Soon<Found> {
  const { authorization, apiKey, sessionCookie, receivedAtMs } = head
  const bearer = authorization === null ? null : verifyAuthorization(sources, authorization, receivedAtMs)
  if (bearer instanceof Refusal) return bearer
  const key = apiKey === null ? null : (sources.keys?.verifyKey(apiKey, receivedAtMs) ?? KEY_UNKNOWN)
  if (key instanceof Refusal) return key
  const cookie = sources.sessions === null ? null : sessionCookie
  const session = cookie === null ? null : sources.sessions!.verifyCookie(cookie, receivedAtMs)
  if (bearer instanceof Promise || key instanceof Promise || session instanceof Promise) {
    return allLater(bearer, key, session)
  }
  return combine(combine(bearer, key), session)
}

async function allLater(
  bearer: Soon<Found> | null,
  key: Soon<Found> | null,
  session: Soon<Found> | null,
): Promise<Found> {
  const [first, second, third] = await Promise.all([bearer, key, session])
  return combine(combine(first, second), third)
}

function verifyAuthorization(sources: Sources, authorization: string, nowMs: number): Soon<Found> {
  // Before it is remembered: a password of Basic is nobody's to keep.
  if (authorization.charCodeAt(BEARER.length - 1) !== BLANK) return SCHEME_UNKNOWN
  const token = bearerOf(authorization)
  if (sources.tokens === null || token === '') return SCHEME_UNKNOWN
  return sources.tokens.verifyToken(token, nowMs)
}

/**
 * The token; empty for none. RFC 6750 §2.1: the scheme is case-insensitive, and no other scheme is ours to understand. Every
 * look-up of a credential that comes again finds the text it knows, and not one that has to be compared.
 */
const bearerOf = remembered(
  (authorization) => {
    const scheme = authorization.slice(0, BEARER.length).toLowerCase()
    return scheme === BEARER ? authorization.slice(BEARER.length).trim() : ''
  },
  AUTHORIZATIONS_MAX,
  AUTHORIZATION_CHARS_MAX,
)

/** Two credentials must speak for one subject; then the first one's scopes, roles and limits rule (SECURITY rule 13). */
function combine(first: Found | null, second: Found | null): Found {
  if (first instanceof Refusal) return first
  if (first === null) return second ?? NOBODY
  if (second === null || second instanceof Refusal) return second ?? first
  if (second.principal === null) return second === NOBODY ? first : { ...first, setCookies: second.setCookies }
  if (first.principal === null) return second
  if (second.principal.subject !== first.principal.subject || second.principal.issuer !== first.principal.issuer) {
    return SUBJECTS_DIFFER
  }
  return { ...first, proofs: [...first.proofs, ...second.proofs], setCookies: second.setCookies }
}
