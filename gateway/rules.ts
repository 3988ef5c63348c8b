/**
 * What a policy compiles to: who may come in, where it goes, how it is told who calls, and how much is let through.
 * Plain, frozen values, as those of model.ts; data-model.md has one section per exported type.
 */

import type { ClaimValue, CredentialKind, HeaderList, Principal, RequestHead } from './model.ts'

/** Facts a policy may be decided on. Built only for routes whose policy needs them. */
export interface PolicyFacts {
  readonly head: RequestHead
  readonly params: Readonly<Record<string, string>>
}

/**
 * A compiled CEL condition: true only when the expression is exactly true, null when it could not be told (a fact that is
 * missing, a run-time error). Anything but true is a refusal.
 */
export type Condition = (facts: PolicyFacts, principal: Principal) => boolean | null

/** What a route asks of its caller. `deny` never reaches `authorize`: the matcher answers 404 for it. */
export type Access =
  | { readonly kind: 'deny' }
  | { readonly kind: 'public' }
  | { readonly kind: 'optional' }
  | { readonly kind: 'login' }
  | Requirement

/** An object form: all checks must be met, and are asked in this order. */
export interface Requirement {
  readonly kind: 'require'
  /** False only where nothing but `ip` is asked: then nobody in particular may come in too. */
  readonly needsPrincipal: boolean
  readonly checks: readonly Check[]
}

/** One key of an object form. A list is ORed. A fact that is missing never satisfies a check, nor the opposite of one. */
export type Check =
  | { readonly kind: 'ip'; readonly networks: readonly string[]; readonly contains: (address: string) => boolean }
  | { readonly kind: 'with'; readonly anyOf: readonly CredentialKind[] }
  | { readonly kind: 'role' | 'scope' | 'group' | 'email'; readonly anyOf: readonly string[] }
  | { readonly kind: 'claim'; readonly name: string; readonly anyOf: readonly ClaimValue[] }
  | { readonly kind: 'any'; readonly of: readonly Requirement[] }
  | { readonly kind: 'not'; readonly of: Requirement }
  | { readonly kind: 'when'; readonly source: string; readonly condition: Condition }
  | { readonly kind: 'mfa' }
  | { readonly kind: 'fresh'; readonly maxAgeMs: number }

/**
 * Access per method. `write` stands for every method but GET and HEAD, `websocket` for upgrades, `*` for whatever has no entry
 * of its own; a method found in none of them is not allowed. Methods are upper case, so no request can name the other keys.
 */
export type AccessByMethod = ReadonlyMap<string, Access>

/** How an upstream is told who calls. */
export interface IdentityDialect {
  readonly preset: IdentityPreset | 'map'
  readonly fields: readonly IdentityField[]
}

export type IdentityPreset =
  | 'forwarded'
  | 'remote'
  | 'webauth'
  | 'auth-request'
  | 'authentik'
  | 'pomerium'
  | 'cloudflare'
  | 'iap'
  | 'kong'
  | 'basic'
  | 'none'

export interface IdentityField {
  /** Header name as written upstream. */
  readonly name: string
  readonly claim: IdentityClaim
  /** Between the values of a list; a value that holds it is dropped and counted. */
  readonly separator: string
  /** As it is; after the issuer's name, as Google IAP writes it; or as HTTP Basic credentials with an empty password (RFC 7617). */
  readonly form: 'plain' | 'google' | 'basic'
}

/**
 * `login` is the verified e-mail, else the id: never an editable name (SECURITY rule 11). `claims.<name>` is one the issuer's
 * entry maps.
 */
export type IdentityClaim =
  | 'id'
  | 'email'
  | 'login'
  | 'name'
  | 'roles'
  | 'groups'
  | 'scopes'
  | 'session'
  | `claims.${string}`

/** One of the machines of an upstream. */
export interface UpstreamServer {
  /** Scheme and authority without a trailing slash, such as `http://127.0.0.1:9000`; or a socket, `unix:/run/books.sock`. */
  readonly origin: string
  /** Its share of the requests, in proportion to the others'. */
  readonly weight: number
}

