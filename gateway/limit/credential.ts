/** The limit a credential brings with it, such as an API key's own, where it stands alone: at the admin API. Routes count it with theirs. */

import type { Authentication, Refusal, Soon } from '../model.ts'
import type { Counters } from '../ports.ts'
import { refusalOf, unavailable } from './charge.ts'

/** Null when the request is within the limit, or when its credential has none. */
export function limitCredential(
  counters: Counters,
  { principal, rate }: Authentication,
  nowMs: number,
): Soon<Refusal | null> {
  if (rate === null || principal === null) return null
  const consumed = counters.consume(credentialKey(principal.keyId), rate, nowMs)
  if (!(consumed instanceof Promise)) return refusalOf(consumed, 'key.limit')
  return consumed.then((later) => refusalOf(later, 'key.limit'), unavailable)
}

/** One count, whichever door the key comes to. */
export function credentialKey(keyId: string | null): string {
  return `key:${keyId}`
}
