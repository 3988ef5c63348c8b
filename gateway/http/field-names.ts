/**
 * Which fields belong to one hop, and which names no client may send. The second list is the union of every convention by
 * which a backend learns who calls, from where, by which method and for which path: one forgotten name is one forged identity.
 */

import { byName } from './field-line.ts'

/** RFC 9110 §7.6.1 and its forebears: they speak of this connection and never cross it. */
export function isHopByHop(lower: string): boolean {
  return HOP_BY_HOP.has(lower)
}

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Families that stay open: any name that begins so is reserved, whatever a convention adds to it next year. */
export const RESERVED_PREFIXES: readonly string[] = Object.freeze([
  // who calls
  'cas-',
  'cf-access-',
  'impersonate-',
  'iv-',
  'mellon-',
  'oam-',
  'oidc-',
  'remote-',
  'shib-',
  'sm-',
  'tailscale-',
  'x-amzn-oidc-',
  'x-appengine-',
  'x-auth-request-',
  'x-authenticated-',
  'x-authentik-',
  'x-consumer-',
  'x-credential-',
  'x-goog-authenticated-',
  'x-goog-iap-',
  'x-ms-client-principal',
  'x-ms-token-',
  'x-pomerium-',
  'x-postern-',
  'x-proxy-role',
  'x-proxy-user',
  'x-remote-',
  'x-saml-',
  'x-shib-',
  'x-vouch-',
  'x-webauth-',
  'x-webobjects-',
  // with which certificate
  'client-cert',
  'ssl-',
  'x-amzn-mtls-',
  'x-client-cert',
  'x-client-subject',
  'x-mtls-',
  'x-ssl-',
  'x-tls-client-',
  // from where, and for which path
  'cf-connecting-',
  'l5d-',
  'x-accel-',
  'x-envoy-',
  'x-forwarded-',
  'x-invoke-',
  'x-middleware-',
  'x-original-',
  'x-rewrite-',
])

/** Single names, beside the families. */
export const RESERVED_NAMES: readonly string[] = Object.freeze([
  // who calls
  'auth-type',
  'auth-user',
  'authuser',
  'eppn',
  'logon-user',
  'teleport-jwt-assertion',
  'x-access-token',
  'x-anonymous-consumer',
  'x-apigateway-api-userinfo',
  'x-auth-audience',
  'x-auth-email',
  'x-auth-groups',
  'x-auth-name',
  'x-auth-roles',
  'x-auth-subject',
  'x-auth-user',
  'x-auth-userid',
  'x-auth-username',
  'x-endpoint-api-userinfo',
  'x-id-token',
  'x-jwt-assertion',
  'x-raw-id-token',
  'x-user',
  'x-user-email',
  'x-user-groups',
  'x-user-id',
  'x-user-name',
  'x-user-roles',
  'x-user-scopes',
  'x-userinfo',
  'x-username',
  // with which certificate
  'x-arr-clientcert',
  'x-arr-ssl',
  'x-client-dn',
  'x-client-fingerprint',
  'x-client-s-dn',
  'x-client-serial',
  'x-client-verified',
  'x-client-verify',
  // from where
  'ali-cdn-real-ip',
  'cdn-src-ip',
  'cf-pseudo-ipv4',
  'client-ip',
  'do-connecting-ip',
  'fastly-client-ip',
  'fly-client-ip',
  'forwarded',
  'forwarded-for',
  'forwarded-for-ip',
  'proxy-client-ip',
  'true-client-ip',
  'wl-proxy-client-ip',
  'x-azure-clientip',
  'x-azure-socketip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-coming-from',
  'x-forwarded',
  'x-nf-client-connection-ip',
  'x-originating-ip',
  'x-proxyuser-ip',
  'x-real-ip',
  'x-real-port',
  'x-true-client-ip',
  // for which host and path, by which scheme and method
  'front-end-https',
  'script-name',
  'x-host',
  'x-host-override',
  'x-http-host-override',
  'x-http-method',
  'x-http-method-override',
  'x-matched-path',
  'x-method-override',
  'x-now-route-matches',
  'x-override-url',
  'x-scheme',
  'x-script-name',
  'x-sendfile-type',
  'x-url-scheme',
  // CVE-2016-5385: CGI shows it to programs as HTTP_PROXY
  'proxy',
])

const reserved: ReadonlySet<string> = new Set(RESERVED_NAMES)

/**
 * True when no client may send this name, given in lower case. `extra` holds more such names, those of explicit identity
 * maps. Aliases count: to CGI, WSGI and PHP `x_forwarded_user` and `x.forwarded.user` are `x-forwarded-user`.
 */
export function isReserved(lower: string, extra: ReadonlySet<string>): boolean {
  const alias = PLAIN.test(lower) ? lower : lower.replace(ALIASED, '-')
  return isConvention(alias) || extra.has(alias)
}

const PLAIN = /^[a-z0-9-]*$/
const ALIASED = /[^a-z0-9-]/g

const isConvention = byName((name) => reserved.has(name) || RESERVED_PREFIXES.some((prefix) => name.startsWith(prefix)))
