/**
 * Verified credentials, remembered in two levels: in this process, then in Redis for the fleet. A hit costs a look-up, and
 * what has been revoked is never answered from either (SECURITY rules 21 and 24).
 */

import type { Authentication, Principal, Refusal, Soon } from '../model.ts'
import type { RateRule } from '../rules.ts'

/** What a verifier found out about one credential. */
export interface Verified {
  readonly principal: Principal
  /** What it rests on, by the names of `revocation/names.ts`. */
  readonly names: readonly string[]
  /** As in `Proof`. */
  readonly issuedAtMs: number | null
  /** As in `Authentication`. */
  readonly rate: RateRule | null
  /** Verified again from here on: the credential's own end, or earlier. Capped at `REMEMBERED_MS_MAX` from now. */
  readonly staleAtMs: number
}

/** One kind of credential, as one verifier with one configuration understands it. */
export interface CacheScope {
  /** Such as `jwt`, `opaque` or `key`. */
  readonly kind: string
  /** Hash of the verifier's own configuration, so that what one accepted means nothing to another. */
  readonly verifier: string
  /** Answer to a credential that verifies and was ended by an entry of the log. */
  readonly ended: Refusal
}

export interface CredentialCache {
  /**
   * Whom `credential` speaks for: from memory at once, else from Redis, else by `verify`, which runs once for all who
   * present the same text at the same time and never for anything that was revoked since it began.
   * Where `verify` keeps no deadline of its own, `waitMsMax` is one: who has waited longer is told `credential.unavailable`.
   */
  lookUp(
    scope: CacheScope,
    credential: string,
    nowMs: number,
    verify: () => Promise<Verified | Refusal>,
    waitMsMax?: number,
  ): Soon<Authentication | Refusal>
  /**
   * What this verifier found out is worthless from now on, as when a key left its key set: forgotten here, and not believed
   * from Redis until nothing verified before can be left there.
   */
  dropVerifier(verifier: string): void
}
