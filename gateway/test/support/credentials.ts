/** The credential cache on a log and a shared store that a test holds in its hands. */

import type { CacheScope, Verified } from '../../credentials/cache.ts'
import { createCredentialCache } from '../../credentials/engine.ts'
import { createSealer } from '../../identity-provider/sealer.ts'
import { deriveKeys } from '../../identity-provider/secrets.ts'
import { type Authentication, type Principal, Refusal } from '../../model.ts'
import { primitives } from '../../node/crypto.ts'
import type { CredentialStore, Revocations } from '../../ports.ts'
import { nameOf } from '../../revocation/names.ts'
import { scriptedRevocations } from './revocations.ts'

export const NOW_MS = 1_800_000_000_000
export const ENDED = Object.freeze(new Refusal('token.revoked'))
export const SCOPE: CacheScope = { kind: 'jwt', verifier: 'v1', ended: ENDED }

/** What Redis would hold, for a test to read and rewrite. */
export interface OpenStore extends CredentialStore {
  readonly values: Map<string, string>
  readonly lives: Map<string, number>
}

export function openStore(): OpenStore {
  const values = new Map<string, string>()
  const lives = new Map<string, number>()
  return {
    values,
    lives,
    get: async (key) => values.get(key) ?? null,
    set(key, sealed, lifeMs) {
      values.set(key, sealed)
      lives.set(key, lifeMs)
    },
  }
}

export interface NodeOptions<R extends Revocations> {
  readonly store?: CredentialStore | null
  readonly revocations?: R
  readonly secrets?: readonly string[]
  readonly entriesMax?: number
  readonly bytesMax?: number
}

/** One node's cache. Nodes that share a store and a log are of one fleet. */
export function cacheOf(options: NodeOptions<Revocations> = {}) {
  const keys = deriveKeys(primitives, options.secrets ?? ['the first secret, which is long enough'])
  const logged: unknown[] = []
  const cache = createCredentialCache({
    revocations: options.revocations ?? scriptedRevocations(),
    store: options.store ?? null,
    sealer: createSealer(primitives, keys.credentialSeal),
    primitives,
    nameKey: keys.credentialName,
    entriesMax: options.entriesMax ?? 10_000,
    bytesMax: options.bytesMax ?? 16_777_216,
    log: (error) => logged.push(error),
  })
  return Object.assign(cache, { logged })
}

export function principalNamed(subject: string, more: Partial<Principal> = {}): Principal {
  return {
    kind: 'user',
    credential: 'token',
    subject,
    issuer: 'https://issuer.example',
    source: 'ci',
    email: null,
    emailVerified: false,
    name: null,
    roles: ['reader'],
    scopes: [],
    claims: {},
    hasSecondFactor: false,
    groups: [],
    sessionId: null,
    tokenId: null,
    keyId: null,
    authenticatedAtMs: null,
    methods: [],
    expiresAtMs: NOW_MS + 3_600_000,
    ...more,
  }
}

export function verifiedAs(subject: string, more: Partial<Verified> = {}): Verified {
  return {
    principal: principalNamed(subject),
    names: [nameOf.subject(subject)],
    issuedAtMs: NOW_MS - 1000,
    rate: null,
    staleAtMs: NOW_MS + 60_000,
    ...more,
  }
}

/** The subject, or the reason for none. */
export function whoIn(found: Authentication | Refusal): string | null {
  return 'reason' in found ? found.reason : (found.principal?.subject ?? null)
}

/** A verification that ends when the test says so. */
export function held<T>() {
  const waiting: ((value: T) => void)[] = []
  return {
    count: () => waiting.length,
    verify: () => new Promise<T>((resolve) => waiting.push(resolve)),
    release(value: T) {
      for (const resolve of waiting.splice(0)) resolve(value)
    },
  }
}
