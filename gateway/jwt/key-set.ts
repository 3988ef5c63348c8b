/**
 * A key set as it was read: the keys of one issuer that may verify, imported and ready. A key that may not is named to the
 * operator, and the others still serve.
 */

import { type CryptoKey, calculateJwkThumbprint, importJWK, type JWK } from 'jose'
import { isObject } from '../http/json.ts'
import { judgeKey, KID_CHARS_MAX } from './key-strength.ts'

export interface VerificationKey {
  readonly kid: string | null
  /** By algorithm, each import for itself. */
  readonly byAlgorithm: ReadonlyMap<string, CryptoKey>
  /** Tells keys of equal `kid` apart. */
  readonly id: string
}

export interface KeySet {
  readonly keys: readonly VerificationKey[]
  /** One text for each key that was left out, for the operator. */
  readonly refused: readonly string[]
}

/** What a token may ask: at once from memory, or after one read of the issuer's set. */
export type KeyMatch = 'unknown-kid' | 'wrong-algorithm' | 'ambiguous' | readonly VerificationKey[]

export const EMPTY_SET: KeySet = Object.freeze({ keys: Object.freeze([]), refused: Object.freeze([]) })

/** An issuer has a few; each one is imported when the set is read. */
const KEYS_MAX = 64
/** Each of them may be tried for one token. */
const KEYS_PER_KID_MAX = 4

/** Null for what is no key set at all (RFC 7517 §5). */
export async function readKeySet(set: unknown, algorithms: readonly string[]): Promise<KeySet | null> {
  if (!isObject(set) || !Array.isArray(set['keys'])) return null
  const jwks = set['keys'] as readonly unknown[]
  const keys: VerificationKey[] = []
  const refused: string[] = []
  for (const jwk of jwks.slice(0, KEYS_MAX)) {
    const key = isObject(jwk) ? await readKey(jwk as JWK, algorithms) : 'it is no object'
    const isCrowded =
      typeof key !== 'string' && keys.filter((other) => other.kid === key.kid).length >= KEYS_PER_KID_MAX
    if (typeof key === 'string') refused.push(`key ${nameFor(jwk)}: ${key}`)
    else if (isCrowded) refused.push(`key ${nameFor(jwk)}: more than ${KEYS_PER_KID_MAX} share its kid`)
    else keys.push(key)
  }
  if (jwks.length > KEYS_MAX) refused.push(`${jwks.length - KEYS_MAX} keys beyond the first ${KEYS_MAX}`)
  return { keys, refused }
}

/** Keys that a token with this header may have been signed with. Without a `kid`, exactly one must fit. */
export function matchKeys({ keys }: KeySet, alg: string, kid: string | null): KeyMatch {
  const named = kid === null ? keys : keys.filter((key) => key.kid === kid)
  if (named.length === 0) return 'unknown-kid'
  const fitting = named.filter((key) => key.byAlgorithm.has(alg))
  if (fitting.length === 0) return kid === null ? 'unknown-kid' : 'wrong-algorithm'
  return kid === null && fitting.length > 1 ? 'ambiguous' : fitting
}

async function readKey(jwk: JWK, accepted: readonly string[]): Promise<VerificationKey | string> {
  const judged = judgeKey(jwk, accepted)
  if ('fault' in judged) return judged.fault
  const byAlgorithm = new Map<string, CryptoKey>()
  try {
    for (const alg of judged.algorithms) {
      const key = await importJWK(publicMembers(jwk), alg, { extractable: false })
      if (key instanceof Uint8Array || key.type !== 'public') return 'it is not public'
      byAlgorithm.set(alg, key)
    }
    const kid = jwk.kid ?? null
    return { kid, byAlgorithm, id: JSON.stringify([kid, await calculateJwkThumbprint(jwk), judged.algorithms]) }
  } catch {
    return 'it cannot be imported, as when its point is not on the curve'
  }
}

/** RFC 7518 §6: what the mathematics needs, and nothing that came with it. */
function publicMembers({ kty, crv, x, y, n, e }: JWK): JWK {
  return Object.fromEntries(Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined)) as JWK
}

function nameFor(jwk: unknown): string {
  const kid = isObject(jwk) ? jwk['kid'] : undefined
  return typeof kid === 'string' ? JSON.stringify(kid.slice(0, KID_CHARS_MAX)) : 'without kid'
}