export interface Upstream {
  readonly id: string
  /** Never empty. */
  readonly servers: readonly UpstreamServer[]
  readonly identity: IdentityDialect
  /** Sign each request with X-Postern-Assertion. */
  readonly isAsserted: boolean
  /** This upstream reads paths literally, so rule 4 (ambiguous paths) is off for it. */
  readonly isPathExact: boolean
  /** `public` keeps the Host the client used; `upstream` sends the upstream's own. */
  readonly host: 'public' | 'upstream'
  /** How its servers are asked whether they are well; null where they are not asked. */
  readonly health: HealthRule | null
  /** When a server that fails is left alone for a while; null for never. */
  readonly ejection: EjectionRule | null
  /** Tries beyond the first, at most, in percent of the requests; 0 for none. */
  readonly retryPercentMax: number
  /** Requests under way at one server, at most. */
  readonly connectionsMax: number
  /** Requests that wait for one of its servers, at most. */
  readonly queueMax: number
  /** The longest that any of its routes waits for a connection. */
  readonly connectMs: number
}

/** A path that answers 2xx on a server that is well. */
export interface HealthRule {
  readonly path: string
  readonly intervalMs: number
  readonly timeoutMs: number
  /** So many good answers in a row bring a server back, so many bad ones take it out. */
  readonly healthyAfter: number
  readonly unhealthyAfter: number
}

/** So many failures in a row and a server is left alone for so long, and longer each time that it fails again at once. */
export interface EjectionRule {
  readonly failures: number
  readonly durationMs: number
}

/** How long each part of an exchange with an upstream may take. */
export interface Timeouts {
  /** Until there is a connection, the wait for a free one included. */
  readonly connectMs: number
  /** Silence before the head of the answer. */
  readonly firstByteMs: number
  /** Silence between bytes after it. */
  readonly idleMs: number
  /** From the first try to the last byte; null for no end. */
  readonly totalMs: number | null
}

export interface Route {
  /** The pattern as written; names the route in logs and problems. */
  readonly id: string
  /** Where it stands in the policy, as `gateway.yaml:12`. */
  readonly place: string
  readonly access: AccessByMethod
  /** Decided beside `access` and only reported; null for none. */
  readonly proposed: AccessByMethod | null
  readonly upstream: Upstream | null
  /** The constant prefix of the path that the upstream sees another one for (SECURITY rule 5); null for the path as it is. */
  readonly prefixSwap: { readonly strip: string; readonly add: string } | null
  /** `%2F` in a path is data here, never a separator; elsewhere it is 400. */
  readonly isEncodedSlashKept: boolean
  readonly limits: readonly Limit[]
  readonly cors: CorsRules | null
  readonly bodyBytesMax: number
  readonly timeouts: Timeouts
  readonly allowRequestHeaders: ReadonlySet<string>
  readonly allowResponseHeaders: ReadonlySet<string>
  readonly requestEdits: HeaderEdits | null
  readonly responseEdits: HeaderEdits | null
  readonly isServiceWorkerAllowed: boolean
  readonly isSharedCacheAllowed: boolean
}

/** Changes to a head, made before identity is written: `remove` first, then `set` in place of all of a name, then `add`. */
export interface HeaderEdits {
  /** Lower-case names, those of `set` among them. */
  readonly remove: ReadonlySet<string>
  readonly set: HeaderList
  readonly add: HeaderList
}

/** What browsers are told of a route (Fetch §3.2): exact origins, or every one without credentials. */
export interface CorsRules {
  /** As browsers send them; empty where every origin may read. */
  readonly origins: ReadonlySet<string>
  readonly isAnyOrigin: boolean
  /** Upper case; empty for those the route's access lists. */
  readonly methods: readonly string[]
  /** Request headers a page may send, in lower case. */
  readonly headers: readonly string[]
  /** Response headers a page may read. */
  readonly exposedHeaders: readonly string[]
  readonly isWithCredentials: boolean
  readonly maxAgeS: number
}

/** Whose use is counted: a user (a key counts as its owner), an API key, a client address, or the route as a whole. */
export type LimitScope = 'user' | 'key' | 'ip' | 'route'

/** `20/min per user`, or `5 connections per user`. */
export type Limit =
  | {
      readonly kind: 'rate'
      readonly id: string
      readonly per: LimitScope
      readonly rule: RateRule
      readonly text: string
    }
  | {
      readonly kind: 'connections'
      readonly id: string
      readonly per: LimitScope
      readonly max: number
      readonly text: string
    }

/** A rule of `limit/`: `burst` at once, then one each `intervalMs`. */
export interface RateRule {
  readonly burst: number
  readonly intervalMs: number
}
