/**
 * The outside world as interfaces. A port answers `Soon`: at once when it knows, with a promise when it must ask.
 * A port that cannot tell rejects (or answers a Refusal where it says so); it never guesses.
 */

import type { AccessRecord, Authentication, Consumption, Lease, Principal, Proof, Refusal, Soon } from './model.ts'
import type { Limit, RateRule, Upstream, UpstreamServer } from './rules.ts'

/** Sessions of this gateway's own identity provider. */
export interface SessionSource {
  /**
   * Who a session cookie speaks for. `cookie` is the value as presented, still percent-encoded.
   * A forged or malformed cookie is a Refusal (`session.malformed`); an ended or expired one is a null principal with
   * the Set-Cookie values that remove it; a store that cannot be asked within 250 ms is a Refusal (`session.unavailable`).
   */
  verifyCookie(cookie: string, nowMs: number): Soon<Authentication | Refusal>
}

/** Bearer tokens (RFC 6750): this gateway's own JWTs and signed session tokens, JWTs of other issuers, and opaque tokens. */
export interface TokenVerifier {
  /** Whom the token speaks for, or a Refusal of the `token.*`, `keys.*` and `introspection.*` reasons. Never sets a cookie. */
  verifyToken(token: string, nowMs: number): Soon<Authentication | Refusal>
}

/** API keys of machine clients. */
export interface KeyVerifier {
  /** Whom the key acts for, with the key's own limit; or a Refusal of the `key.*` reasons. */
  verifyKey(key: string, nowMs: number): Soon<Authentication | Refusal>
}

/** The revocation log as this node knows it (SECURITY rules 19-23): in memory, so asking costs a look-up. */
export interface Revocations {
  /** Number of the last entry before which the log is known without a gap. */
  readonly sequence: number
  /** Has an entry come since the proof's verification began that concerns it? Then it must be verified again. */
  isDead(proof: Proof): boolean
  /** Do entries refuse this credential for good, however well it verifies? */
  isEnded(proof: Proof): boolean
  /**
   * False once the last complete read of the log began longer than `maxStaleness` ago, by whichever clock says more.
   * With a margin, false so much earlier: for who needs that long to act.
   */
  isFresh(marginMs?: number): boolean
  /**
   * Reads the log from its source. True when a complete read that began after this call has been applied; false when
   * that could not be had within 250 ms. Shared by all who wait. Never rejects.
   */
  catchUp(): Promise<boolean>
  /** Calls back after each batch of entries has been applied. Returns what ends it. */
  subscribe(listener: (batch: RevokedNames) => void): () => void
}

/** Names that a batch of entries concerned; null stands for everybody. */
export type RevokedNames = ReadonlySet<string> | null

/** Carries what was revoked faster than the log can be read. Not trusted: what it carries is sealed, and it may lose all of it. */
export interface Carrier {
  /** Resolves once the messages were accepted; rejects within 200 ms when they were not. */
  publish(messages: readonly string[]): Promise<void>
  /** `onGap`: messages may have been lost, as after a reconnection. */
  subscribe(onMessage: (message: string) => void, onGap: () => void): void
  close(): void
}

/** The level of the credential cache that nodes share. Not trusted: what it keeps is sealed (SECURITY rule 24). */
export interface CredentialStore {
  /** Null when there is none. Rejects within 200 ms when it cannot tell. */
  get(key: string): Promise<string | null>
  /** Best effort; never throws and never waits. */
  set(key: string, sealed: string, lifeMs: number): void
}

/** One request to an address that the policy names: key sets, discovery documents, introspection. */
export interface Outbound {
  /**
   * Follows no redirect. Rejects when the answer takes longer than `timeoutMs` or is longer than `bytesMax`, and on any
   * failure to connect; every status resolves.
   */
  send(request: OutboundRequest): Promise<{ readonly status: number; readonly body: string }>
}

export interface OutboundRequest {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
  readonly timeoutMs: number
  readonly bytesMax: number
}

/** Signed proof of identity for upstreams (SECURITY rule 27). */
export interface AssertionSource {
  /** A compact JWS for this principal and upstream, from memory in nearly every call. */
  assertionFor(principal: Principal, upstreamId: string, nowMs: number): Soon<string>
}

/** Which of an upstream's servers is to be asked, by what is known of them now. */
export interface ServerChoice {
  /** Null when none of them is well. */
  choose(upstream: Upstream): UpstreamServer | null
}

/** Counters of rates (GCRA) and of open connections. */
export interface Counters {
  /**
   * One step of a rate that is counted with all nodes, or on this node alone while they cannot be asked. Rejects when it
   * cannot tell; the caller then refuses.
   */
  consume(key: string, rule: RateRule, nowMs: number): Soon<Consumption>
  /** One step of a rate that this node counts by itself. */
  consumeHere(key: string, rule: RateRule, nowMs: number): Consumption
  /**
   * Charges all of the demands, or none of them. While the other nodes cannot be asked each one counts its share, or with
   * `refuse` this rejects; it rejects whenever it cannot tell.
   */
  charge(demands: readonly Demand[], nowMs: number, onOutage: 'share' | 'refuse'): Soon<Charge>
}

/** Counters of one process, which stand in for shared ones while those cannot be asked. */
export interface LocalCounters extends Counters {
  consume(key: string, rule: RateRule, nowMs: number): Consumption
  /** As `charge`, at once, of the part of each limit that one of so many nodes may count by itself. */
  chargeShare(demands: readonly Demand[], nowMs: number, nodes: number): Charge
  /** Counts places that were taken elsewhere as taken here too. */
  hold(keys: readonly string[]): Lease
}

/** A limit, and whose use of it is counted. */
export interface Demand {
  readonly key: string
  readonly limit: Limit
}

