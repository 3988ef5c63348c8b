/**
 * A node's own copy of the revocation log. The database is read again and again, whatever the carrier says; the carrier only
 * makes it sooner. A copy that may lack an entry is never asked: it is old, and says so (SECURITY rule 19).
 */

import type { Carrier, Revocations, RevokedNames } from '../ports.ts'
import { decodeEntry, type LogEntry } from './entry.ts'
import { createLiveSet } from './live-set.ts'
import type { LogReader, LogRow, LogSeal, Written } from './log.ts'
import { EVERYTHING } from './names.ts'
import { type LogHead, type LogSource, type Reading, readAll, readOn } from './reading.ts'
import { within } from './within.ts'

export interface FollowerStatus {
  readonly sequence: number
  /** Since the start of the last complete read. */
  readonly ageMs: number
  /** Entries that are alive. */
  readonly size: number
  readonly badSeals: number
  /** Times that entries were missing, and everything was read anew. */
  readonly gaps: number
  /** Times that the log was found older than it had been. */
  readonly rewinds: number
  /** Did the carrier take what this node published last? True before there was anything; false without a carrier. */
  readonly isCarried: boolean
}

export interface Follower extends Revocations {
  /** The first complete read. Rejects when there can be none: nothing may be served without it. */
  start(): Promise<void>
  /**
   * What this node wrote and has committed: it takes effect here at once and is passed on. True when the carrier took it,
   * or there is nobody else to tell. Waits at most 200 ms; never rejects.
   */
  commit(written: readonly Written[]): Promise<boolean>
  status(): FollowerStatus
  close(): void
}

export interface FollowerOptions {
  readonly reader: LogReader
  readonly seal: LogSeal
  readonly carrier: Carrier | null
  /** No other process reads this log, so a carrier is not missed. */
  readonly isAlone: boolean
  readonly maxStalenessMs: number
  /** How often the database is read; at least each half of `maxStalenessMs`, whatever this says. */
  readonly pollMs: number
  readonly nowMs: () => number
  readonly monotonicMs: () => number
  readonly log: (error: unknown) => void
  /**
   * The log is older than it was, as when a copy from before was put in its place. Asks for an `end` of everything with a
   * number above `reached`, because what was remembered under the lost numbers must stay dead when they are given again.
   * Asked again until one is there; until then nothing is fresh.
   */
  readonly onRewind: (reached: number) => void
}

const CATCH_UP_MS = 250
const PUBLISH_MS = 200
const EXPIRE_EVERY_MS = 60_000
const SAY_EVERY_MS = 10_000
/** What an untrusted carrier asks for costs no more than one read in this time. */
const READ_SPACING_MS = 50
const RETRY_MS = 250
const REWIND_EVERY_MS = 1000
const MESSAGE_CHARS_MAX = 65_536
/** Entries that were carried here and have not been read yet. More of them wait for the read. */
const CARRIED_MAX = 10_000

interface Moment {
  readonly monotonicMs: number
  readonly wallMs: number
}

