/**
 * The keys assertions are signed with: published before they sign and after they have stopped, so that whoever caches the
 * key set always knows the key of what reaches them (SECURITY rule 27).
 */

import { generateSigningKey, importSigningKey, publicPart, type SigningKey } from '../jwt/keys.ts'
import { type KeyStore, openPrivateJwk, type StoredKey, sealPrivateJwk } from './key-store.ts'

/** What `/.well-known/jwks.json` tells caches. */
export const JWKS_MAX_AGE_MS = 300_000
/** How often each node reads the keys again. */
export const RELOAD_MS = 60_000
export const ASSERTION_LIFE_MS = 60_000
const ROTATE_AFTER_MS = 30 * 86_400_000
/** A node may publish the new key one reload late, and a cache may have read the old set just before that. */
const PUBLISH_LEAD_MS = JWKS_MAX_AGE_MS + 2 * RELOAD_MS
/** Far more than clocks of nodes differ, far less than a key serves. */
const CLOCKS_APART_MS = 3_600_000
const KEEP_AFTER_MS = ASSERTION_LIFE_MS + JWKS_MAX_AGE_MS + 2 * RELOAD_MS

export interface SigningKeys {
  /** The key that signs now. Throws when there is none. */
  signerAt(nowMs: number): { readonly kid: string; readonly privateKey: SigningKey }
  publicKeys(): readonly object[]
  /** Reads the keys, adds the next one when it is time, drops what nobody can need. Rejects when the store is down; what was known stays. */
  refresh(nowMs: number): Promise<void>
}

interface LoadedKey {
  readonly kid: string
  readonly activeFromMs: number
  readonly publicJwk: object
  readonly privateKey: SigningKey | null
}

export function createSigningKeys(deps: {
  readonly store: KeyStore
  readonly encryptionKeys: readonly Uint8Array<ArrayBuffer>[]
  readonly withLock: <T>(work: () => Promise<T>) => Promise<T>
  readonly log: (error: unknown) => void
}): SigningKeys {
  const { store, encryptionKeys, withLock, log } = deps
  let loaded: readonly LoadedKey[] = []

  return {
    signerAt(nowMs) {
      for (let at = loaded.length - 1; at >= 0; at -= 1) {
        const { kid, activeFromMs, privateKey } = loaded[at]!
        if (privateKey !== null && activeFromMs <= nowMs) return { kid, privateKey }
      }
      throw new Error('no key can sign assertions')
    },
    publicKeys: () => loaded.map((key) => key.publicJwk),
    async refresh(nowMs) {
      const known = new Map(loaded.map((key) => [key.kid, key]))
      loaded = await load(known)
      if (!isChangeDue(loaded, nowMs)) return
      loaded = await withLock(async () => {
        await change(await load(known), nowMs)
        return load(known)
      })
    },
  }

  async function load(known: ReadonlyMap<string, LoadedKey>): Promise<readonly LoadedKey[]> {
    const stored = await store.list()
    return Promise.all(stored.map((key) => known.get(key.kid) ?? open(key)))
  }

  async function open(key: StoredKey): Promise<LoadedKey> {
    const { kid, activeFromMs } = key
    const publicJwk = publicPart(key.publicJwk, kid)
    const opened = await openPrivateJwk(encryptionKeys, kid, key.sealedPrivateJwk)
    if (opened === null) {
      log(new Error(`assertion key ${kid} was sealed with a secret that is gone; it signs no more`))
      return { kid, activeFromMs, publicJwk, privateKey: null }
    }
    // Sealed again with the newest secret, so that an old one can be dropped one start later.
    if (!opened.isNewest) await store.reseal(kid, await sealPrivateJwk(encryptionKeys, kid, opened.privateJwk))
    return { kid, activeFromMs, publicJwk, privateKey: await importSigningKey(opened.privateJwk) }
  }

  async function change(keys: readonly LoadedKey[], nowMs: number): Promise<void> {
    if (isNextDue(keys, nowMs)) {
      const { kid, publicJwk, privateJwk } = await generateSigningKey()
      // Nobody is served by waiting when nothing signs now; and to a node with a slow clock it must not lie ahead either.
      const activeFromMs = canSign(keys, nowMs) ? nowMs + PUBLISH_LEAD_MS : nowMs - CLOCKS_APART_MS
      const sealedPrivateJwk = await sealPrivateJwk(encryptionKeys, kid, privateJwk)
      await store.add({ kid, publicJwk, sealedPrivateJwk, activeFromMs }, nowMs)
    }
    for (const key of retired(keys, nowMs)) await store.remove(key.kid)
  }
}

function isChangeDue(keys: readonly LoadedKey[], nowMs: number): boolean {
  return isNextDue(keys, nowMs) || retired(keys, nowMs).length > 0
}

function canSign(keys: readonly LoadedKey[], nowMs: number): boolean {
  return keys.some((key) => key.privateKey !== null && key.activeFromMs <= nowMs)
}

function isNextDue(keys: readonly LoadedKey[], nowMs: number): boolean {
  const newest = keys.findLast((key) => key.privateKey !== null)
  return (
    newest === undefined || !canSign(keys, nowMs) || newest.activeFromMs + ROTATE_AFTER_MS <= nowMs + PUBLISH_LEAD_MS
  )
}

/** Keys whose successor has signed for so long that nothing of theirs is alive or cached. */
function retired(keys: readonly LoadedKey[], nowMs: number): readonly LoadedKey[] {
  return keys.filter((_, at) => {
    const successor = keys.slice(at + 1).find((key) => key.privateKey !== null)
    return successor !== undefined && successor.activeFromMs + KEEP_AFTER_MS <= nowMs
  })
}
