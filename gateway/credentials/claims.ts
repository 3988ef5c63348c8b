/**
 * Whom another issuer's claims speak for here. A stranger stays one: its subject carries the issuer's name, its roles count
 * only where the entry lists them, and what the entry does not map is not taken (SECURITY rule 12).
 */

import { type ClaimPath, claimAt, parseClaimPath } from '../jwt/claim-path.ts'
import { type ForeignClaims, isPlainText } from '../jwt/foreign.ts'
import { textOf, textsOf } from '../jwt/verify.ts'
import type { Principal } from '../model.ts'
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
  }
  /** The only roles it may confer. */
  readonly roles: readonly string[]
}

export interface ClaimReader {
  /** `local` is the user of ours that `sub` names, where the entry says `subjects: local`. */
  principalOf(verified: ForeignClaims, local: LocalUser | null): Principal
}

export function claimReader(settings: ClaimSettings): ClaimReader {
  const { name, issuer } = settings
  const paths = {
    roles: parseClaimPath(settings.claims.roles),
    scopes: parseClaimPath(settings.claims.scopes),
    groups: pathOrNull(settings.claims.groups),
    email: pathOrNull(settings.claims.email),
    name: pathOrNull(settings.claims.name),
  }
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
        groups: textsOf(at(claims, paths.groups)),
        sessionId: null,
        tokenId: tokenIdOf(claims),
        keyId: null,
        authenticatedAtMs: timeOf(claims['auth_time']),
        methods: textsOf(claims['amr']),
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

/** RFC 6749 §3.3, or a list as some issuers write it. */
function scopesOf(value: unknown): readonly string[] {
  return textsOf(typeof value === 'string' ? value.split(' ') : value)
}

function timeOf(seconds: unknown): number | null {
  return typeof seconds === 'number' && Number.isFinite(seconds) ? seconds * 1000 : null
}
