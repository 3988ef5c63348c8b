/**
 * Bearer tokens that this gateway issued. The signature is checked once and remembered by the exact text; that the session
 * behind it lives, and what its user may do, is asked every time (SECURITY rule 17).
 */

import { type Claims, isCurrent, type TokenRules, verifyClaims } from '../jwt/verify.ts'
import { type Authentication, type Principal, Refusal, type Soon } from '../model.ts'
import type { TokenVerifier } from '../ports.ts'
import { boundedMap } from './bounded-map.ts'
import type { LiveSession, Sessions } from './sessions.ts'
import type { TokenKeys } from './token-keys.ts'

const TOKENS_MAX = 20_000
/** Tokens with an unknown `kid` make us read the keys at most this often, whoever sends them. */
const REFRESH_EVERY_MS = 5000
const REFRESH_DEADLINE_MS = 250

const SESSION_ENDED = Object.freeze(new Refusal('token.session-ended'))
const WITHOUT_SESSION = Object.freeze(new Refusal('token.malformed', { log: 'no sid' }))
const KEYS_UNAVAILABLE = Object.freeze(new Refusal('keys.unavailable'))

interface Known {
  readonly claims: Claims
  readonly sessionId: string
  session: LiveSession | null
  authentication: Authentication | null
}

export function createTokens(deps: {
  readonly origin: string
  readonly keys: TokenKeys
  readonly sessions: Sessions
}): TokenVerifier {
  const { keys, sessions } = deps
  const rules: TokenRules = { issuer: deps.origin, audience: deps.origin, keys: keys.finder }
  const verified = boundedMap<Known>(TOKENS_MAX)
  let refreshedAtMs = Number.NEGATIVE_INFINITY

  return {
    verifyToken(token, nowMs) {
      const known = verified.get(token)
      if (known !== undefined && isCurrent(known.claims, nowMs)) return bySession(known, nowMs)
      return verifyUnknown(token, nowMs)
    },
  }

  async function verifyUnknown(token: string, nowMs: number): Promise<Authentication | Refusal> {
    const claims = await verifyWithFreshKeys(token, nowMs)
    if (claims instanceof Refusal) return claims
    const sessionId = claims.sid
    if (typeof sessionId !== 'string' || sessionId === '') return WITHOUT_SESSION
    const known: Known = { claims, sessionId, session: null, authentication: null }
    verified.set(token, known)
    return bySession(known, nowMs)
  }

  /** Another node may have made the key a moment ago. */
  async function verifyWithFreshKeys(token: string, nowMs: number): Promise<Claims | Refusal> {
    const claims = await verifyClaims(rules, token, nowMs)
    if (!(claims instanceof Refusal) || claims.reason !== 'token.key-unknown') return claims
    if (Math.abs(nowMs - refreshedAtMs) < REFRESH_EVERY_MS) return claims
    refreshedAtMs = nowMs
    const isFresh = await settlesInTime(keys.refresh(nowMs))
    return isFresh ? verifyClaims(rules, token, nowMs) : KEYS_UNAVAILABLE
  }

  function bySession(known: Known, nowMs: number): Soon<Authentication | Refusal> {
    const found = sessions.verifyId(known.sessionId, nowMs)
    return found instanceof Promise ? found.then((session) => assemble(known, session)) : assemble(known, found)
  }

  /** Made once per reading of the session, so a hit allocates nothing. */
  function assemble(known: Known, session: LiveSession | Refusal): Authentication | Refusal {
    if (session instanceof Refusal) return session
    if (session.principal === null || session.principal.subject !== known.claims.sub) return SESSION_ENDED
    if (known.session === session && known.authentication !== null) return known.authentication
    known.session = session
    const principal = principalOf(known.claims, session.principal)
    known.authentication = Object.freeze({ principal, proofs: [], rate: null, setCookies: [] })
    return known.authentication
  }
}

function principalOf(claims: Claims, principal: Principal): Principal {
  const tokenId = typeof claims.jti === 'string' ? claims.jti : null
  const expiresAtMs = Math.min(claims.exp * 1000, principal.expiresAtMs)
  return Object.freeze<Principal>({ ...principal, credential: 'token', tokenId, expiresAtMs })
}

async function settlesInTime(work: Promise<void>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const deadline = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), REFRESH_DEADLINE_MS)
  })
  const settled = work.then(
    () => true,
    () => false,
  )
  try {
    return await Promise.race([settled, deadline])
  } finally {
    clearTimeout(timer)
  }
}
