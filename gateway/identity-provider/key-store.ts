/** The table of assertion keys. Private keys are stored sealed: AES-256-GCM under a key derived for that use only, bound to their `kid`. */

import type { Database } from '../ports.ts'
import { fromBase64Url, toBase64Url } from './base64.ts'

export interface StoredKey {
  readonly kid: string
  readonly publicJwk: Readonly<Record<string, unknown>>
  readonly sealedPrivateJwk: string
  readonly activeFromMs: number
}

export interface KeyStore {
  /** Oldest first. */
  list(): Promise<readonly StoredKey[]>
  add(key: StoredKey, nowMs: number): Promise<void>
  reseal(kid: string, sealedPrivateJwk: string): Promise<void>
  remove(kid: string): Promise<void>
}

const SCHEMA = `create table if not exists postern_key (
  kid text primary key,
  public_jwk text not null,
  sealed_private_jwk text not null,
  active_from_ms bigint not null,
  created_at_ms bigint not null
)`

/** Call `migrateKeyStore` once before, under the migration lock. */
export function keyStore(database: Database): KeyStore {
  return {
    async list() {
      const rows = await database.query(
        'select kid, public_jwk, sealed_private_jwk, active_from_ms from postern_key order by active_from_ms, kid',
      )
      return rows.map((row) => ({
        kid: String(row.kid),
        publicJwk: JSON.parse(String(row.public_jwk)),
        sealedPrivateJwk: String(row.sealed_private_jwk),
        activeFromMs: Number(row.active_from_ms), // Postgres gives a bigint as text
      }))
    },
    async add(key, nowMs) {
      await database.query(
        'insert into postern_key (kid, public_jwk, sealed_private_jwk, active_from_ms, created_at_ms) values ($1, $2, $3, $4, $5)',
        [key.kid, JSON.stringify(key.publicJwk), key.sealedPrivateJwk, key.activeFromMs, nowMs],
      )
    },
    async reseal(kid, sealedPrivateJwk) {
      await database.query('update postern_key set sealed_private_jwk = $1 where kid = $2', [sealedPrivateJwk, kid])
    },
    async remove(kid) {
      await database.query('delete from postern_key where kid = $1', [kid])
    },
  }
}

export async function migrateKeyStore(database: Database): Promise<void> {
  await database.query(SCHEMA)
}

const IV_BYTES = 12

/** Encrypts with the newest key. */
export async function sealPrivateJwk(
  keys: readonly Uint8Array<ArrayBuffer>[],
  kid: string,
  privateJwk: object,
): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const text = new TextEncoder().encode(JSON.stringify(privateJwk))
  const sealed = await crypto.subtle.encrypt(parameters(iv, kid), await aesKey(keys[0]!), text)
  return `${toBase64Url(iv)}.${toBase64Url(new Uint8Array(sealed))}`
}

/** The key and whether the newest secret sealed it; null when none of our secrets did. */
export async function openPrivateJwk(
  keys: readonly Uint8Array<ArrayBuffer>[],
  kid: string,
  sealed: string,
): Promise<{ readonly privateJwk: object; readonly isNewest: boolean } | null> {
  const [iv, box] = sealed.split('.').map(fromBase64Url)
  if (iv == null || box == null || iv.length !== IV_BYTES) return null
  for (const [at, key] of keys.entries()) {
    try {
      const text = await crypto.subtle.decrypt(parameters(iv, kid), await aesKey(key), box)
      return { privateJwk: JSON.parse(new TextDecoder().decode(text)), isNewest: at === 0 }
    } catch {
      // Another secret may have sealed it.
    }
  }
  return null
}

/** The `kid` is authenticated with the key, so one row's private key cannot be put into another row. */
function parameters(iv: Uint8Array<ArrayBuffer>, kid: string): AesGcmParams {
  return { name: 'AES-GCM', iv, additionalData: new TextEncoder().encode(`postern-key\n${kid}`) }
}

function aesKey(key: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt'])
}
