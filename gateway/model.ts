/**
 * The nouns: plain, frozen values that every stage reads and none changes.
 * Nothing here knows a socket, a clock or a runtime. data-model.md has one section per exported type.
 */

import type { Reason } from './problem/catalogue.ts'

/** A value now, or a promise of it. What is in memory is answered without an await. */
export type Soon<T> = T | Promise<T>

/** Field lines in wire order: name, value, name, value. Duplicates and spelling survive. Same shape as Node's `rawHeaders`. */
export type HeaderList = readonly string[]

/** A request head as the runtime saw it. Exists only between the runtime and `admit`. */
export interface RawHead {
  readonly requestId: string
  readonly receivedAtMs: number
  readonly method: string
  /** The request-target as it stood on the wire (RFC 9112 §3.2). */
  readonly target: string
  readonly httpVersion: '1.0' | '1.1' | '2.0'
  readonly headers: HeaderList
  /** Address of the socket's other end, without a port. */
  readonly peerAddress: string
  /** True when the client asks to switch this connection to WebSocket. Any other upgrade is not an upgrade to us. */
  readonly isUpgrade: boolean
}

/** RFC 9110 §7.1. `path` is canonical and is forwarded byte for byte; `query` is empty or begins with `?`. */
export interface Target {
  readonly scheme: 'http' | 'https'
  readonly authority: string
  readonly path: string
  readonly query: string
  /** Other readings that a lenient server could give this path (SECURITY rule 4); empty for nearly every request. */
  readonly readings: readonly string[]
}

/** An admitted request: one view, that matcher, policy, forwarder and log all read. */
export interface RequestHead {
  readonly requestId: string
  readonly receivedAtMs: number
  readonly method: string
  readonly target: Target
  readonly httpVersion: '1.0' | '1.1' | '2.0'
  /** Field lines whose names are within [A-Za-z0-9-] (or allowed by name); the rest were dropped and counted. */
  readonly headers: HeaderList
  /** Lower-case name of each line of `headers`: `names[i]` belongs to `headers[2 * i]`. */
  readonly names: readonly string[]
  readonly droppedHeaders: number
  /** The client's own address: the peer's, or what trusted proxies say of it. */
  readonly clientAddress: string
  /** True when the peer is one of `trust`. */
  readonly isPeerTrusted: boolean
  readonly isUpgrade: boolean
  /** A browser moving to a page: `Sec-Fetch-Mode: navigate`, or without it a GET that prefers text/html. */
  readonly isNavigation: boolean
  /** RFC 9112 §6.3: declared bytes of the body, 0 when there is none, -1 when it is chunked. */
  readonly bodyBytes: number
  /** Value of Authorization, or null. Never more than one: duplicates were refused. */
  readonly authorization: string | null
  /** Value of our own session cookie as presented (still percent-encoded), or null. */
  readonly sessionCookie: string | null
  /** Value of the API-key header that the policy names, or null. Never more than one: duplicates were refused. */
  readonly apiKey: string | null
  readonly origin: string | null
  readonly fetchSite: string | null
}

export type CredentialKind = 'session' | 'token' | 'key'

/** Who a credential proved the caller to be (RFC 7519 and RFC 9068 meanings). */
export interface Principal {
  readonly kind: 'user' | 'service'
  /** The credential that proved it. */
  readonly credential: CredentialKind
  /** RFC 7519 §4.1.2. Stable, unique, never an e-mail. Of another issuer `<source>:<sub>`, unless its entry says `subjects: local`. */
  readonly subject: string
  readonly issuer: string
  /** Name under `tokens` of the issuer that spoke for this principal; null when this gateway did. */
  readonly source: string | null
  readonly email: string | null
  readonly emailVerified: boolean
  /** Display name: editable and not unique, so never an upstream's login name (SECURITY rule 11). */
  readonly name: string | null
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly groups: readonly string[]
  readonly sessionId: string | null
  readonly tokenId: string | null
  readonly keyId: string | null
  /** When the person last proved who they are; refreshing a session never moves it. Null when nobody did (impersonation). */
  readonly authenticatedAtMs: number | null
  /** RFC 8176 method references. */
  readonly methods: readonly string[]
  readonly expiresAtMs: number
}

