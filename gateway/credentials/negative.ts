/**
 * Credentials that are wrong for good, remembered for moments so that a flood of one costs one verification. Kept apart from
 * what verified, so that no number of forgeries can push out a good one, and never shared (SECURITY rule 24).
 */

import { Refusal } from '../model.ts'
import type { Reason } from '../problem/catalogue.ts'

export interface NegativeEntries {
  get(key: string, nowMs: number): Refusal | undefined
  /** Only for what is final: `isFinal`, or ended by the log. */
  set(key: string, refusal: Refusal, nowMs: number): void
  clear(): void
  readonly size: number
}

/**
 * No later moment and no other state of ours makes these good. Not among them: `nbf`, which time cures; an unknown `kid`
 * or key, which may be made any moment; and whatever could not be told.
 */
const FINAL: ReadonlySet<Reason> = new Set<Reason>([
  'token.malformed',
  'token.signature',
  'token.algorithm',
  'token.type',
  'token.issuer',
  'token.audience',
  'token.claims',
  'token.expired',
  'token.lifetime',
  'token.session-ended', // a session that has ended does not come back
  'key.malformed',
])

const LIFE_MS = 10_000
/** An entry takes some 300 bytes. */
const ENTRIES_MAX = 10_000
/** What a refusal says for the log may come from its sender. */
const TEXT_CHARS_MAX = 200
/** As for good entries: requests are stamped before they are handled. */
const CLOCK_STEP_MS = 1000

interface Entry {
  readonly refusal: Refusal
  readonly foundAtMs: number
}

export function negativeEntries(entriesMax = ENTRIES_MAX): NegativeEntries {
  const entries = new Map<string, Entry>()
  return {
    get(key, nowMs) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      const ageMs = nowMs - entry.foundAtMs
      if (ageMs < LIFE_MS && ageMs >= -CLOCK_STEP_MS) return entry.refusal
      entries.delete(key)
      return undefined
    },
    set(key, refusal, nowMs) {
      entries.delete(key) // re-inserted last, so the first is always the oldest
      entries.set(key, { refusal: shortened(refusal), foundAtMs: nowMs })
      if (entries.size > entriesMax) entries.delete(entries.keys().next().value!)
    },
    clear: () => entries.clear(),
    get size() {
      return entries.size
    },
  }
}

/** False for a refusal that another moment may turn into a pass. */
export function isFinal(refusal: Refusal): boolean {
  return FINAL.has(refusal.reason)
}

function shortened(refusal: Refusal): Refusal {
  const chars = (refusal.detail?.length ?? 0) + (refusal.log?.length ?? 0)
  return chars <= TEXT_CHARS_MAX ? refusal : Object.freeze(new Refusal(refusal.reason))
}
