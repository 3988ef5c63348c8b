/** What the admin API is given by the runtime that serves it. */

import type { Authentication, Refusal, Soon } from '../../model.ts'
import type { ApiKeyDesk, AuditTrail, KeyVerifier, RevocationHistory, Revocations, Revoker } from '../../ports.ts'

export interface AdminDeps {
  /** The public URL, where the pages about problems are. */
  readonly origin: string
  /** Lower-case name of the header that carries API keys. */
  readonly keyHeader: string
  /** Null where none are accepted: then nobody comes in by one. */
  readonly keys: KeyVerifier | null
  /** Signed session tokens as bearers: the one kind of token that counts here. */
  readonly sessions: { verifyBearer(value: string, nowMs: number): Soon<Authentication | Refusal> }
  readonly revocations: Revocations
  /** The limit that a credential brings with it counts here as everywhere. Null when the call is within it. */
  limit(authentication: Authentication, nowMs: number): Soon<Refusal | null>
  readonly revoker: Revoker
  readonly history: RevocationHistory
  readonly desk: ApiKeyDesk
  readonly audit: AuditTrail
  /** Names under `tokens` of the policy, and `postern` for this gateway. */
  sources(): ReadonlySet<string>
  readonly maxStalenessMs: number
  /** Figures for operators: no name of anybody, no secret. */
  status(): Promise<AdminStatus>
  /** The `RecordedDecision` of a request as JSON; null where this node keeps none of that id. */
  decision(requestId: string): Promise<string | null>
  /** Counters and gauges in the text format of Prometheus. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>
  nowMs(): number
  /** Takes bugs and outages. Never given a secret. */
  log(error: unknown): void
}

export interface AdminStatus {
  readonly policyVersion: string
  readonly policy: PolicyStatus
  /** By route, for each with `proposed`: how often it would have decided otherwise. */
  readonly proposals: Readonly<Record<string, ProposalCounts>>
  readonly log: { readonly sequence: number; readonly ageMs: number; readonly isFresh: boolean }
  readonly cache: object
  readonly keySets: readonly object[]
  /** Alone: without Redis, or while it cannot be reached. */
  readonly limits: { readonly isShared: boolean; readonly nodes: number }
  readonly stores: { readonly database: 'up' | 'down'; readonly redis: 'up' | 'down' | 'none' }
  readonly load: LoadStatus
  /** Servers of upstreams that get nothing now: their health checks fail, or they are left alone because they failed. */
  readonly unwellServers: readonly {
    readonly upstream: string
    readonly server: string
    readonly state: 'down' | 'ejected'
  }[]
  /** It was told to end. */
  readonly isEnding: boolean
}

/** What this process works on now. */
export interface LoadStatus {
  readonly connections: number
  readonly inFlight: number
  /** How late its timers are. */
  readonly lagMs: number
  /** Of new requests, turned away because it falls behind. */
  readonly shedShare: number
}

export interface PolicyStatus {
  /** SHA-256 of the policy in force, over all of its files. */
  readonly version: string
  readonly inForceSince: string
  readonly reloads: { readonly done: number; readonly refused: number }
  /** Null before the first. `problem` lists what was wrong with a file that was refused. */
  readonly lastReload: {
    readonly at: string
    readonly outcome: 'done' | 'same' | 'refused'
    readonly problem: string | null
  } | null
}

export interface ProposalCounts {
  readonly same: number
  readonly wouldAllow: number
  readonly wouldRefuse: number
  readonly unknown: number
}
