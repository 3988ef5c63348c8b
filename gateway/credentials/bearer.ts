/**
 * Whose token a bearer token is: a signed session token, a JWT of ours, a JWT of an issuer that the policy names, or an opaque
 * one that an issuer is asked about. Decided by its form and by `iss` alone, before anything is verified.
 */

import { remembered } from '../http/remembered.ts'
import { issuerOf } from '../jwt/foreign.ts'
import type { Authentication, Refusal, Soon } from '../model.ts'
import type { TokenVerifier } from '../ports.ts'
import type { CredentialCache } from './cache.ts'
import type { TokenIssuer, Verification } from './issuers.ts'

export interface BearerDeps {
  /** Our own JWTs; answers for whatever is nobody else's too. */
  readonly own: TokenVerifier
  readonly sessions: { verifyBearer(value: string, nowMs: number): Soon<Authentication | Refusal> }
  readonly issuers: readonly TokenIssuer[]
  readonly credentials: Pick<CredentialCache, 'lookUp'>
}

/** As the session cookie is written, plain or percent-encoded. */
const SESSION_TOKEN = /^[A-Za-z0-9]{32}\.[A-Za-z0-9+/%]{43,140}(?:=|%3D)$/
/** RFC 6750 §2.1, and no longer than an issuer would make one. */
const OPAQUE = /^[A-Za-z0-9\-._~+/]{1,4096}=*$/
/** A compact JWS has three parts; what has as many is never taken for opaque, however it is spelt. */
const JWS = /^[^.]*\.[^.]*\.[^.]*$/

/** Tokens whose issuer is remembered, so that a request with a token that is known reads nothing of it. Emptied when full. */
const TOKENS_MAX = 4096
/** A longer one is read each time: what is remembered has a bound in bytes too. */
const TOKEN_CHARS_MAX = 2048

export function bearerTokens({ own, sessions, issuers, credentials }: BearerDeps): TokenVerifier {
  const byIssuer = new Map(issuers.map((one) => [one.issuer, one]))
  const opaque = issuers.flatMap(({ forOpaque }) => (forOpaque === null ? [] : [forOpaque]))
  /** Null for what is nobody else's. */
  const verificationOf = remembered<Verification | null>((token) => find(token) ?? null, TOKENS_MAX, TOKEN_CHARS_MAX)

  return {
    verifyToken(token, nowMs) {
      if (SESSION_TOKEN.test(token)) return sessions.verifyBearer(token, nowMs)
      const verification = byIssuer.size === 0 ? null : verificationOf(token)
      if (verification === null) return own.verifyToken(token, nowMs)
      return credentials.lookUp(verification.scope, token, nowMs, () => verification.verify(token, nowMs))
    },
  }

  /** By its form and what it says of itself; nothing is proven by it. */
  function find(token: string): Verification | undefined {
    if (JWS.test(token)) return byIssuer.get(issuerOf(token) ?? '')?.forJwts
    return OPAQUE.test(token) ? opaque.find(({ prefix }) => token.startsWith(prefix)) : undefined
  }
}
