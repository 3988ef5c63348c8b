/** The limit a credential brings with it, such as an API key's own: counted once the request is allowed, whoever else shares its owner. */

import type { Authentication, Refusal, Soon } from '../model.ts'
import type { Counters } from '../ports.ts'
import { charge } from './charge.ts'

/** Null when the request is within the limit, or when its credential has none. */
export function limitCredential(
  counters: Counters,
  { principal, rate }: Authentication,
  nowMs: number,
): Soon<Refusal | null> {
  if (rate === null || principal === null) return null
  return charge(counters, `key:${principal.keyId}`, rate, nowMs, 'key.limit')
}
