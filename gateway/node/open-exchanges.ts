/**
 * Every allowed exchange, from before its first byte goes upstream until it is over. It is cut when the credential it rests on
 * is revoked or expires, or no longer allows it (SECURITY rule 35), and when it lives long and a policy that came since does not
 * allow it. Most are over before a sweep comes by, so they only stand in a set; what lives longer is indexed by the names it
 * rests on.
 */

import { type ForwardPlan, type Principal, type Proof, Refusal } from '../model.ts'
import type { Rechecked } from '../pipeline.ts'
import type { Revocations, RevokedNames } from '../ports.ts'
import { REASONS } from '../problem/catalogue.ts'
import type { Snapshot } from '../snapshot.ts'
import { nameIndex } from './name-index.ts'
import type { Sweepable } from './relay-sweep.ts'
import { Seats } from './seats.ts'

export interface OpenExchange {
  /** Kept by `OpenExchanges`; -1 at first. */
  openSeat: number
  readonly plan: ForwardPlan
  /** What it was decided by. */
  readonly snapshot: Snapshot
  /** Ends it on both sides at once. */
  cut(refusal: Refusal): void
  /** What `mayPass` held up is to be asked about again. */
  flow(): void
  /** The process is about to end: what has no end of its own ends now, so that its client can tell why. */
  leave(): void
}

export interface OpenExchanges extends Sweepable {
  /** False when what the plan rests on was revoked since, or nobody can say: ask right before the first byte goes upstream. */
  isCurrent(plan: ForwardPlan): boolean
  /** In the same breath as `isCurrent`, or an entry between the two is missed. */
  add(exchange: OpenExchange): void
  delete(exchange: OpenExchange): void
  /**
   * May bytes pass, either way? Not while it is in doubt, nor on a node that has just woken up, where what was sent meanwhile
   * stands before the entry that revokes it (SECURITY rule 19). `flow` is called when that has changed.
   */
  mayPass(exchange: OpenExchange): boolean
  /**
   * Why a request that waited for its connection must not be sent any more; null when it may be. One that is only in doubt
   * may: it was allowed before the doubt arose, and is cut if that was right.
   */
  startFault(exchange: OpenExchange): 'principal.revoked' | 'revocation.stale' | null
  /** Another policy is in force: what lives long is decided again by it, a few at a time, and goes on meanwhile. */
  redecide(): void
  all(): readonly OpenExchange[]
  readonly size: number
  /** Names in the index. */
  readonly nameCount: number
  close(): void
}

export interface OpenExchangesDeps {
  /** Null where there is no log; expiry is still watched. */
  readonly revocations: Revocations | null
  /** Is the same caller still allowed the same thing? */
  readonly recheck: (plan: ForwardPlan, nowMs: number) => Promise<Rechecked | Refusal>
  /** The one in force. */
  readonly snapshot: () => Snapshot
  /** How long a doubt may last that nobody can settle. */
  readonly maxStalenessMs: number
  readonly nowMs: () => number
  readonly monotonicMs: () => number
  readonly fault: (error: unknown) => void
}

/** An exchange that outlived a sweep, with what it rests on now. */
interface Held {
  readonly exchange: OpenExchange
  proofs: readonly Proof[]
  /** When it is to be checked again for its age alone, by the clock that tokens are dated by. */
  dueAtMs: number
  /** Monotonic: a sweep or two after it began. */
  readonly heldAtMs: number
  /** Monotonic; null while nothing speaks against it. */
  doubtedAtMs: number | null
  isQueued: boolean
  isRechecking: boolean
  /** An entry came while it was being rechecked, so the answer may be of before. */
  isTouched: boolean
}

/** A revocation that concerns everybody must not fall upon the database all at once. */
const RECHECKS_MAX = 32
/** Taken into the index before anything else gets its turn; some milliseconds' worth. */
const HOLDS_PER_TURN = 250
/** Cut before anything else gets its turn; each costs some 100 µs. */
const CUTS_PER_TURN = 100
/** A credential that still verifies after its end, within the leeway for clocks, is asked again this much later. */
const OVERDUE_MS = 1000
/** What is over sooner keeps the policy it began with. */
const LONG_LIVED_MS = 5000
/** Checked again before anything else gets its turn; some milliseconds' worth. */
const RECHECKS_PER_TURN = 100
/** A sweep, and a try to read the log: begun so early, it is over when the bound is reached. */
const TOUCH_MS = 500

const REVOKED = Object.freeze(new Refusal('principal.revoked'))
const STALE = Object.freeze(new Refusal('revocation.stale'))

