/** A revocation log that a test writes by hand: entries take effect at once, and its freshness is whatever the test says. */

import type { Revocations, RevokedNames } from '../../ports.ts'
import type { RevocationEffect } from '../../revocation/entry.ts'
import { createLiveSet } from '../../revocation/live-set.ts'
import { EVERYTHING } from '../../revocation/names.ts'

export interface ScriptedRevocations extends Revocations {
  /** Writes one entry, as if it had been committed and applied. */
  revoke(name: string, effect?: RevocationEffect, notBeforeMs?: number): void
  /** As the carrier may do: marks a name with a number that no complete read has reached yet. */
  announce(name: string): void
  readonly state: { isFresh: boolean; canCatchUp: boolean; reads: number }
}

export function scriptedRevocations(): ScriptedRevocations {
  const live = createLiveSet()
  const state = { isFresh: true, canCatchUp: true, reads: 0 }
  let head = 0
  let announced = 0
  const listeners = new Set<(batch: RevokedNames) => void>()
  const apply = (sequence: number, name: string, effect: RevocationEffect, notBeforeMs: number): void => {
    live.apply([{ sequence, id: `${sequence}`, effect, name, notBeforeMs, expiresAtMs: Infinity, subject: null }])
    for (const listener of listeners) listener(name === EVERYTHING ? null : new Set([name]))
  }
  return {
    state,
    get sequence() {
      return head
    },
    isDead: live.isDead,
    isEnded: live.isEnded,
    isFresh: () => state.isFresh,
    async catchUp() {
      state.reads += 1
      if (!state.canCatchUp) return false
      head = Math.max(head, announced)
      state.isFresh = true
      return true
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    revoke(name, effect = 'refresh', notBeforeMs = 0) {
      head = Math.max(head, announced) + 1
      apply(head, name, effect, notBeforeMs)
    },
    announce(name) {
      announced = Math.max(head, announced) + 1
      apply(announced, name, 'refresh', 0)
    },
  }
}
