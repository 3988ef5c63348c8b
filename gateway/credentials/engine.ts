/**
 * The verified-credential cache at work: what is remembered in this process, then what nodes share, then one verification for
 * all who ask at once. Nothing is answered that was revoked since its verification began (SECURITY rules 21 and 24).
 */

import { type Authentication, type Principal, type Proof, Refusal } from '../model.ts'
import type { CredentialStore, Primitives, Revocations, Sealer } from '../ports.ts'
import { REMEMBERED_MS_MAX } from '../revocation/entry.ts'
import { within } from '../revocation/within.ts'
import type { RateRule } from '../rules.ts'
import { type Bounded, boundedCache } from './bounded-cache.ts'
import type { CacheScope, CredentialCache, Verified } from './cache.ts'
import { isFinal, negativeEntries } from './negative.ts'
import { sharedEntries } from './shared-entries.ts'

/** A credential that verified, as this node remembers it. */
export interface Entry extends Bounded {
  /** Answer to the credential, made once. */
  readonly authentication: Authentication
  /** Answer to those who waited for the verification: the same, with the cookies it gave rise to. */
  readonly news: Authentication
  readonly principal: Principal
  readonly proof: Proof
  readonly verifier: string
  readonly readAtMs: number
  readonly staleAtMs: number
}

/** How to find out about a credential that is not in memory. */
export interface Search {
  readonly scope: CacheScope
  /** Framed text it is shared under; null for what is not worth sharing. */
  readonly sharedAs: string | null
  /** A caller waits no longer for the verification itself; null where it keeps a deadline of its own. */
  readonly waitMsMax: number | null
  /** Answer when it cannot be told. */
  readonly unavailable: Refusal
  verify(): Promise<(Verified & { readonly setCookies?: readonly string[] }) | Refusal>
}

export interface CacheStatus {
  readonly entries: number
  readonly bytes: number
  readonly hits: number
  readonly sharedHits: number
  /** Verifications that were begun. */
  readonly misses: number
  readonly negativeHits: number
  readonly badSeals: number
}

/** The cache with its parts, for the kinds of credentials that this gateway issued itself. */
export interface CredentialEngine extends CredentialCache {
  /** Text that stands for a credential of a scope; no two have the same. */
  frame(scope: CacheScope, credential: string): string
  /** Name of a framed text in memory. */
  keyOf(framed: string): string
  /** What is in memory and may be answered now: what verified, or a failure that is final. */
  remembered(key: string, nowMs: number): Entry | Refusal | undefined
  find(key: string, search: Search, nowMs: number): Promise<Entry | Refusal>
  status(): CacheStatus
}

/** Verifications of one kind under way at once. What hangs must not collect waiting requests without end. */
const FLIGHTS_MAX = 512
const ATTEMPTS_MAX = 3
/** Requests are stamped before they are handled, so a later one may carry a slightly earlier time. */
const CLOCK_STEP_MS = 1000
/** Of an entry in memory, beside its texts: its objects, and its place in the map. */
const ENTRY_BYTES = 800

/** Emptied when full. With texts of this length, a few megabytes. */
const NAMES_MAX = 4096
const NAMED_CHARS_MAX = 1024

const NONE: readonly string[] = Object.freeze([])
const STALE = Object.freeze(new Refusal('revocation.stale'))
const UNAVAILABLE = Object.freeze(new Refusal('credential.unavailable'))

interface Flight {
  readonly sequence: number
  readonly beganAtMs: number
  /** What other nodes know; null where they are not asked. */
  readonly shared: Promise<Entry | null> | null
  readonly found: Promise<Entry | Refusal>
}