export interface Charge {
  /** The places that were taken, all under one; null where none were. */
  readonly lease: Lease | null
  /** One for each demand, in their order. Refused is who finds one that does not admit. */
  readonly standings: readonly Standing[]
}

/** How a limit stands: after it was charged, or where another one refused, as it is. */
export interface Standing {
  readonly isAdmitted: boolean
  /** How many more would be admitted now. */
  readonly left: number
  /** Until the next is admitted where none is left, else until nothing is used up. Null where nobody can say: places. */
  readonly resetMs: number | null
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
  /** Null where the policy accepts no keys. */
  readonly keys: KeyVerifier | null
  /** Null where there is no log (a Worker): then nothing is remembered that could be revoked. */
  readonly revocations: Revocations | null
  readonly assertions: AssertionSource | null
  /** Null where nothing is known of servers: then each gets its share, by weight. */
  readonly servers: ServerChoice | null
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
  /** As base64url, 43 characters: the name of a text that must not be kept itself. */
  sha256(text: string): string
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

/** A user of this gateway, as far as other credentials rest on one. */
export interface LocalUser {
  readonly id: string
  readonly email: string | null
  readonly emailVerified: boolean
  readonly name: string | null
  readonly roles: readonly string[]
  /** Null for a user who is not banned, Infinity for one who is for good. */
  readonly bannedUntilMs: number | null
}

/** Our users, read past every cache. */
export interface UserDirectory {
  /** Null when there is no such user. Rejects when the database cannot tell. */
  find(id: string): Promise<LocalUser | null>
}

/** `source` is a name under `tokens` of the policy, or `postern` for this gateway. */
export type RevocationRequest =
  | { readonly kind: 'session'; readonly id: string }
  /** Every session, key and token issued so far. Later ones are welcome: to keep somebody out, ban them. */
  | { readonly kind: 'subject'; readonly subject: string }
  | {
      readonly kind: 'token'
      readonly source: string
      /** Its `jti`; a token without one is named `#` and the SHA-256 of its text. */
      readonly tokenId: string
      /** Whose it is, and until when it lives; null when nobody says. */
      readonly subject: string | null
      readonly expiresAtMs: number | null
    }
  | { readonly kind: 'key'; readonly id: string }
  | { readonly kind: 'kid'; readonly source: string; readonly kid: string }
  | { readonly kind: 'issuer'; readonly source: string }
  | { readonly kind: 'everything' }

export interface Revoked {
  /** Numbers of the entries, all of them durable. */
  readonly sequences: readonly number[]
  /** False when other nodes learn of it by reading the log, and not at once. */
  readonly isCarried: boolean
}

/** Revoking on request (SECURITY rule 23). */
export interface Revoker {
  /** What it is called in the log. */
  nameOf(request: RevocationRequest): string
  /** Rejects when the database could not be asked; then nothing has changed, unless the answer alone was lost. */
  revoke(request: RevocationRequest): Promise<Revoked>
}

/** An entry of the revocation log, for people. */
export interface LoggedRevocation {
  readonly sequence: number
  readonly effect: 'end' | 'refresh'
  readonly name: string
  readonly notBeforeMs: number
  readonly expiresAtMs: number
}

export interface RevocationHistory {
  /** Newest first, with numbers below `before`; null begins at the newest. Rejects when the database cannot tell. */
  recent(before: number | null, countMax: number): Promise<readonly LoggedRevocation[]>
}

/** Who did or asked what. Never holds a secret, nor the text of a credential. */
export interface AuditEvent {
  /** A subject with the key or session it came by, `cli`, or `-` for nobody known. */
  readonly actor: string
  readonly action: string
  readonly target: string
  /** Ours; `-` where there was no request. */
  readonly requestId: string
  readonly clientAddress: string | null
}

/** `begun` stays where nobody lived to say how it ended. */
export type AuditOutcome = 'begun' | 'done' | 'failed' | 'refused'

export interface AuditRecord extends AuditEvent {
  readonly id: string
  readonly atMs: number
  readonly outcome: AuditOutcome
  /** Numbers of the log, the id of what was made, or the reason of a refusal. */
  readonly detail: string
}

/** The trail of administration, kept in the database (SECURITY rule 29). */
export interface AuditTrail {
  /** Resolves once it is durable that this is about to be done, with the record's id. Rejects otherwise: then it must not be done. */
  begin(event: AuditEvent): Promise<string>
  /** Says how it ended. Never rejects: that it was begun is on record. */
  end(id: string, event: AuditEvent, outcome: 'done' | 'failed', detail: string): Promise<void>
  /** Never rejects: a refusal that cannot be written stays a refusal. */
  refuse(event: AuditEvent, reason: string): Promise<void>
  /** Somebody looked at figures that say nothing of anybody, as probes do without end: a line in the log, and no row. */
  look(event: AuditEvent): void
}

/** An API key as its managers see it: never the key itself. */
export interface ApiKeySummary {
  readonly id: string
  readonly name: string | null
  readonly ownerId: string
  readonly scopes: readonly string[]
  readonly expiresAtMs: number | null
}

export interface NewApiKey {
  readonly ownerId: string
  readonly name: string
  readonly scopes: readonly string[]
  /** Null for a key without an end. */
  readonly expiresAtMs: number | null
  /** Null for the policy's. */
  readonly rate: RateRule | null
}

/** Making and listing API keys. */
export interface ApiKeyDesk {
  /** `key` is told this once. Rejects with a RangeError for what no key can have, such as an owner who is not there. */
  create(key: NewApiKey): Promise<{ readonly id: string; readonly key: string }>
  /** Null lists everybody's. */
  list(ownerId: string | null): Promise<readonly ApiKeySummary[]>
}
