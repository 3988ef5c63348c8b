/**
 * How an upstream is told who calls: dialects of identity headers. A field that backends take for a login name carries the
 * id or the verified e-mail, never a name that its owner may edit (SECURITY rule 11).
 */

import { isHopByHop } from '../http/field-names.ts'
import type { IdentityClaim, IdentityDialect } from '../model.ts'

export type IdentityPreset = Exclude<IdentityDialect['preset'], 'map'>

export const IDENTITY_CLAIMS: readonly IdentityClaim[] = Object.freeze([
  'id',
  'email',
  'login',
  'name',
  'roles',
  'groups',
  'scopes',
  'session',
])

function dialect(preset: IdentityDialect['preset'], map: Readonly<Record<string, IdentityClaim>>): IdentityDialect {
  const fields = Object.entries(map).map(([name, claim]) => Object.freeze({ name, claim }))
  return Object.freeze({ preset, fields: Object.freeze(fields), groupSeparator: ',' })
}

export const DIALECTS: Readonly<Record<IdentityPreset, IdentityDialect>> = Object.freeze({
  /** oauth2-proxy, traefik-forward-auth, OpenShift oauth-proxy. */
  forwarded: dialect('forwarded', {
    'X-Forwarded-User': 'id',
    'X-Forwarded-Email': 'email',
    'X-Forwarded-Preferred-Username': 'login',
    'X-Forwarded-Groups': 'groups',
  }),
  /** Authelia, and what reads REMOTE_USER. */
  remote: dialect('remote', {
    'Remote-User': 'id',
    'Remote-Email': 'email',
    'Remote-Name': 'name',
    'Remote-Groups': 'groups',
  }),
  /** Grafana and Gitea. The user is the id: it never changes hands, and Gitea takes no `@` in a user name. */
  webauth: dialect('webauth', {
    'X-WEBAUTH-USER': 'id',
    'X-WEBAUTH-EMAIL': 'email',
    'X-WEBAUTH-NAME': 'name',
    'X-WEBAUTH-FULLNAME': 'name',
    'X-WEBAUTH-ROLE': 'roles',
    'X-WEBAUTH-GROUPS': 'groups',
  }),
  /** oauth2-proxy behind nginx auth_request. */
  'auth-request': dialect('auth-request', {
    'X-Auth-Request-User': 'id',
    'X-Auth-Request-Email': 'email',
    'X-Auth-Request-Preferred-Username': 'login',
    'X-Auth-Request-Groups': 'groups',
  }),
  none: dialect('none', {}),
})

/** A preset by its name, or an explicit map of header name to claim. Ask `mapFault` about each entry of a map first. */
export function compileIdentity(identity: IdentityPreset | Readonly<Record<string, IdentityClaim>>): IdentityDialect {
  return typeof identity === 'string' ? DIALECTS[identity] : dialect('map', identity)
}

/** Lower-case names a dialect writes; those of explicit maps belong in `Snapshot.reservedNames`. */
export function namesOf(written: IdentityDialect): readonly string[] {
  return written.fields.map((field) => field.name.toLowerCase())
}

/** Why this header cannot carry this claim, in words for the policy's author; null when it can. */
export function mapFault(name: string, claim: IdentityClaim): string | null {
  const lower = name.toLowerCase()
  if (!/^[a-z][a-z0-9-]{0,63}$/.test(lower))
    return 'a header name is letters, digits and hyphens, beginning with a letter'
  if (isHopByHop(lower) || MESSAGE_FIELDS.has(lower) || lower.startsWith('sec-') || lower.startsWith('content-')) {
    return 'this header has a meaning of its own in HTTP'
  }
  if (lower.startsWith('x-postern-') || GATEWAY_FIELDS.has(lower)) return 'the gateway writes this header itself'
  if (claim === 'name' && LOGIN_FIELD.test(lower)) {
    return 'backends log people in by this header, and a name can be edited: use `id` or `login`'
  }
  return null
}

const MESSAGE_FIELDS: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'cookie',
  'date',
  'expect',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'origin',
  'proxy',
  'range',
  'referer',
  'via',
])

const GATEWAY_FIELDS: ReadonlySet<string> = new Set([
  'authorization',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-request-id',
])

/** Names that backends are known to take for a login: `X-Remote-User`, `X-Username`, `SM-User`, `X-User-Id`. */
const LOGIN_FIELD = /(?:user|username|userid|user-id|login|uid|subject|principal|authuser|eppn)$/