export function createCredentialCache(deps: {
  readonly revocations: Revocations
  readonly store: CredentialStore | null
  readonly sealer: Sealer
  readonly primitives: Primitives
  /** Names what is shared. */
  readonly nameKey: Uint8Array
  readonly entriesMax: number
  readonly bytesMax: number
  readonly log: (error: unknown) => void
}): CredentialEngine {
  const { revocations, store, primitives, log } = deps
  const entries = boundedCache<Entry>(deps.entriesMax, deps.bytesMax)
  const failures = negativeEntries()
  /** Keys of credentials that verified, so that one which comes again is not hashed again. */
  const names = new Map<string, { readonly scope: CacheScope; readonly key: string }>()
  const level2 = store === null ? null : sharedEntries({ ...deps, store })
  const flights = new Map<string, Flight>()
  const underWay = new Map<string, number>()
  /** Verifiers that were dropped, and when that was first noticed by a request. */
  const dropped = new Map<string, number | null>()
  let drops = 0
  const counts = { hits: 0, sharedHits: 0, misses: 0, negativeHits: 0 }

  return {
    lookUp(scope, credential, nowMs, verify, waitMsMax) {
      const named = names.get(credential)
      if (named !== undefined && named.scope === scope) {
        const known = remembered(named.key, nowMs)
        if (known !== undefined) return answerOf(known)
      }
      const framed = frame(scope, credential)
      const key = keyOf(framed)
      const known = remembered(key, nowMs)
      if (known !== undefined) {
        if (!(known instanceof Refusal)) keepName(scope, credential, key)
        return answerOf(known)
      }
      const search = { scope, sharedAs: framed, waitMsMax: waitMsMax ?? null, unavailable: UNAVAILABLE, verify }
      return find(key, search, nowMs).then(answerOf)
    },
    frame,
    keyOf,
    remembered,
    find,
    dropVerifier(verifier) {
      drops += 1
      dropped.set(verifier, null)
      entries.deleteWhere((entry) => entry.verifier === verifier)
      // A signature that was wrong for a key that left may be right for the one that took its name.
      failures.clear()
    },
    status: () => ({
      entries: entries.size,
      bytes: entries.bytes,
      ...counts,
      badSeals: level2?.badSeals ?? 0,
    }),
  }

  function keepName(scope: CacheScope, credential: string, key: string): void {
    if (credential.length > NAMED_CHARS_MAX) return
    if (names.size >= NAMES_MAX) names.clear()
    names.set(credential, { scope, key })
  }

  function keyOf(framed: string): string {
    return primitives.sha256(framed)
  }

  function remembered(key: string, nowMs: number): Entry | Refusal | undefined {
    const entry = entries.get(key)
    if (entry !== undefined && revocations.isFresh() && isUsable(entry, nowMs)) {
      entry.isUsed = true
      counts.hits += 1
      return entry
    }
    const failure = failures.get(key, nowMs)
    if (failure !== undefined) counts.negativeHits += 1
    return failure
  }

  /** A clock that was set back makes an entry look unread yet; it is then read again. */
  function isUsable(entry: Entry, nowMs: number): boolean {
    return nowMs < entry.staleAtMs && nowMs >= entry.readAtMs - CLOCK_STEP_MS && !revocations.isDead(entry.proof)
  }

  async function find(key: string, search: Search, nowMs: number): Promise<Entry | Refusal> {
    if (!revocations.isFresh()) {
      if (!(await revocations.catchUp())) return STALE
      const entry = entries.get(key)
      if (entry !== undefined && isUsable(entry, nowMs)) return entry
    }
    let beganAtMsMin = Number.NEGATIVE_INFINITY
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const flight = board(key, search, nowMs, beganAtMsMin)
      if (flight === null) return search.unavailable
      const found = await landing(flight, search)
      if (found instanceof Refusal) return found
      // It may have died between its landing and now, and who boarded late may live later than it does.
      const isInTime = nowMs <= flight.beganAtMs || nowMs < found.staleAtMs
      if (isInTime && !revocations.isDead(found.proof)) return found
      if (!isInTime) beganAtMsMin = nowMs
    }
    return search.unavailable
  }

  /**
   * One flight for all who ask at once. One that began before an entry of the log serves nobody who came after it, so it is
   * boarded only while the log has not grown since; and by who was too late for another, only if it began after they came.
   */
  function board(key: string, search: Search, nowMs: number, beganAtMsMin: number): Flight | null {
    const running = flights.get(key)
    if (running !== undefined && running.sequence === revocations.sequence && running.beganAtMs >= beganAtMsMin)
      return running
    const { kind } = search.scope
    const others = underWay.get(kind) ?? 0
    if (others >= FLIGHTS_MAX) return null
    underWay.set(kind, others + 1)
    const { sequence } = revocations
    const shared = fromShared(key, search, nowMs)
    const found =
      shared === null ? verified(key, search, nowMs) : shared.then((entry) => entry ?? verified(key, search, nowMs))
    const flight: Flight = { sequence, beganAtMs: nowMs, shared, found }
    flights.set(key, flight)
    const landed = (): void => {
      underWay.set(kind, underWay.get(kind)! - 1)
      if (flights.get(key) === flight) flights.delete(key)
    }
    found.then(landed, (error: unknown) => {
      landed()
      log(error)
    })
    return flight
  }

  /** The shared level keeps its own bound, and must not use up the time that the verification has. */
  async function landing({ shared, found }: Flight, search: Search): Promise<Entry | Refusal> {
    try {
      const entry = shared === null ? null : await shared
      if (entry !== null) return entry
      const { waitMsMax, unavailable } = search
      return await (waitMsMax === null ? found : within(found, waitMsMax, unavailable))
    } catch {
      return search.unavailable // said once, where it landed
    }
  }

  function fromShared(key: string, search: Search, nowMs: number): Promise<Entry | null> | null {
    const { sharedAs, scope } = search
    if (level2 === null || sharedAs === null || isDropped(scope.verifier, nowMs)) return null
    const dropsBefore = drops
    return level2.read(sharedAs, nowMs).then(async (found) => {
      // A higher number than ours is of a log that we do not know, and ours cannot tell what of it has been revoked.
      if (found === null || drops !== dropsBefore || found.sequence > revocations.sequence) return null
      if (!revocations.isFresh() && !(await revocations.catchUp())) return null
      const proof = proofOf(found, found.sequence)
      if (revocations.isDead(proof) || revocations.isEnded(proof)) return null
      counts.sharedHits += 1
      return remember(key, search, found, proof, nowMs)
    })
  }

  /** Other nodes may drop it a little later, and until then share what it found out. So may have been done before. */
  function isDropped(verifier: string, nowMs: number): boolean {
    const sinceMs = dropped.get(verifier)
    if (sinceMs === undefined) return false
    if (sinceMs === null) dropped.set(verifier, nowMs)
    else if (nowMs - sinceMs > REMEMBERED_MS_MAX) return !dropped.delete(verifier)
    return true
  }

  /** Verifies until nothing that concerns the credential has been revoked meanwhile. */
  async function verified(key: string, search: Search, nowMs: number): Promise<Entry | Refusal> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
      const { sequence } = revocations
      const dropsBefore = drops
      counts.misses += 1
      const found = await search.verify()
      if (found instanceof Refusal) {
        if (isFinal(found) && drops === dropsBefore) failures.set(key, found, nowMs)
        return found
      }
      const proof = proofOf(found, sequence)
      const isCaughtUp = revocations.isFresh() || (await revocations.catchUp())
      if (!isCaughtUp) return STALE
      if (revocations.isDead(proof) || drops !== dropsBefore) {
        // What marked it may stand ahead of the number we know; only a number past it makes a proof that lives.
        if (!(await revocations.catchUp())) return STALE
        continue
      }
      if (revocations.isEnded(proof)) {
        failures.set(key, search.scope.ended, nowMs)
        return search.scope.ended
      }
      const entry = remember(key, search, found, proof, nowMs)
      if (search.sharedAs !== null)
        level2?.write(search.sharedAs, { ...found, sequence, staleAtMs: entry.staleAtMs }, nowMs)
      return entry
    }
    return search.unavailable
  }

  function remember(
    key: string,
    search: Search,
    found: Verified & { readonly setCookies?: readonly string[] },
    proof: Proof,
    nowMs: number,
  ): Entry {
    const { principal, rate, setCookies = NONE } = found
    const authentication = authenticationOf(principal, proof, rate, NONE)
    const entry: Entry = {
      authentication,
      news: setCookies.length === 0 ? authentication : authenticationOf(principal, proof, rate, setCookies),
      principal,
      proof,
      verifier: search.scope.verifier,
      readAtMs: nowMs,
      staleAtMs: Math.min(found.staleAtMs, nowMs + REMEMBERED_MS_MAX),
      bytes: bytesOf(principal, proof, setCookies),
      isUsed: false,
    }
    if (entry.staleAtMs > nowMs) entries.set(key, entry)
    return entry
  }
}

function answerOf(found: Entry | Refusal): Authentication | Refusal {
  return found instanceof Refusal ? found : found.authentication
}

/** With the lengths before them, no kind, verifier and credential run into each other. */
function frame({ kind, verifier }: CacheScope, credential: string): string {
  return `${kind.length}:${kind}${verifier.length}:${verifier}${credential}`
}

function proofOf(found: Pick<Verified, 'names' | 'issuedAtMs'>, sequence: number): Proof {
  return Object.freeze({ sequence, names: found.names, issuedAtMs: found.issuedAtMs })
}

function authenticationOf(
  principal: Principal,
  proof: Proof,
  rate: RateRule | null,
  setCookies: readonly string[],
): Authentication {
  return Object.freeze({ principal, proofs: Object.freeze([proof]), rate, setCookies })
}

/** Texts counted as two bytes a character, the most an engine takes. */
function bytesOf(principal: Principal, proof: Proof, setCookies: readonly string[]): number {
  return ENTRY_BYTES + 2 * JSON.stringify([principal, proof.names, setCookies]).length
}