/**
 * What of a verified credential can be revoked, and when it was known to be good (SECURITY rule 21). Dead as soon as the log
 * holds an entry for one of its names with a higher number.
 */
export interface Proof {
  /** The log's number seen before the verification began. */
  readonly sequence: number
  /** Names of `revocation/names.ts`: the subject, session, token, key, kid and issuer it rests on. */
  readonly names: readonly string[]
  /** The earliest it can have been issued: `iat` less the leeway, or the session's or key's creation. Null when nobody says. */
  readonly issuedAtMs: number | null
}

/** What `authenticate` found. */
export interface Authentication {
  readonly principal: Principal | null
  /** One for each credential the principal rests on; empty for nobody. */
  readonly proofs: readonly Proof[]
  /** What the credential itself may do in time, such as an API key's own limit; null for no limit. */
  readonly rate: RateRule | null
  /** Whole Set-Cookie values for the client: a slid session, or an ended one. */
  readonly setCookies: readonly string[]
}

/** The one value that lets a request in. Anything else, a forgotten `return` included, keeps it out. */
export const ALLOW: unique symbol = Symbol('allow')
export type Decision = typeof ALLOW | Refusal

/** A refusal is a value, not an Error: refusing is ordinary. `detail` may be shown to the client, `log` never is. */
export class Refusal {
  readonly reason: Reason
  readonly detail: string | null
  readonly log: string | null
  readonly retryAfterMs: number | null
  /** Methods for the Allow header of a 405. */
  readonly allow: readonly string[]
  /** Set-Cookie values that go with the refusal, such as the removal of a dead session cookie. */
  readonly setCookies: readonly string[]

  constructor(reason: Reason, more: Partial<Omit<Refusal, 'reason'>> = {}) {
    this.reason = reason
    this.detail = more.detail ?? null
    this.log = more.log ?? null
    this.retryAfterMs = more.retryAfterMs ?? null
    this.allow = more.allow ?? []
    this.setCookies = more.setCookies ?? []
  }
}

/** Facts a policy may be decided on. Built only for routes whose policy needs them. */
export interface PolicyFacts {
  readonly head: RequestHead
  readonly params: Readonly<Record<string, string>>
}

/** A compiled CEL condition. Returns true only when the expression is exactly true; an error is false and is logged. */
export type Condition = (facts: PolicyFacts, principal: Principal) => boolean

/** What a route asks of its caller. `deny` never reaches `authorize`: the matcher answers 404 for it. */
export type Access =
  | { readonly kind: 'deny' }
  | { readonly kind: 'public' }
  | { readonly kind: 'optional' }
  | { readonly kind: 'login' }
  | Requirement

/** Keys are ANDed, list values are ORed; an empty list means that key is not asked for. */
export interface Requirement {
  readonly kind: 'require'
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly emails: readonly string[]
  readonly with: readonly CredentialKind[]
  readonly when: Condition | null
}

/**
 * Access per method. `write` stands for every method but GET and HEAD, `websocket` for upgrades, `*` for whatever has no entry
 * of its own; a method found in none of them is not allowed. Methods are upper case, so no request can name the other keys.
 */
export type AccessByMethod = ReadonlyMap<string, Access>

/** How an upstream is told who calls. */
export interface IdentityDialect {
  readonly preset: 'forwarded' | 'remote' | 'webauth' | 'auth-request' | 'none' | 'map'
  /** Header name as written upstream, and the claim it carries. */
  readonly fields: readonly { readonly name: string; readonly claim: IdentityClaim }[]
  readonly groupSeparator: string
}

