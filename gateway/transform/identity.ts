/**
 * How an upstream is told who calls: dialects of identity headers. A field that backends take for a login name carries the
 * id or the verified e-mail, never a name that its owner may edit (SECURITY rule 11).
 */

import { isHopByHop } from '../http/field-names.ts'
import type { IdentityClaim, IdentityDialect, IdentityField, IdentityPreset } from '../rules.ts'

export const IDENTITY_CLAIMS = Object.freeze([
  'id',
  'email',
  'login',
  'name',
  'roles',
  'groups',
  'scopes',
  'session',
] as const)

function dialect(
  preset: IdentityDialect['preset'],
  map: Readonly<Record<string, IdentityClaim>>,
  more: Partial<Pick<IdentityField, 'separator' | 'form'>> = {},
): IdentityDialect {
  const fields = Object.entries(map).map(([name, claim]) => {
    return Object.freeze<IdentityField>({ name, claim, separator: usualSeparator(claim), form: 'plain', ...more })
  })
  return Object.freeze({ preset, fields: Object.freeze(fields) })
}

function usualSeparator(claim: IdentityClaim): string {
  return claim === 'scopes' ? ' ' : ','
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
  /** authentik's proxy provider. Its `X-authentik-jwt` is signed by authentik, and ours is X-Postern-Assertion. */
  authentik: dialect(
    'authentik',
    {
      'X-authentik-username': 'login',
      'X-authentik-uid': 'id',
      'X-authentik-email': 'email',
      'X-authentik-name': 'name',
      'X-authentik-groups': 'groups',
      'X-authentik-entitlements': 'roles',
    },
    { separator: '|' },
  ),
  /** Pomerium with `pass_identity_headers`: the claims it is usually told to write. */
  pomerium: dialect('pomerium', {
    'X-Pomerium-Claim-Sub': 'id',
    'X-Pomerium-Claim-User': 'id',
    'X-Pomerium-Claim-Email': 'email',
    'X-Pomerium-Claim-Name': 'name',
    'X-Pomerium-Claim-Groups': 'groups',
  }),
  /** Cloudflare Access. The address is the login there, so a caller of another issuer is its id, never somebody's address. */
  cloudflare: dialect('cloudflare', { 'Cf-Access-Authenticated-User-Email': 'login' }),
  /** Google IAP. As with Cloudflare the address is the login. */
  iap: dialect(
    'iap',
    { 'X-Goog-Authenticated-User-Email': 'login', 'X-Goog-Authenticated-User-ID': 'id' },
    { form: 'google' },
  ),
  /** Kong and APISIX. */
  kong: dialect('kong', {
    'X-Consumer-ID': 'id',
    'X-Consumer-Custom-ID': 'id',
    'X-Consumer-Username': 'login',
    'X-Consumer-Groups': 'groups',
  }),
  /** What reads REMOTE_USER or PHP_AUTH_USER of HTTP Basic, as behind oauth2-proxy's pass-basic-auth. */
  basic: dialect('basic', { Authorization: 'login' }, { form: 'basic' }),
  none: dialect('none', {}),
})

/** A preset by its name, or an explicit map of header name to claim. Ask `mapFault` about each entry of a map first. */
export function compileIdentity(
  identity:
    | IdentityPreset
    | Readonly<Record<string, { readonly claim: IdentityClaim; readonly separator: string | null }>>,
): IdentityDialect {
  if (typeof identity === 'string') return DIALECTS[identity]
  const fields = Object.entries(identity).map(([name, { claim, separator }]) => {
    return Object.freeze<IdentityField>({ name, claim, separator: separator ?? usualSeparator(claim), form: 'plain' })
  })
  return Object.freeze({ preset: 'map', fields: Object.freeze(fields) })
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
  if (LOGIN_FIELD.test(lower) && claim !== 'id' && claim !== 'login' && claim !== 'email') {
    if (claim === 'name') return 'backends log people in by this header, and a name can be edited: use `id` or `login`'
    return 'backends log people in by this header, and this claim can be the same for many people: use `id` or `login`'
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
