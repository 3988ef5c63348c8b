/**
 * A node's own copy of the revocation log. The database is read again and again, whatever the carrier says; the carrier only
 * makes it sooner. A copy that may lack an entry is never asked: it is old, and says so (SECURITY rule 19).
 */

import type { Proof } from '../model.ts'
import type { Carrier, Revocations, RevokedNames } from '../ports.ts'
import { decodeEntry, type LogEntry } from './entry.ts'
import { createLiveSet } from './live-set.ts'
import type { LogReader, LogRow, LogSeal, Written } from './log.ts'
import { EVERYTHING } from './names.ts'
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
  /** How often the database is read; half of `maxStalenessMs` or less. */
  readonly pollMs: number
  readonly nowMs: () => number
  readonly monotonicMs: () => number
  readonly log: (error: unknown) => void
  /** The log is older than it was: a copy from before was put in its place. */
  readonly onRewind: () => void
}

const CATCH_UP_MS = 250
const PUBLISH_MS = 200
const EXPIRE_EVERY_MS = 60_000
const SAY_EVERY_MS = 10_000

/** What one complete read found out. */
interface Reading {
  readonly head: number
  /** Text of the newest entry; null while there is none. */
  readonly headText: string | null
  readonly entries: readonly LogEntry[]
  /** `anew`: all of it, because entries were missing. `other`: all of it, because it is another log than it was. */
  readonly kind: 'first' | 'more' | 'anew' | 'other'
}