/** `login` is the verified e-mail, else the id: never an editable name (SECURITY rule 11). */
export type IdentityClaim = 'id' | 'email' | 'login' | 'name' | 'roles' | 'groups' | 'scopes' | 'session'

export interface Upstream {
  readonly id: string
  /** Scheme and authority without a trailing slash, such as `http://127.0.0.1:9000`. */
  readonly origin: string
  readonly identity: IdentityDialect
  /** Sign each request with X-Postern-Assertion. */
  readonly isAsserted: boolean
  /** This upstream reads paths literally, so rule 4 (ambiguous paths) is off for it. */
  readonly isPathExact: boolean
  /** `public` keeps the Host the client used; `upstream` sends the upstream's own. */
  readonly host: 'public' | 'upstream'
}

export interface Route {
  /** The pattern as written; names the route in logs and problems. */
  readonly id: string
  /** Where it stands in the policy file, as `gateway.yaml:12`. */
  readonly place: string
  readonly access: AccessByMethod
  readonly upstream: Upstream | null
  readonly bodyBytesMax: number
  /** Idle time allowed between bytes from the upstream, the wait for its head included. */
  readonly timeoutMs: number
  readonly allowRequestHeaders: ReadonlySet<string>
  readonly allowResponseHeaders: ReadonlySet<string>
  readonly isServiceWorkerAllowed: boolean
  readonly isSharedCacheAllowed: boolean
}

export interface RouteMatch {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
  /** What the route asks of this method; null when the policy does not list the method. */
  readonly access: Access | null
}

/** Everything the runtime needs to forward one request: heads only, the body flows beside it. */
export interface ForwardPlan {
  readonly kind: 'forward'
  readonly head: RequestHead
  readonly route: Route
  readonly upstream: Upstream
  readonly match: RouteMatch
  readonly principal: Principal | null
  readonly proofs: readonly Proof[]
  /** Field lines for the upstream, complete but for the framing of the body. */
  readonly headers: HeaderList
  /** Groups, roles and scopes left out of them, because the upstream would have read one as two. */
  readonly droppedGroups: number
  /** Path and query for the upstream. */
  readonly path: string
  readonly setCookies: readonly string[]
}

/** One of the gateway's own paths: Hono serves it from a request rebuilt from this head. */
export interface OwnRequest {
  readonly kind: 'own'
  readonly head: RequestHead
}

export interface Refused {
  readonly kind: 'refuse'
  readonly requestId: string
  readonly refusal: Refusal
  /** Null when the request was refused before it could be read. */
  readonly head: RequestHead | null
  readonly route: Route | null
  readonly principal: Principal | null
}

export type Outcome = ForwardPlan | OwnRequest | Refused

/** A head for the client. The body is given whole when it is ours, and flows when it is the upstream's. */
export interface AnswerHead {
  readonly status: number
  readonly headers: HeaderList
}

export interface OwnAnswer extends AnswerHead {
  readonly body: string
}

/** One line about one finished exchange. No query values, cookies, credentials or bodies (SECURITY rule 28). */
export interface AccessRecord {
  readonly requestId: string
  readonly at: string
  readonly durationMs: number
  readonly method: string
  readonly path: string
  readonly status: number
  readonly route: string | null
  readonly upstream: string | null
  readonly subject: string | null
  readonly credential: CredentialKind | null
  readonly clientAddress: string | null
  /** Why it was refused, or how the upstream failed; null for an ordinary answer. */
  readonly reason: string | null
  readonly log: string | null
  readonly droppedHeaders: number
  readonly droppedGroups: number
  readonly isAborted: boolean
}

/** A rule of `limit/`: `burst` at once, then one each `intervalMs`. */
export interface RateRule {
  readonly burst: number
  readonly intervalMs: number
}

export type Consumption =
  | { readonly admitted: true; readonly freeAtMs: number }
  | { readonly admitted: false; readonly retryAfterMs: number }
