/**
 * Verifies signed tokens (RFC 7519 §7.2, RFC 8725): algorithm from our list and never from the token, issuer, audience,
 * expiry required, canonical text only. Whatever is wrong is a Refusal that names it; nothing thrown escapes.
 */

import { errors, type JWTPayload, jwtVerify } from 'jose'
import { type Principal, Refusal } from '../model.ts'
import type { TokenVerifier } from '../ports.ts'
import type { Reason } from '../problem/catalogue.ts'
import { ALGORITHM, type JsonWebKeySet, type KeyFinder, keyFinder } from './keys.ts'
import { hasSecondFactor } from './second-factor.ts'

export interface TokenRules {
  readonly issuer: string
  readonly audience: string
  readonly keys: KeyFinder
}

/** Clocks of two machines may differ by this much (RFC 7519 §4.1.4). */
export const LEEWAY_SECONDS = 5

/** Longer than any token this gateway signs; bounds what one request can make us decode. */
const TOKEN_CHARS_MAX = 8192

/**
 * A verifier that needs no session store: the token alone says who is there. It is for runtimes that have none; where
 * sessions can be asked, identity-provider/tokens.ts asks them too.
 */
export async function tokenVerifier(options: {
  readonly issuer: string
  readonly audience: string
  readonly keys: JsonWebKeySet
}): Promise<TokenVerifier> {
  const rules: TokenRules = { issuer: options.issuer, audience: options.audience, keys: keyFinder(options.keys) }
  return {
    async verifyToken(token, nowMs) {
      const claims = await verifyClaims(rules, token, nowMs)
      if (claims instanceof Refusal) return claims
      return { principal: principalOf(claims), proofs: [], rate: null, setCookies: [] }
    },
  }
}

/** The claims of a token that keeps every rule. `sub`, `iss` and `exp` are present and of the right type. */
export type Claims = JWTPayload & { readonly sub: string; readonly iss: string; readonly exp: number }

export async function verifyClaims(rules: TokenRules, token: string, nowMs: number): Promise<Claims | Refusal> {
  if (!isCanonical(token)) return MALFORMED
  try {
    const { payload, protectedHeader } = await jwtVerify(token, rules.keys, {
      algorithms: [ALGORITHM],
      issuer: rules.issuer,
      audience: rules.audience,
      requiredClaims: ['exp', 'sub'],
      clockTolerance: LEEWAY_SECONDS,
      currentDate: new Date(nowMs),
    })
    if (!isTokenType(protectedHeader.typ)) return new Refusal('token.type')
    if (typeof payload.sub !== 'string' || payload.sub === '') return MALFORMED
    return payload as Claims
  } catch (error) {
    return refusalFor(error)
  }
}

/** Who the claims speak for. Roles are the issuer's word here, because nobody else can be asked. */
export function principalOf(claims: Claims): Principal {
  return Object.freeze<Principal>({
    kind: 'user',
    credential: 'token',
    subject: claims.sub,
    issuer: claims.iss,
    source: null,
    email: textOf(claims.email),
    emailVerified: claims.email_verified === true,
    name: textOf(claims.name),
    roles: textsOf(claims.roles),
    scopes: typeof claims.scope === 'string' ? claims.scope.split(' ').filter((scope) => scope !== '') : [],
    groups: textsOf(claims.groups),
    claims: {},
    sessionId: textOf(claims.sid),
    tokenId: textOf(claims.jti),
    keyId: null,
    authenticatedAtMs: typeof claims.auth_time === 'number' ? claims.auth_time * 1000 : null,
    methods: textsOf(claims.amr),
    hasSecondFactor: hasSecondFactor(textsOf(claims.amr)),
    expiresAtMs: claims.exp * 1000,
  })
}

const MALFORMED = Object.freeze(new Refusal('token.malformed'))

/**
 * RFC 7515 §7.1, and each part in the one spelling an encoder writes (RFC 4648 §3.5): bits left over must be zero.
 * Otherwise one signature has several texts, and whatever is remembered by text can be walked around.
 */
export function isCanonical(token: string, charsMax = TOKEN_CHARS_MAX): boolean {
  if (token.length > charsMax) return false
  const parts = token.split('.')
  return parts.length === 3 && parts.every(isCanonicalPart)
}

function isCanonicalPart(part: string): boolean {
  if (!/^[A-Za-z0-9_-]+$/.test(part)) return false
  const rest = part.length % 4
  if (rest === 0) return true
  const last = part.at(-1)!
  return rest === 2 ? 'AQgw'.includes(last) : rest === 3 && 'AEIMQUYcgkosw048'.includes(last)
}

/** RFC 8725 §3.11: an assertion or any other kind of signed text is not a token, though a key of ours signed it. */
export function isTokenType(typ: unknown): boolean {
  if (typ === undefined) return true
  if (typeof typ !== 'string') return false
  const type = typ.toLowerCase().replace(/^application\//, '')
  return type === 'jwt' || type === 'at+jwt'
}

/** What a thrown error says of the token; the sender's fault, whatever it is. */
export function refusalFor(error: unknown): Refusal {
  if (error instanceof errors.JWTExpired) return new Refusal('token.expired')
  if (error instanceof errors.JWTClaimValidationFailed) return new Refusal(reasonForClaim(error.claim, error.reason))
  if (error instanceof errors.JWSSignatureVerificationFailed) return new Refusal('token.signature')
  if (error instanceof errors.JOSEAlgNotAllowed) return new Refusal('token.algorithm')
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
    return new Refusal('token.key-unknown')
  }
  if (error instanceof errors.JOSENotSupported) return new Refusal('token.algorithm')
  // Broken JSON and header parameters of the wrong type surface as plain errors: still the sender's fault, never a pass.
  return new Refusal('token.malformed', { log: error instanceof Error ? error.name : null })
}

function reasonForClaim(claim: string, reason: string): Reason {
  if (reason === 'invalid') return 'token.malformed'
  if (claim === 'iss') return 'token.issuer'
  if (claim === 'aud') return 'token.audience'
  if (claim === 'nbf') return 'token.not-yet-valid'
  return 'token.malformed'
}

/** A claim that holds a text; null for what does not. */
export function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

/** A claim that holds texts, without what else may stand among them. */
export function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string' && item !== '') : []
}
