/**
 * Bearer tokens that this gateway issued. The signature is checked once and remembered by the exact text; that the session
 * behind it lives, and what its user may do, is asked every time (SECURITY rule 17).
 */

import type { CacheScope, Verified } from '../credentials/cache.ts'
import type { CredentialEngine, Entry, Search } from '../credentials/engine.ts'
import { type Claims, LEEWAY_SECONDS, principalOf, type TokenRules, verifyClaims } from '../jwt/verify.ts'
import { type Authentication, type Principal, Refusal, type Soon } from '../model.ts'
import type { Primitives, TokenVerifier } from '../ports.ts'
import { nameOf, OWN_SOURCE } from '../revocation/names.ts'
import { within } from '../revocation/within.ts'
import { fromBase64Url } from './base64.ts'
import type { Sessions } from './sessions.ts'
import type { TokenKeys } from './token-keys.ts'

/** Tokens with an unknown `kid` make us read the keys at most this often, whoever sends them. */
const REFRESH_EVERY_MS = 5000
const REFRESH_DEADLINE_MS = 250

const SESSION_ENDED = Object.freeze(new Refusal('token.session-ended'))
const REVOKED = Object.freeze(new Refusal('token.revoked'))
const WITHOUT_SESSION = Object.freeze(new Refusal('token.malformed', { log: 'no sid' }))
const KEYS_UNAVAILABLE = Object.freeze(new Refusal('keys.unavailable'))

/** What a token and its session came to. */
interface Assembled {
  readonly session: Entry
  readonly authentication: Authentication
}

export function createTokens(deps: {
  readonly origin: string
  readonly keys: TokenKeys
  readonly sessions: Sessions
  readonly credentials: CredentialEngine
  readonly primitives: Primitives
}): TokenVerifier {
  const { origin, keys, sessions, credentials, primitives } = deps
  const rules: TokenRules = { issuer: origin, audience: origin, keys: keys.finder }
  const scope: CacheScope = { kind: 'own-token', verifier: primitives.sha256(origin), ended: REVOKED }
  const assembled = new WeakMap<Entry, Assembled>()
  let refreshedAtMs = Number.NEGATIVE_INFINITY
  /** Whether the last reading of the keys came to an end in time. */
  let refreshed = Promise.resolve(true)

  return {
    verifyToken(token, nowMs) {
      const key = credentials.keyOf(credentials.frame(scope, token))
      const remembered = credentials.remembered(key, nowMs)
      if (remembered !== undefined) return bySession(remembered, nowMs)
      return credentials.find(key, searchFor(token, nowMs), nowMs).then((found) => bySession(found, nowMs))
    },
  }

  /** Not shared: to check a signature takes no longer than to ask Redis, and says more. */
  function searchFor(token: string, nowMs: number): Search {
    const verify = () => verifySignature(token, nowMs)
    return { scope, sharedAs: null, waitMsMax: null, unavailable: KEYS_UNAVAILABLE, verify }
  }

  /** Who the claims speak for; none of it counts but the session's name, the subject and the token's own end. */
  async function verifySignature(token: string, nowMs: number): Promise<Verified | Refusal> {
    const claims = await verifyWithFreshKeys(token, nowMs)
    if (claims instanceof Refusal) return claims
    const principal = principalOf(claims)
    if (principal.sessionId === null) return WITHOUT_SESSION
    const session = await sessions.verifyId(principal.sessionId, nowMs)
    if (session instanceof Refusal) return session
    const names = [
      nameOf.token(OWN_SOURCE, principal.tokenId ?? `#${primitives.sha256(token)}`),
      nameOf.kid(OWN_SOURCE, kidOf(token)),
      nameOf.issuer(OWN_SOURCE),
    ]
    return {
      principal,
      names: Object.freeze(names),
      // Less the leeway, as the node that signed it may be ahead of the one that revoked; but no token is older than its session.
      issuedAtMs:
        typeof claims.iat === 'number'
          ? Math.max((claims.iat - LEEWAY_SECONDS) * 1000, session.proof.issuedAtMs ?? 0)
          : null,
      rate: null,
      staleAtMs: (claims.exp + LEEWAY_SECONDS) * 1000,
    }
  }

  /** Another node may have made the key a moment ago. Whoever comes while the keys are read waits for them too. */
  async function verifyWithFreshKeys(token: string, nowMs: number): Promise<Claims | Refusal> {
    const claims = await verifyClaims(rules, token, nowMs)
    if (!(claims instanceof Refusal) || claims.reason !== 'token.key-unknown') return claims
    if (Math.abs(nowMs - refreshedAtMs) >= REFRESH_EVERY_MS) {
      refreshedAtMs = nowMs
      const read = keys.refresh(nowMs).then(
        () => true,
        () => false,
      )
      refreshed = within(read, REFRESH_DEADLINE_MS, false)
    }
    return (await refreshed) ? verifyClaims(rules, token, nowMs) : KEYS_UNAVAILABLE
  }

  function bySession(token: Entry | Refusal, nowMs: number): Soon<Authentication | Refusal> {
    if (token instanceof Refusal) return token
    const found = sessions.verifyId(token.principal.sessionId!, nowMs)
    return found instanceof Promise ? found.then((session) => assemble(token, session)) : assemble(token, found)
  }

  /** Made once per reading of the session, so a hit allocates nothing. */
  function assemble(token: Entry, session: Entry | Refusal): Authentication | Refusal {
    if (session instanceof Refusal) return session
    if (session.principal.subject !== token.principal.subject) return SESSION_ENDED
    const before = assembled.get(token)
    if (before !== undefined && before.session === session) return before.authentication
    const authentication = Object.freeze<Authentication>({
      principal: joined(token.principal, session.principal),
      proofs: Object.freeze([token.proof, session.proof]),
      rate: null,
      setCookies: NONE,
    })
    assembled.set(token, { session, authentication })
    return authentication
  }
}

const NONE: readonly string[] = Object.freeze([])

/** The session's person, as the token presents them. */
function joined(token: Principal, session: Principal): Principal {
  const expiresAtMs = Math.min(token.expiresAtMs, session.expiresAtMs)
  return Object.freeze<Principal>({ ...session, credential: 'token', tokenId: token.tokenId, expiresAtMs })
}

/** Of a token that has verified, so its header is known to be well-formed. */
function kidOf(token: string): string {
  const header: unknown = JSON.parse(new TextDecoder().decode(fromBase64Url(token.split('.')[0]!)!))
  const { kid } = header as { readonly kid?: unknown }
  return typeof kid === 'string' ? kid : ''
}
