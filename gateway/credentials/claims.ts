/**
 * Whom another issuer's claims speak for here. A stranger stays one: its subject carries the issuer's name, its roles count
 * only where the entry lists them, and what the entry does not map is not taken (SECURITY rule 12).
 */

import { type ClaimPath, claimAt, parseClaimPath } from '../jwt/claim-path.ts'
import { type ForeignClaims, isPlainText } from '../jwt/foreign.ts'
import { textOf, textsOf } from '../jwt/verify.ts'
import type { Claims, ClaimValue, Principal } from '../model.ts'
import type { LocalUser } from '../ports.ts'
import { nameOf } from '../revocation/names.ts'

export interface ClaimSettings {
  /** Name of the issuer in the policy. */
  readonly name: string
  readonly issuer: string
  /** Where the issuer keeps what we read; null for what is not taken. */
  readonly claims: {
    readonly roles: string
    readonly scopes: string
    readonly groups: string | null
    readonly email: string | null
    readonly name: string | null
    /** Further claims, by the names they have here. */
    readonly more: Readonly<Record<string, string>>
  }
  /** The only roles it may confer. */
  readonly roles: readonly string[]
  /** Words of `amr` and of `acr` that tell of a second factor; no others do. */
  readonly mfa: { readonly amr: readonly string[]; readonly acr: readonly string[] }
}

export interface ClaimReader {
  /** `local` is the user of ours that `sub` names, where the entry says `subjects: local`. */
  principalOf(verified: ForeignClaims, local: LocalUser | null): Principal
}

/** A claim that is longer is not taken at all: half of a list would prove the opposite of the other half. */
const VALUES_MAX = 64
const CHARS_MAX = 256

export function claimReader(settings: ClaimSettings): ClaimReader {
  const { name, issuer, mfa } = settings
  const paths = {
    roles: parseClaimPath(settings.claims.roles),
    scopes: parseClaimPath(settings.claims.scopes),
    groups: pathOrNull(settings.claims.groups),
    email: pathOrNull(settings.claims.email),
    name: pathOrNull(settings.claims.name),
  }
  const more = Object.entries(settings.claims.more).map(([own, path]) => [own, parseClaimPath(path)] as const)
  const conferrable = new Set(settings.roles)
  return {
    principalOf({ claims }, local) {
      const own = {
        email: textOf(at(claims, paths.email)),
        emailVerified: claims['email_verified'] === true,
        name: textOf(at(claims, paths.name)),
      }
      const { email, emailVerified, name: displayName } = local ?? own
      return Object.freeze<Principal>({
        kind: 'user',
        credential: 'token',
        subject: local?.id ?? foreignSubject(name, claims.sub),
        issuer,
        source: name,
        email,
        emailVerified: email !== null && emailVerified,
        name: displayName,
        roles: textsOf(claimAt(claims, paths.roles)).filter((role) => conferrable.has(role)),
        scopes: scopesOf(claimAt(claims, paths.scopes)),
        groups: namesIn(at(claims, paths.groups)),
        claims: claimsOf(claims, more),
        sessionId: null,
        tokenId: tokenIdOf(claims),
        keyId: null,
        authenticatedAtMs: timeOf(claims['auth_time']),
        methods: textsOf(claims['amr']),
        hasSecondFactor: isTold(mfa.amr, textsOf(claims['amr'])) || isTold(mfa.acr, [claims['acr']]),
        expiresAtMs: claims.exp * 1000,
      })
    },
  }
}

/** What can revoke the token: its own names, its subject's, its key's and its issuer's. */
export function namesOf(
  source: string,
  principal: Principal,
  { claims, kid }: ForeignClaims,
  tokenSha256: string,
): readonly string[] {
  const names = [
    nameOf.subject(principal.subject),
    nameOf.token(source, `#${tokenSha256}`),
    nameOf.issuer(source),
    // Of one of our users: whoever revokes by the issuer's own name for them must be heard too.
    ...(principal.subject === foreignSubject(source, claims.sub)
      ? []
      : [nameOf.subject(foreignSubject(source, claims.sub))]),
  ]
  if (principal.tokenId !== null) names.push(nameOf.token(source, principal.tokenId))
  if (kid !== null) names.push(nameOf.kid(source, kid))
  return Object.freeze(names)
}

function foreignSubject(source: string, sub: string): string {
  return `${source}:${sub}`
}

function tokenIdOf(claims: ForeignClaims['claims']): string | null {
  const { jti } = claims as { readonly jti?: unknown }
  return isPlainText(jti) ? jti : null
}

function pathOrNull(text: string | null): ClaimPath | null {
  return text === null ? null : parseClaimPath(text)
}

function at(claims: object, path: ClaimPath | null): unknown {
  return path === null ? undefined : claimAt(claims, path)
}

function isTold(words: readonly string[], said: readonly unknown[]): boolean {
  return words.some((word) => said.includes(word))
}

const NO_CLAIMS: Claims = Object.freeze({})

function claimsOf(claims: object, paths: readonly (readonly [string, ClaimPath])[]): Claims {
  if (paths.length === 0) return NO_CLAIMS
  const found: Record<string, Claims[string]> = {}
  for (const [name, path] of paths) {
    const value = claimAt(claims, path)
    if (isClaimValue(value)) found[name] = value
    else if (Array.isArray(value) && value.length <= VALUES_MAX && value.every(isClaimValue)) {
      found[name] = Object.freeze<ClaimValue[]>(value)
    }
  }
  return Object.freeze(found)
}

/** JSON's numbers beyond 2^53 are several numbers in one, so they are none. */
function isClaimValue(value: unknown): value is ClaimValue {
  if (typeof value === 'string') return value !== '' && value.length <= CHARS_MAX
  if (typeof value === 'number') return Math.abs(value) <= Number.MAX_SAFE_INTEGER
  return typeof value === 'boolean'
}

/** A list with a number or an object in it names something that we cannot read: then it is missing as a whole, like every claim. */
function namesIn(value: unknown): readonly string[] {
  const isReadable = Array.isArray(value) && value.every((item) => item === null || typeof item === 'string')
  return isReadable ? textsOf(value) : []
}

/** RFC 6749 §3.3, or a list as some issuers write it. */
function scopesOf(value: unknown): readonly string[] {
  return namesIn(typeof value === 'string' ? value.split(' ') : value)
}

function timeOf(seconds: unknown): number | null {
  return typeof seconds === 'number' && Number.isFinite(seconds) ? seconds * 1000 : null
}
