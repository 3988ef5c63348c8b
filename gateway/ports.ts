/**
 * The outside world as interfaces. A port answers `Soon`: at once when it knows, with a promise when it must ask.
 * A port that cannot tell rejects (or answers a Refusal where it says so); it never guesses.
 */

import type { AccessRecord, Authentication, Consumption, Principal, RateRule, Refusal, Soon } from './model.ts'

/** Sessions of this gateway's own identity provider. */
export interface SessionSource {
  /**
   * Who a session cookie speaks for. `cookie` is the value as presented, still percent-encoded.
   * A forged or malformed cookie is a Refusal (`session.malformed`); an ended or expired one is a null principal with
   * the Set-Cookie values that remove it; a store that cannot be asked within 250 ms is a Refusal (`session.unavailable`).
   */
  verifyCookie(cookie: string, nowMs: number): Soon<Authentication | Refusal>
}

/** Bearer tokens: in this version JWTs that this gateway issued (RFC 6750, RFC 7519). */
export interface TokenVerifier {
  /** The principal, or a Refusal of the `token.*` and `keys.unavailable` reasons. */
  verifyToken(token: string, nowMs: number): Soon<Principal | Refusal>
}

/** Signed proof of identity for upstreams (SECURITY rule 27). */
export interface AssertionSource {
  /** A compact JWS for this principal and upstream, from memory in nearly every call. */
  assertionFor(principal: Principal, upstreamId: string, nowMs: number): Soon<string>
}

/** Rate counters (GCRA). */
export interface Counters {
  /** Atomically reads, decides and writes. Rejects when it cannot tell; the caller then refuses. */
  consume(key: string, rule: RateRule, nowMs: number): Soon<Consumption>
}

/** Seals a short text so that only this gateway can have written it, with an end of life. */
export interface Sealer {
  seal(purpose: string, text: string, expiresAtMs: number): Soon<string>
  /** The text, or null when the seal is not ours, is for another purpose or has expired. */
  open(purpose: string, sealed: string, nowMs: number): Soon<string | null>
}

/** Where finished exchanges go. Must not throw and must not wait. */
export interface Journal {
  record(record: AccessRecord): void
  /** A bug or an outage, with what an operator needs: never a secret. */
  fault(requestId: string, error: unknown): void
}

/** What `decide` and its companions need of the world. */
export interface Ports {
  readonly counters: Counters
  /** Null where nobody can sign in (a Worker without an identity provider): session cookies then prove nothing. */
  readonly sessions: SessionSource | null
  readonly tokens: TokenVerifier | null
  readonly assertions: AssertionSource | null
  /** Null where nobody can sign in: nothing is sent to a sign-in page then. */
  readonly sealer: Sealer | null
  readonly journal: Journal
}

/** The identity provider's own endpoints, for `endpoints/`. Requests come rebuilt from an admitted head. */
export interface IdentityProvider {
  readonly signup: 'open' | 'invite' | 'closed'
  /** Serves `/api/auth/*`. A path outside its table of allowed paths is a 404. Resolves with a Response even when its store is down (503). */
  handle(request: Request): Promise<Response>
  /** Public keys of our tokens and assertions (RFC 7517), for `/.well-known/jwks.json`. */
  publicKeys(): Promise<{ readonly keys: readonly object[] }>
  /** True when the stores answer; for readiness. */
  isReady(): Promise<boolean>
}

/** Keyed hashing of the runtime: synchronous, because the session check stands on the hot path. */
export interface Primitives {
  hmacSha256(key: Uint8Array, text: string): Uint8Array
  /** Compares in a time that does not depend on where the two differ. */
  isEqual(left: Uint8Array, right: Uint8Array): boolean
  /** 32 bytes for one use of a secret (RFC 5869). */
  hkdfSha256(secret: string, use: string): Uint8Array
}

/** The database behind the identity provider, and the small part of it that our own tables need. */
export interface Database {
  readonly kind: 'sqlite' | 'postgres'
  /** What the identity provider writes through: a driver's own object, opaque here. */
  readonly handle: object
  /** What sessions are read through, so that a long write does not hold up a look-up. */
  readonly readHandle: object
  /** Placeholders are `$1`, `$2`. Rejects when the database cannot be asked in time. */
  query(
    sql: string,
    values?: readonly (string | number | null)[],
  ): Promise<readonly Readonly<Record<string, unknown>>[]>
  /** One caller at a time among all nodes, for migrations and key rotation. Not reentrant. */
  withMigrationLock<T>(work: () => Promise<T>): Promise<T>
  isReady(): Promise<boolean>
  close(): Promise<void>
}