export function openExchanges(deps: OpenExchangesDeps): OpenExchanges {
  const { revocations, maxStalenessMs, nowMs, monotonicMs, fault } = deps
  /** Added since the last sweep, and between that one and the one before it. */
  let young = new Seats<'openSeat', OpenExchange>('openSeat')
  let older = new Seats<'openSeat', OpenExchange>('openSeat')
  const held = new Map<OpenExchange, Held>()
  const byName = nameIndex<Held>()
  const doubted = new Set<Held>()
  /** To be decided again by another policy, once they have lived long enough. */
  const outdated = new Set<Held>()
  /** Held up by `mayPass`. */
  const waiting = new Set<OpenExchange>()
  /** Taken from `queueAt`: shifting a long array would cost its whole length each time. */
  let queue: Held[] = []
  let queueAt = 0
  let rechecksUnderWay = 0
  let rechecksInTurn = 0
  /** No exchange is due before. */
  let nextDueAtMs = Number.POSITIVE_INFINITY
  /** To be cut when their turn comes, and why. Nothing of theirs passes meanwhile. */
  const doomed = new Map<OpenExchange, Refusal>()
  let cutsInTurn = 0
  let isCatchingUp = false
  let isHolding = false
  const all = (): OpenExchange[] => [...young.list(), ...older.list(), ...held.keys()]
  const unsubscribe = revocations?.subscribe(onBatch) ?? (() => {})

  return {
    sweepSeat: -1,
    isCurrent({ proofs }) {
      if (proofs.length === 0 || revocations === null) return true
      return revocations.isFresh() && !isDead(proofs)
    },
    add: (exchange) => void young.add(exchange),
    mayPass(exchange) {
      if (revocations === null || exchange.plan.proofs.length === 0) return true
      if (doomed.has(exchange)) return false
      if (isPassable(exchange, revocations)) return true
      waiting.add(exchange)
      if (!revocations.isFresh()) void regainTouch(revocations)
      return false
    },
    startFault(exchange) {
      if (revocations === null || exchange.plan.proofs.length === 0) return null
      if (doomed.has(exchange)) return 'principal.revoked'
      return revocations.isFresh() ? null : 'revocation.stale'
    },
    delete(exchange) {
      waiting.delete(exchange)
      doomed.delete(exchange)
      if (young.delete(exchange) || older.delete(exchange)) return
      const entry = held.get(exchange)
      if (entry !== undefined) forget(entry)
    },
    sweep(atMs) {
      if (revocations !== null && !revocations.isFresh(TOUCH_MS)) void regainTouch(revocations)
      if (!isHolding) holdOlder()
      for (const entry of doubted) {
        if (atMs - entry.doubtedAtMs! > maxStalenessMs) cut(entry.exchange, STALE)
        else enqueue(entry)
      }
      for (const entry of outdated) if (isLongLived(entry, atMs)) enqueue(entry)
      if (nowMs() >= nextDueAtMs) doubtOverdue()
      pump()
      release()
    },
    redecide() {
      for (const entry of held.values()) outdated.add(entry)
    },
    all,
    get size() {
      return young.size + older.size + held.size + doomed.size
    },
    get nameCount() {
      return byName.size
    },
    close: unsubscribe,
  }

  function isPassable(exchange: OpenExchange, log: Revocations): boolean {
    const entry = held.get(exchange)
    return log.isFresh() && (entry === undefined || entry.doubtedAtMs === null)
  }

  function release(): void {
    for (const exchange of waiting) {
      if (revocations === null || !isPassable(exchange, revocations)) continue
      waiting.delete(exchange)
      exchange.flow()
    }
  }

  function isDead(proofs: readonly Proof[]): boolean {
    for (let at = 0; at < proofs.length; at++) if (revocations!.isDead(proofs[at]!)) return true
    return false
  }

  function isEnded(proofs: readonly Proof[]): boolean {
    for (const proof of proofs) if (revocations!.isEnded(proof)) return true
    return false
  }

  /** Those indexed under the names, and every short one: they are few, and hardly ever is one concerned. */
  function onBatch(names: RevokedNames): void {
    for (const exchanges of [young, older]) {
      for (const exchange of exchanges.list()) {
        if (isDead(exchange.plan.proofs) && exchanges.delete(exchange)) hold(exchange)
      }
    }
    if (names === null) for (const entry of held.values()) settle(entry)
    else for (const name of names) for (const entry of byName.of(name)) settle(entry)
    pump()
  }

  /** An entry may only have to be read again, which is for the recheck to find out; `end` needs no asking. */
  function settle(entry: Held): void {
    entry.isTouched = true
    if (!isDead(entry.proofs)) return
    if (isEnded(entry.proofs)) cut(entry.exchange, REVOKED)
    else doubt(entry)
  }

  /** A turn of the event loop at a time, so that many who came together hold nobody up. */
  function holdOlder(): void {
    let left = HOLDS_PER_TURN
    isHolding = true
    for (let exchange = older.last(); exchange !== undefined; exchange = older.last()) {
      if (left-- === 0) return void setImmediate(holdOlder)
      older.delete(exchange)
      hold(exchange)
    }
    isHolding = false
    ;[young, older] = [older, young]
  }

  function hold(exchange: OpenExchange): void {
    const { proofs, principal } = exchange.plan
    const dueAtMs = principal?.expiresAtMs ?? Number.POSITIVE_INFINITY
    const entry: Held = {
      exchange,
      proofs,
      dueAtMs,
      doubtedAtMs: null,
      isQueued: false,
      isRechecking: false,
      isTouched: false,
      heldAtMs: monotonicMs(),
    }
    held.set(exchange, entry)
    if (exchange.snapshot !== deps.snapshot()) outdated.add(entry)
    byName.add(entry)
    nextDueAtMs = Math.min(nextDueAtMs, dueAtMs)
  }

  function forget(entry: Held): void {
    held.delete(entry.exchange)
    doubted.delete(entry)
    outdated.delete(entry)
    byName.delete(entry)
  }

  function cut(exchange: OpenExchange, refusal: Refusal): void {
    const entry = held.get(exchange)
    if (entry !== undefined) forget(entry)
    young.delete(exchange)
    older.delete(exchange)
    waiting.delete(exchange)
    if (cutsInTurn < CUTS_PER_TURN) end(exchange, refusal)
    else doomed.set(exchange, refusal)
  }

  function end(exchange: OpenExchange, refusal: Refusal): void {
    if (cutsInTurn === 0) setImmediate(endDoomed)
    cutsInTurn++
    try {
      exchange.cut(refusal)
    } catch (error) {
      fault(error)
    }
  }

  /** In the next turn of the event loop after each in which something was cut. */
  function endDoomed(): void {
    cutsInTurn = 0
    for (const [exchange, refusal] of doomed) {
      if (cutsInTurn === CUTS_PER_TURN) return
      doomed.delete(exchange)
      end(exchange, refusal)
    }
  }

  function isLongLived({ heldAtMs }: Held, atMs: number): boolean {
    return atMs - heldAtMs >= LONG_LIVED_MS
  }

  /** To be checked again at the next sweep. */
  function suspect(entry: Held): void {
    entry.doubtedAtMs ??= monotonicMs()
    doubted.add(entry)
  }

  function doubt(entry: Held): void {
    suspect(entry)
    enqueue(entry)
  }

  function doubtOverdue(): void {
    const atMs = nowMs()
    nextDueAtMs = Number.POSITIVE_INFINITY
    for (const entry of held.values()) {
      if (entry.dueAtMs <= atMs) doubt(entry)
      else nextDueAtMs = Math.min(nextDueAtMs, entry.dueAtMs)
    }
  }

  function enqueue(entry: Held): void {
    if (entry.isQueued || entry.isRechecking) return
    entry.isQueued = true
    queue.push(entry)
  }

  function pump(): void {
    while (rechecksUnderWay < RECHECKS_MAX && queueAt < queue.length) {
      if (rechecksInTurn === RECHECKS_PER_TURN) return
      const entry = queue[queueAt++]!
      entry.isQueued = false
      if (doubted.has(entry) || outdated.has(entry)) void recheck(entry)
    }
    if (queueAt < queue.length) return
    queue = []
    queueAt = 0
  }

  async function recheck(entry: Held): Promise<void> {
    if (rechecksInTurn++ === 0) setImmediate(goOn)
    rechecksUnderWay++
    entry.isRechecking = true
    entry.isTouched = false
    const isOutdated = outdated.delete(entry) && !doubted.has(entry)
    let found: Rechecked | Refusal = STALE
    try {
      found = await deps.recheck(entry.exchange.plan, nowMs())
    } catch (error) {
      fault(error)
    }
    rechecksUnderWay--
    entry.isRechecking = false
    if (held.get(entry.exchange) === entry) conclude(entry, found, isOutdated)
    pump()
  }

  /** In the next turn of the event loop after each in which something was checked again. */
  function goOn(): void {
    rechecksInTurn = 0
    pump()
  }

  /** Whatever is not settled here stays in doubt: the next sweep asks again, until the bound has passed. */
  function conclude(entry: Held, found: Rechecked | Refusal, isOutdated: boolean): void {
    if (found instanceof Refusal) {
      const reason = isOutdated ? 'policy.changed' : 'principal.revoked'
      if (REASONS[found.reason] === 'cannot-decide') suspect(entry)
      else cut(entry.exchange, new Refusal(reason, { log: found.reason }))
      return
    }
    if (revocations !== null && isDead(found.proofs)) {
      if (isEnded(found.proofs)) cut(entry.exchange, REVOKED)
      else if (entry.isTouched) doubt(entry)
      else suspect(entry)
      return
    }
    byName.delete(entry)
    entry.proofs = found.proofs
    byName.add(entry)
    entry.dueAtMs = dueAtMsOf(found.principal)
    nextDueAtMs = Math.min(nextDueAtMs, entry.dueAtMs)
    entry.doubtedAtMs = null
    doubted.delete(entry)
    release()
  }

  function dueAtMsOf(principal: Principal | null): number {
    return Math.max(principal?.expiresAtMs ?? Number.POSITIVE_INFINITY, nowMs() + OVERDUE_MS)
  }

  /** What was let in while the log could be read must not go on without it: entries may be missed from here on. */
  async function regainTouch(log: Revocations): Promise<void> {
    if (isCatchingUp) return
    isCatchingUp = true
    const isKnown = await log.catchUp()
    isCatchingUp = false
    if (isKnown || log.isFresh(TOUCH_MS)) return release()
    for (const exchange of all()) {
      if (exchange.plan.proofs.length > 0) cut(exchange, STALE)
    }
  }
}
