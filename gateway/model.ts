/**
 * The nouns: plain, frozen values that every stage reads and none changes.
 * Nothing here knows a socket, a clock or a runtime. data-model.md has one section per exported type.
 */

import type { Reason } from './problem/catalogue.ts'
import type { Access, RateRule, Route, Upstream } from './rules.ts'

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
  /** HTTP/2 only: the head did not end the request, so a body may follow whatever the fields say of it. */
  readonly isOpen?: boolean
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
  /** Who the connection is with: the client, or a proxy. */
  readonly peerAddress: string
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
  /** The method a CORS preflight asks for (Fetch §3.2.2), or null for every other request. */
  readonly preflightFor: string | null
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
  /** What the issuer's entry maps under `claims` beside the names above, by the name it has here. Empty for our own users. */
  readonly claims: Claims
  readonly sessionId: string | null
  readonly tokenId: string | null
  readonly keyId: string | null
  /** When the person last proved who they are; refreshing a session never moves it. Null when nobody did (impersonation). */
  readonly authenticatedAtMs: number | null
  /** RFC 8176 method references. */
  readonly methods: readonly string[]
  /** Two factors were shown: by our own methods, or by an `amr` or `acr` that the issuer's entry names. Never when impersonated. */
  readonly hasSecondFactor: boolean
  readonly expiresAtMs: number
}

export type ClaimValue = string | number | boolean
export type Claims = Readonly<Record<string, ClaimValue | readonly ClaimValue[]>>

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
  /** Field lines that go with the refusal, such as how much of a limit is left. */
  readonly headers: HeaderList
  /** What would let this very caller in: signing in again, or with more (RFC 9470 §3). */
  readonly stepUp: StepUp | null

  constructor(reason: Reason, more: Partial<Omit<Refusal, 'reason'>> = {}) {
    this.reason = reason
    this.detail = more.detail ?? null
    this.log = more.log ?? null
    this.retryAfterMs = more.retryAfterMs ?? null
    this.allow = more.allow ?? []
    this.setCookies = more.setCookies ?? []
    this.headers = more.headers ?? []
    this.stepUp = more.stepUp ?? null
  }
}

export interface StepUp {
  readonly isSecondFactorNeeded: boolean
  /** Longest age of the sign-in, in milliseconds; null for any. */
  readonly maxAgeMs: number | null
}

/** How one check came out: `unknown` where a fact is missing, `skipped` where an earlier refusal had settled it. */
export interface Finding {
  /** As in the policy: `role`, `mfa`, ... ; `login` for a principal, `method` for a method that is not listed. */
  readonly key: string
  /** In the policy's words, such as `editor or admin`. */
  readonly needed: string
  /** What the caller had, such as `reader`, or `nothing`. Never a credential. */
  readonly had: string
  readonly verdict: 'met' | 'unmet' | 'unknown' | 'skipped'
  /** Of `any` and `not`. */
  readonly of: readonly Finding[]
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
  /** Which of the upstream's servers is asked: its `origin`. */
  readonly origin: string
  /** What stands open against limits on connections; released once when the exchange has ended, however it did. */
  readonly leases: readonly Lease[]
  /** Field lines of ours for the client's answer: how much of a limit is left. */
  readonly answerHeaders: HeaderList
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
  /** Null when it met no route. */
  readonly match: RouteMatch | null
  readonly principal: Principal | null
  /** Was the caller looked for? False where nothing is authenticated, or something else was refused first. */
  readonly isAuthenticated: boolean
}

/** A CORS preflight, answered by the gateway before anybody is authenticated. */
export interface Preflight {
  readonly kind: 'preflight'
  readonly head: RequestHead
  readonly match: RouteMatch
  readonly answer: OwnAnswer
}

export type Outcome = ForwardPlan | OwnRequest | Preflight | Refused

/** A place that an open exchange takes up in a limit on connections. */
export interface Lease {
  /** Gives it back. Safe to call more than once; never throws and never waits. */
  release(): void
}

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
  /** Of the principal, so that a recorded request can be decided again under another policy. */
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly clientAddress: string | null
  /** The first 12 digits of the policy's SHA-256. */
  readonly policy: string
  /** What the route's `proposed` would have said: null where it has none, `unknown` where that was not in memory. */
  readonly proposed: 'same' | 'would-allow' | 'would-refuse' | 'unknown' | null
  /** Why it was refused, or how the upstream failed; null for an ordinary answer. */
  readonly reason: string | null
  readonly log: string | null
  readonly droppedHeaders: number
  readonly droppedGroups: number
  readonly isAborted: boolean
  /** The server that was asked last, and how often one was; absent where there is only one and it was asked once, or none was. */
  readonly server?: string
  readonly tries?: number
}

/**
 * A request that was refused, or failed, as it is kept for whoever asks why by its id. Its line in the log says the same; it
 * holds no head and no credential.
 */
export interface RecordedDecision extends AccessRecord {
  /** Where the route stands in the policy, as `gateway.yaml:12`; null when it met none. */
  readonly place: string | null
  /** What was asked of the caller and what was had; empty where something else was refused first, as `reason` tells. */
  readonly findings: readonly Finding[]
}

export type Consumption =
  | { readonly admitted: true; readonly freeAtMs: number }
  | { readonly admitted: false; readonly retryAfterMs: number }