export function createFollower(options: FollowerOptions): Follower {
  const { seal, carrier, maxStalenessMs, nowMs, monotonicMs } = options
  const source: LogSource = { read: (from) => options.reader.read(from), open }
  const pollMs = Math.min(options.pollMs, maxStalenessMs / 2)
  const listeners = new Set<(batch: RevokedNames) => void>()
  const counts = { badSeals: 0, gaps: 0, rewinds: 0 }
  const saidAtMs = new Map<string, number>()
  let live = createLiveSet()
  let isLoaded = false
  /** The newest entry that was read. A read begins there, and so finds what others wrote in another log before our own. */
  let head: LogHead = { sequence: 0, text: null }
  /** Moved by what was read or committed here, never by what was carried: a replay out of a log that is no more has good seals too. */
  let reached = 0
  /** What was committed here and has not been read yet. */
  const own = new Map<number, Written>()
  /** Proofs from before this number were made while entries were missing. */
  let floor = 0
  /** Number that a log had reached which is no more; null while the log is the one that is known. */
  let rewoundFrom: number | null = null
  /** What was carried here is believed until a read that began later says what is true. */
  const carried = new Map<number, LogEntry>()
  let ahead = createLiveSet()
  let readAt: Moment = { monotonicMs: Number.NEGATIVE_INFINITY, wallMs: Number.NEGATIVE_INFINITY }
  let beganAtMs = Number.NEGATIVE_INFINITY
  let isReading = false
  /** The read that has not begun, for all who ask meanwhile. */
  let next: PromiseWithResolvers<boolean> | null = null
  let soonAtMs = Number.NEGATIVE_INFINITY
  let askedAtMs = Number.NEGATIVE_INFINITY
  let isCarried = carrier !== null
  let isClosed = false
  let pollTimer: ReturnType<typeof setTimeout> | undefined
  let soonTimer: ReturnType<typeof setTimeout> | undefined
  let expireTimer: ReturnType<typeof setInterval> | undefined

  return {
    get sequence() {
      return reached
    },
    isDead(proof) {
      // A number from ahead of us belongs to a log that is no more, or that we do not know yet.
      if (rewoundFrom !== null || proof.sequence < floor || proof.sequence > reached) return true
      return live.isDead(proof) || (carried.size > 0 && ahead.isDead(proof))
    },
    isEnded: (proof) => live.isEnded(proof) || (carried.size > 0 && ahead.isEnded(proof)),
    isFresh(marginMs = 0) {
      const limitMs = maxStalenessMs - marginMs
      // By both clocks: one stands still while the machine sleeps, and the other can be set.
      if (monotonicMs() - readAt.monotonicMs > limitMs || nowMs() - readAt.wallMs > limitMs) return false
      return rewoundFrom === null
    },
    catchUp: () => within(readAfterNow(), CATCH_UP_MS, false),
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async start() {
      beganAtMs = monotonicMs()
      await readLog()
      expireTimer = setInterval(() => live.expire(nowMs()), EXPIRE_EVERY_MS)
      carrier?.subscribe(receive, readSoon)
      poll(true)
    },
    async commit(written) {
      takeOwn(written)
      if (carrier === null) return options.isAlone
      const published = carrier.publish(written.map(({ row }) => JSON.stringify(row))).then(
        () => true,
        () => false,
      )
      isCarried = await within(published, PUBLISH_MS, false)
      return isCarried
    },
    status: () => ({
      sequence: reached,
      ageMs: Math.max(monotonicMs() - readAt.monotonicMs, nowMs() - readAt.wallMs),
      size: live.size,
      ...counts,
      isCarried,
    }),
    close() {
      isClosed = true
      clearTimeout(pollTimer)
      clearTimeout(soonTimer)
      clearInterval(expireTimer)
    },
  }

  // When to read

  function poll(isKnown: boolean): void {
    if (isClosed) return
    const waitMs = (isKnown ? pollMs : Math.min(pollMs, RETRY_MS)) - (monotonicMs() - beganAtMs)
    pollTimer = setTimeout(() => readAfterNow().then(poll), Math.max(waitMs, READ_SPACING_MS))
  }

  function readSoon(): void {
    if (isClosed || soonTimer !== undefined) return
    const waitMs = soonAtMs + READ_SPACING_MS - monotonicMs()
    if (waitMs > 0) {
      soonTimer = setTimeout(() => {
        soonTimer = undefined
        readSoon()
      }, waitMs)
      return
    }
    soonAtMs = monotonicMs()
    void readAfterNow()
  }

  /** One read at a time. One under way may have begun before what is asked about, so all who ask meanwhile share the next. */
  function readAfterNow(): Promise<boolean> {
    next ??= Promise.withResolvers<boolean>()
    const { promise } = next
    if (!isReading) void readWhileAsked()
    return promise
  }

  async function readWhileAsked(): Promise<void> {
    isReading = true
    while (next !== null) {
      const { resolve } = next
      next = null
      resolve(await attempt())
    }
    isReading = false
  }

  async function attempt(): Promise<boolean> {
    if (isClosed) return false
    beganAtMs = monotonicMs()
    try {
      return await readLog()
    } catch (error) {
      say('read', error)
      return false
    }
  }

  // What to make of it

  async function readLog(): Promise<boolean> {
    const began: Moment = { monotonicMs: monotonicMs(), wallMs: nowMs() }
    const carriedBefore = [...carried.keys()]
    if (isLoaded && rewoundFrom === null) {
      const found = await readOn(source, head, own, reached)
      if (typeof found !== 'string') return accept(found, began, carriedBefore, false)
      if (found === 'rewound') rewind()
      else lose()
    }
    return accept(await readAll(source), began, carriedBefore, isLoaded)
  }

  function rewind(): void {
    counts.rewinds += 1
    rewoundFrom = reached
    own.clear()
    say('rewind', new Error('the revocation log is older than it was: everything that was issued so far ends'))
  }

  function lose(): void {
    counts.gaps += 1
    const what =
      'entries of the revocation log are missing: all of it is read again, and what was remembered is dropped'
    say('gap', new Error(what))
  }

  /** False while the log that was read does not make up for the one that is no more. */
  function accept(found: Reading, began: Moment, carriedBefore: readonly number[], isAnew: boolean): boolean {
    if (rewoundFrom !== null) {
      // The numbers of the other log mean something else, so nothing of the old one is kept.
      live = createLiveSet()
      live.apply([...own.values()].map(({ entry }) => entry)) // committed since, and so of the new log
      reached = 0
    }
    head = found.head
    reached = Math.max(reached, head.sequence)
    const news = found.entries.filter(({ sequence }) => !own.has(sequence))
    for (const sequence of own.keys()) if (sequence <= head.sequence) own.delete(sequence)
    if (isAnew) floor = found.head.sequence
    const isWidened = live.apply(found.entries)
    settleCarried(carriedBefore)
    isLoaded = true
    const isMadeUpFor = rewoundFrom === null || found.entries.some((entry) => isEndOfAll(entry, rewoundFrom!))
    if (!isMadeUpFor) askForEndOfAll(rewoundFrom!)
    else {
      rewoundFrom = null
      readAt = began
    }
    if (isAnew || isWidened) tell(null)
    else if (news.length > 0) tell(namesOf(news))
    return isMadeUpFor
  }

  function askForEndOfAll(above: number): void {
    if (monotonicMs() - askedAtMs < REWIND_EVERY_MS) return
    askedAtMs = monotonicMs()
    options.onRewind(above)
  }

  function settleCarried(before: readonly number[]): void {
    if (before.length === 0) return
    for (const sequence of before) carried.delete(sequence)
    ahead = createLiveSet()
    ahead.apply([...carried.values()])
  }

  function takeOwn(written: readonly Written[]): void {
    const entries = written.map(({ entry }) => entry)
    const isWidened = live.apply(entries)
    for (const one of written) if (!own.has(one.entry.sequence)) own.set(one.entry.sequence, one)
    tell(isWidened ? null : namesOf(entries))
    // Others wrote in between, or these numbers were given before: either way there is something to read.
    if (entries[0]?.sequence === reached + 1 && rewoundFrom === null) reached += entries.length
    else readSoon()
  }

  function receive(message: string): void {
    const row = message.length > MESSAGE_CHARS_MAX ? null : parseRow(message)
    if (row !== null && (row.sequence <= reached || carried.has(row.sequence))) return
    const entry = row === null ? null : openRow(row)
    if (entry === null) {
      counts.badSeals += 1
      say('carrier', new Error('the carrier brought an entry with a bad seal, which was dropped'))
      return
    }
    if (carried.size < CARRIED_MAX) {
      carried.set(entry.sequence, entry)
      tell(ahead.apply([entry]) ? null : namesOf([entry]))
    }
    readSoon()
  }

  function open(row: LogRow): LogEntry {
    const entry = openRow(row)
    if (entry !== null) return entry
    counts.badSeals += 1
    throw new Error(`entry ${row.sequence} of the revocation log has a bad seal`)
  }

  function openRow(row: LogRow): LogEntry | null {
    const entry = seal.isSealed(row.entry, row.seal) ? decodeEntry(row.entry) : null
    return entry?.sequence === row.sequence ? entry : null
  }

  function tell(batch: RevokedNames): void {
    for (const listener of listeners) {
      try {
        listener(batch)
      } catch (error) {
        options.log(error)
      }
    }
  }

  /** What goes on for long is said now and then. */
  function say(topic: string, error: unknown): void {
    const atMs = monotonicMs()
    if (atMs - (saidAtMs.get(topic) ?? Number.NEGATIVE_INFINITY) < SAY_EVERY_MS) return
    saidAtMs.set(topic, atMs)
    options.log(error)
  }
}

function namesOf(entries: readonly LogEntry[]): RevokedNames {
  if (entries.some(({ name }) => name === EVERYTHING)) return null
  return new Set(entries.map(({ name }) => name))
}

function isEndOfAll({ effect, name, sequence }: LogEntry, above: number): boolean {
  return effect === 'end' && name === EVERYTHING && sequence > above
}

function parseRow(message: string): LogRow | null {
  try {
    const row = JSON.parse(message) as Partial<LogRow> | null
    if (typeof row?.sequence !== 'number' || typeof row.entry !== 'string' || typeof row.seal !== 'string') return null
    return { sequence: row.sequence, entry: row.entry, seal: row.seal }
  } catch {
    return null
  }
}