export function createFollower(options: FollowerOptions): Follower {
  const { reader, seal, carrier, maxStalenessMs, nowMs, monotonicMs } = options
  const listeners = new Set<(batch: RevokedNames) => void>()
  let live = createLiveSet()
  let isLoaded = false
  let head = 0
  let headText: string | null = null
  /** Proofs from before this number were made while entries were missing. */
  let floor = 0
  /** Entries that are known before those that stand between them and the head. */
  const ahead = new Map<number, { readonly entry: LogEntry; readonly text: string }>()
  let readAtMonotonicMs = Number.NEGATIVE_INFINITY
  let readAtWallMs = Number.NEGATIVE_INFINITY
  let running: Promise<boolean> | null = null
  let waiting: Promise<boolean> | null = null
  /** Until all of the other log has been read. */
  let isRewound = false
  let isClosed = false
  const saidAtMs = new Map<string, number>()
  const counts = { badSeals: 0, gaps: 0, rewinds: 0 }
  let pollTimer: ReturnType<typeof setTimeout> | undefined
  const expireTimer = setInterval(() => live.expire(nowMs()), EXPIRE_EVERY_MS)

  return {
    get sequence() {
      return head
    },
    isDead(proof) {
      // A number from ahead of us belongs to a log that is no more.
      return proof.sequence < floor || proof.sequence > head || live.isDead(proof)
    },
    isEnded: (proof: Proof) => live.isEnded(proof),
    isFresh,
    catchUp: () => within(readAfterNow(), CATCH_UP_MS, false),
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async start() {
      const { reading, startedAtMonotonicMs, startedAtWallMs } = await readLog()
      accept(reading, startedAtMonotonicMs, startedAtWallMs)
      carrier?.subscribe(receive, () => void readAfterNow())
      poll()
    },
    async commit(written) {
      take(written.map(({ entry, row }) => ({ entry, text: row.entry })))
      if (carrier === null) return options.isAlone
      const published = carrier.publish(written.map(({ row }) => JSON.stringify(row))).then(
        () => true,
        () => false,
      )
      return within(published, PUBLISH_MS, false)
    },
    status: () => ({ sequence: head, ageMs: ageMs(), size: live.size, ...counts }),
    close() {
      isClosed = true
      clearTimeout(pollTimer)
      clearInterval(expireTimer)
    },
  }

  /** By both clocks: one stands still while the machine sleeps, and the other can be set. */
  function ageMs(): number {
    return Math.max(monotonicMs() - readAtMonotonicMs, nowMs() - readAtWallMs)
  }

  function isFresh(marginMs = 0): boolean {
    const limitMs = maxStalenessMs - marginMs
    return monotonicMs() - readAtMonotonicMs <= limitMs && nowMs() - readAtWallMs <= limitMs
  }

  function poll(): void {
    if (isClosed) return
    pollTimer = setTimeout(() => {
      readAfterNow().then(poll)
    }, options.pollMs)
  }

  /** One read at a time. One under way may have begun before what is asked about, so those who ask meanwhile share the next. */
  function readAfterNow(): Promise<boolean> {
    if (running === null) return begin()
    waiting ??= running.then(begin)
    return waiting
  }

  function begin(): Promise<boolean> {
    waiting = null
    running = attempt().finally(() => {
      running = null
    })
    return running
  }

  async function attempt(): Promise<boolean> {
    if (isClosed) return false
    try {
      const { reading, startedAtMonotonicMs, startedAtWallMs } = await readLog()
      accept(reading, startedAtMonotonicMs, startedAtWallMs)
      return true
    } catch (error) {
      say('read', error)
      return false
    }
  }

  async function readLog() {
    const startedAtMonotonicMs = monotonicMs()
    const startedAtWallMs = nowMs()
    const reading = (isLoaded && !isRewound ? await readOn() : null) ?? (await readAll())
    return { reading, startedAtMonotonicMs, startedAtWallMs }
  }

  /** From the newest entry that is known, which must still be there and be the same. Null when the log is not what it was. */
  async function readOn(): Promise<Reading | null> {
    const knownHead = head
    const knownText = headText
    const entries: LogEntry[] = []
    let text = knownText
    let expected = Math.max(1, knownHead)
    for (;;) {
      const page = await reader.read(expected)
      if (page.head < knownHead) return rewound()
      for (const row of page.rows) {
        const entry = open(row)
        if (row.sequence !== expected) return missing()
        if (row.sequence > knownHead) entries.push(entry)
        else if (row.entry !== knownText) return rewound()
        text = row.entry
        expected += 1
      }
      if (!page.isComplete) continue
      return page.head === expected - 1 ? { head: page.head, headText: text, entries, kind: 'more' } : missing()
    }
  }

  function rewound(): null {
    counts.rewinds += 1
    isRewound = true
    say('rewind', new Error('the revocation log is older than it was: everything that was issued so far ends'))
    return null
  }

  function missing(): null {
    counts.gaps += 1
    say(
      'gap',
      new Error(
        'entries of the revocation log are missing: all of it is read again, and what was remembered is dropped',
      ),
    )
    return null
  }

  /** All that is there. Entries whose end has come may be missing, but not the newest. */
  async function readAll(): Promise<Reading> {
    const entries: LogEntry[] = []
    let text: string | null = null
    for (let from = 0; ; from = entries.at(-1)!.sequence + 1) {
      const page = await reader.read(from)
      for (const row of page.rows) {
        entries.push(open(row))
        text = row.entry
      }
      if (!page.isComplete) continue
      const newest = entries.at(-1)?.sequence ?? 0
      if (newest !== page.head) throw new Error('the newest entry of the revocation log is missing')
      return { head: newest, headText: text, entries, kind: isRewound ? 'other' : isLoaded ? 'anew' : 'first' }
    }
  }

  /** Throws for a row that this gateway did not write: then nobody knows what the log says. */
  function open(row: LogRow): LogEntry {
    const entry = seal.isSealed(row.entry, row.seal) ? decodeEntry(row.entry) : null
    if (entry !== null && entry.sequence === row.sequence) return entry
    counts.badSeals += 1
    throw new Error(`entry ${row.sequence} of the revocation log has a bad seal`)
  }

  function accept(reading: Reading, startedAtMonotonicMs: number, startedAtWallMs: number): void {
    const { kind, entries } = reading
    if (kind === 'other') {
      // The numbers of the other log mean something else, so nothing of the old one is kept.
      live = createLiveSet()
      ahead.clear()
      isRewound = false
    }
    if (kind === 'other' || reading.head > head) {
      head = reading.head
      headText = reading.headText
    }
    if (kind === 'anew' || kind === 'other') floor = reading.head
    isLoaded = true
    const isWidened = live.apply(entries)
    readAtMonotonicMs = startedAtMonotonicMs
    readAtWallMs = startedAtWallMs
    drainAhead()
    if (kind === 'anew' || kind === 'other' || isWidened) tell(null)
    else if (entries.length > 0) tell(namesOf(entries))
    if (kind === 'other') options.onRewind()
  }

  function receive(message: string): void {
    const row = parseRow(message)
    const entry = row !== null && seal.isSealed(row.entry, row.seal) ? decodeEntry(row.entry) : null
    if (row === null || entry === null || entry.sequence !== row.sequence) {
      counts.badSeals += 1
      say('carrier', new Error('the carrier brought an entry with a bad seal, which was dropped'))
      return
    }
    if (isLoaded) take([{ entry, text: row.entry }])
  }

  /** Entries that are known to be committed. What they name is dead at once, also where the entries before them are not known yet. */
  function take(found: readonly { readonly entry: LogEntry; readonly text: string }[]): void {
    const news = found.filter(({ entry }) => entry.sequence > head)
    if (news.length === 0) return
    for (const each of news) ahead.set(each.entry.sequence, each)
    const entries = news.map(({ entry }) => entry)
    const isWidened = live.apply(entries)
    drainAhead()
    tell(isWidened ? null : namesOf(entries))
    if (ahead.size > 0) void readAfterNow()
  }

  function drainAhead(): void {
    for (const sequence of ahead.keys()) if (sequence <= head) ahead.delete(sequence)
    for (let next = ahead.get(head + 1); next !== undefined; next = ahead.get(head + 1)) {
      ahead.delete(next.entry.sequence)
      head = next.entry.sequence
      headText = next.text
    }
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
    const now = monotonicMs()
    if (now - (saidAtMs.get(topic) ?? Number.NEGATIVE_INFINITY) < SAY_EVERY_MS) return
    saidAtMs.set(topic, now)
    options.log(error)
  }
}

function namesOf(entries: readonly LogEntry[]): RevokedNames {
  if (entries.some(({ name }) => name === EVERYTHING)) return null
  return new Set(entries.map(({ name }) => name))
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
