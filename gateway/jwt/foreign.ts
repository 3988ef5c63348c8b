/**
 * Verifies JWTs of other issuers (RFC 7519 §7.2, RFC 8725, RFC 9068 §4). The issuer was chosen before this, by `iss`; only its
 * keys are asked, and its entry says which algorithms count. Whatever is wrong is a Refusal that names it.
 */

import { type CryptoKey, decodeJwt, decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose'
import { Refusal, type Soon } from '../model.ts'
import { TOKEN_LIFE_MS_MAX } from '../revocation/entry.ts'
import { type ClaimPath, claimAt } from './claim-path.ts'
import { KID_CHARS_MAX } from './key-strength.ts'
import { isCanonical, isTokenType, refusalFor } from './verify.ts'

/** What one issuer's entry asks of its tokens. */
export interface ForeignRules {
  /** `iss`, character by character. */
  readonly issuer: string
  /** `aud` names one of them. */
  readonly audiences: readonly string[]
  readonly algorithms: readonly string[]
  readonly leewayMs: number
  /** Claims that have one of these values. */
  readonly require: readonly { readonly path: ClaimPath; readonly values: readonly (string | number | boolean)[] }[]
}

/** The keys of one issuer. */
export interface KeySource {
  /** Never empty; or a Refusal: `token.key-unknown`, `token.algorithm`, or `keys.unavailable` where it cannot be told. */
  find(alg: string, kid: string | null): Soon<readonly CryptoKey[] | Refusal>
}

/** Claims that keep every rule; `sub`, `iss` and `exp` are present and of the right type. */
export interface ForeignClaims {
  readonly claims: JWTPayload & { readonly sub: string; readonly exp: number }
  readonly kid: string | null
}

/** Issuers put more into a token than we do, such as groups; what a request head takes is the other bound. */
export const FOREIGN_TOKEN_CHARS_MAX = 16_384
/** OpenID Connect Core §2. */
const NAME_CHARS_MAX = 255

const MALFORMED = Object.freeze(new Refusal('token.malformed'))
const ALGORITHM = Object.freeze(new Refusal('token.algorithm'))
const TYPE = Object.freeze(new Refusal('token.type'))
const BOUND = Object.freeze(new Refusal('token.type', { log: 'cnf' }))
const LIFETIME = Object.freeze(new Refusal('token.lifetime'))
const EXPIRED = Object.freeze(new Refusal('token.expired'))
const NOT_YET_VALID = Object.freeze(new Refusal('token.not-yet-valid'))

/** Whose token this says it is; null for what is no JWT in its one spelling. Nothing is proven by it. */
export function issuerOf(token: string): string | null {
  if (!isCanonical(token, FOREIGN_TOKEN_CHARS_MAX)) return null
  try {
    // On the path of every request: bytes taken as characters say the same wherever they are ASCII.
    const payload = token.slice(token.indexOf('.') + 1, token.lastIndexOf('.'))
    const claims: unknown = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
    const iss = (claims as { readonly iss?: unknown } | null)?.iss
    if (typeof iss !== 'string') return null
    return ASCII.test(iss) ? iss : (decodeJwt(token).iss ?? null)
  } catch {
    return null
  }
}

const ASCII = /^[ -~]*$/

export async function verifyForeign(
  rules: ForeignRules,
  keys: KeySource,
  token: string,
  nowMs: number,
): Promise<ForeignClaims | Refusal> {
  if (!isCanonical(token, FOREIGN_TOKEN_CHARS_MAX)) return MALFORMED
  const header = readHeader(rules, token)
  if (header instanceof Refusal) return header
  const candidates = await keys.find(header.alg, header.kid)
  if (candidates instanceof Refusal) return candidates
  let found: JWTPayload | Refusal = MALFORMED
  for (const key of candidates) {
    found = await verifyWith(key, header.alg, rules, token, nowMs)
    if (!(found instanceof Refusal) || found.reason !== 'token.signature') break
  }
  if (found instanceof Refusal) return found
  const fault = faultOfClaims(rules, found, nowMs)
  return fault ?? { claims: found as ForeignClaims['claims'], kid: header.kid }
}

interface Header {
  readonly alg: string
  readonly kid: string | null
}

/** `jku`, `x5u`, `jwk` and `x5c` stand in it at times: nobody reads them (RFC 8725 §3.10). */
function readHeader(rules: ForeignRules, token: string): Header | Refusal {
  let header: Readonly<Record<string, unknown>>
  try {
    header = decodeProtectedHeader(token) as Readonly<Record<string, unknown>>
  } catch {
    return MALFORMED
  }
  const { alg, kid = null, typ } = header
  if (typeof alg !== 'string' || !rules.algorithms.includes(alg)) return ALGORITHM
  // RFC 7515 §4.1.11: we understand no extension, so a header that insists on one is not ours to read.
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) return ALGORITHM
  if (!isTokenType(typ)) return TYPE
  if (kid !== null && (typeof kid !== 'string' || kid.length > KID_CHARS_MAX)) return MALFORMED
  return { alg, kid }
}

async function verifyWith(
  key: CryptoKey,
  alg: string,
  rules: ForeignRules,
  token: string,
  nowMs: number,
): Promise<JWTPayload | Refusal> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [alg],
      issuer: rules.issuer,
      audience: [...rules.audiences],
      requiredClaims: ['exp', 'sub'],
      clockTolerance: rules.leewayMs / 1000,
      currentDate: new Date(nowMs),
    })
    return payload
  } catch (error) {
    return refusalFor(error)
  }
}

/**
 * Of claims that the issuer itself stands for, in a token or in its answer about one: the subject, the times, and what the
 * entry requires. Null when all is well.
 */
export function faultOfClaims(rules: ForeignRules, claims: JWTPayload, nowMs: number): Refusal | null {
  const { sub, exp, iat, nbf, cnf } = claims as Readonly<Record<string, unknown>>
  if (!isPlainText(sub) || typeof exp !== 'number' || Number.isNaN(exp)) return MALFORMED
  if (exp * 1000 <= nowMs - rules.leewayMs) return EXPIRED
  if (exp * 1000 > nowMs + TOKEN_LIFE_MS_MAX) return LIFETIME
  for (const time of [iat, nbf]) {
    if (time === undefined) continue
    if (typeof time !== 'number' || !Number.isFinite(time)) return MALFORMED
    if (time * 1000 > nowMs + rules.leewayMs) return NOT_YET_VALID
  }
  // RFC 7800: its sender would have to prove that it holds a key. Nobody asks for that here, so as a bearer token it is stolen.
  if (cnf !== undefined) return BOUND
  for (const { path, values } of rules.require) {
    const value = claimAt(claims, path)
    if (!values.some((wanted) => wanted === value)) return new Refusal('token.claims', { log: path.join('.') })
  }
  return null
}

/** A text that can stand in a log line and a header, whole. */
export function isPlainText(text: unknown): text is string {
  return (
    typeof text === 'string' &&
    text !== '' &&
    text.length <= NAME_CHARS_MAX &&
    text.isWellFormed() &&
    !/[\p{Cc}\u2028\u2029]/u.test(text)
  )
}
