/**
 * The entries that are alive, in memory: the one thing the hot path asks. Nothing is ever evicted; at the cap what was
 * named singly is revoked more widely instead, so a flood of entries costs comfort and never safety (SECURITY rule 22).
 */

import type { Proof } from '../model.ts'
import type { LogEntry } from './entry.ts'
import { EVERYTHING, isByTime, nameOf } from './names.ts'

export interface LiveSet {
  /** Entries may come in any order and more than once. True when, at the cap, more was revoked than they name. */
  apply(entries: readonly LogEntry[]): boolean
  isDead(proof: Proof): boolean
  isEnded(proof: Proof): boolean
  /** Forgets entries whose end has come. */
  expire(nowMs: number): void
  readonly size: number
}

interface Mark {
  /** Number of the newest entry of this name. */
  sequence: number
  /** Issued up to here is dead; -Infinity while no entry ended it. */
  endedToMs: number
  expiresAtMs: number
  /** Of a token: whom to cut off in its place. */
  subject: string | null
}

/** An entry takes some 200 bytes. */
const MARKS_MAX = 100_000
/** At the cap room is made for many at once, so that a flood does not pay for it with each entry. */
const ROOMY = 0.9

export function createLiveSet(marksMax = MARKS_MAX): LiveSet {
  const marks = new Map<string, Mark>()
  const everything: Mark = newMark(null)
  /** Everything remembered before this number must be verified again; it ends nothing. */
  let refreshedTo = 0
  /** Number of the newest entry of all: what was verified since is alive, whatever its names. */
  let newest = 0

  return {
    apply(entries) {
      let isWidened = false
      for (const entry of entries) isWidened = applyOne(entry) || isWidened
      return isWidened
    },
    isDead(proof) {
      if (newest <= proof.sequence) return false
      if (everything.sequence > proof.sequence || refreshedTo > proof.sequence) return true
      // Asked several times for each request.
      const { names, sequence } = proof
      for (let at = 0; at < names.length; at++) {
        const mark = marks.get(names[at]!)
        if (mark !== undefined && mark.sequence > sequence) return true
      }
      return false
    },
    isEnded(proof) {
      const issuedAtMs = proof.issuedAtMs ?? Number.NEGATIVE_INFINITY
      if (hasEnded(everything, issuedAtMs)) return true
      for (const name of proof.names) {
        const mark = marks.get(name)
        if (mark === undefined || mark.endedToMs === Number.NEGATIVE_INFINITY) continue
        if (!isByTime(name) || hasEnded(mark, issuedAtMs)) return true
      }
      return false
    },
    expire(nowMs) {
      for (const [name, mark] of marks) if (mark.expiresAtMs <= nowMs) marks.delete(name)
    },
    get size() {
      return marks.size
    },
  }

  function applyOne(entry: LogEntry): boolean {
    newest = Math.max(newest, entry.sequence)
    const known = entry.name === EVERYTHING ? everything : marks.get(entry.name)
    if (known !== undefined) {
      merge(known, entry)
      return false
    }
    const isFull = marks.size >= marksMax
    if (isFull) makeRoom()
    const mark = newMark(entry.subject)
    merge(mark, entry)
    marks.set(entry.name, mark)
    return isFull
  }

  /**
   * First what is only to be read again, for everybody; then tokens by their subjects; then everything that was issued so far.
   * A `kid` stays: whoever holds a stolen key dates tokens as they like, so no end by time covers it. They are few.
   */
  function makeRoom(): void {
    const roomy = marksMax * ROOMY
    for (const [name, mark] of marks) {
      if (mark.endedToMs !== Number.NEGATIVE_INFINITY) continue
      refreshedTo = Math.max(refreshedTo, mark.sequence)
      marks.delete(name)
    }
    if (marks.size <= roomy) return
    for (const [name, mark] of marks) {
      if (mark.subject === null || !name.startsWith('token:')) continue
      marks.delete(name)
      widen(marks.get(nameOf.subject(mark.subject)) ?? addSubject(mark.subject), mark)
    }
    if (marks.size <= roomy) return
    for (const [name, mark] of marks) {
      if (name.startsWith('kid:')) continue
      marks.delete(name)
      widen(everything, mark)
    }
  }

  function addSubject(subject: string): Mark {
    const mark = newMark(null)
    marks.set(nameOf.subject(subject), mark)
    return mark
  }
}

function newMark(subject: string | null): Mark {
  return { sequence: 0, endedToMs: Number.NEGATIVE_INFINITY, expiresAtMs: Number.NEGATIVE_INFINITY, subject }
}

function merge(mark: Mark, entry: LogEntry): void {
  mark.sequence = Math.max(mark.sequence, entry.sequence)
  mark.expiresAtMs = Math.max(mark.expiresAtMs, entry.expiresAtMs)
  // Where two say differently whose it is, nobody knows.
  if (mark.subject !== entry.subject) mark.subject = null
  if (entry.effect === 'end') mark.endedToMs = Math.max(mark.endedToMs, entry.notBeforeMs)
}

/** `to` revokes what `from` did, and more. */
function widen(to: Mark, from: Mark): void {
  to.sequence = Math.max(to.sequence, from.sequence)
  to.expiresAtMs = Math.max(to.expiresAtMs, from.expiresAtMs)
  to.endedToMs = Math.max(to.endedToMs, from.endedToMs)
}

/** What nobody dates was issued before any end, but only where there is one. */
function hasEnded(mark: Mark, issuedAtMs: number): boolean {
  return mark.endedToMs !== Number.NEGATIVE_INFINITY && issuedAtMs <= mark.endedToMs
}
