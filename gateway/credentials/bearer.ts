/**
 * Whose token a bearer token is: a signed session token, a JWT of ours, a JWT of an issuer that the policy names, or an opaque
 * one that an issuer is asked about. Decided by its form and by `iss` alone, before anything is verified.
 */

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

export function bearerTokens({ own, sessions, issuers, credentials }: BearerDeps): TokenVerifier {
  const byIssuer = new Map(issuers.map((one) => [one.issuer, one]))
  const opaque = issuers.flatMap(({ forOpaque }) => (forOpaque === null ? [] : [forOpaque]))

  return {
    verifyToken(token, nowMs) {
      if (SESSION_TOKEN.test(token)) return sessions.verifyBearer(token, nowMs)
      const verification = verificationOf(token)
      if (verification === undefined) return own.verifyToken(token, nowMs)
      return credentials.lookUp(verification.scope, token, nowMs, () => verification.verify(token, nowMs))
    },
  }

  function verificationOf(token: string): Verification | undefined {
    if (byIssuer.size === 0) return undefined
    if (JWS.test(token)) return byIssuer.get(issuerOf(token) ?? '')?.forJwts
    return OPAQUE.test(token) ? opaque.find(({ prefix }) => token.startsWith(prefix)) : undefined
  }
}
