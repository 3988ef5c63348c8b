/** The life of an assertion key: published, signing, kept, gone; and what a rotation of the secret does to it. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../ports.ts'
import { createStore, type TestStore } from '../test/ports/identity.ts'
import { keyStore, migrateKeyStore } from './key-store.ts'
import { createSigningKeys, JWKS_MAX_AGE_MS } from './signing-keys.ts'

const DAY_MS = 86_400_000
const START_MS = 1_800_000_000_000
const ENCRYPTION = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const

let store: TestStore
let database: Database
beforeAll(async () => {
  store = await createStore('sqlite')
  database = await store.open()
  await migrateKeyStore(database)
})
afterAll(async () => {
  await database.close()
  await store.remove()
})

const open = (encryptionKeys: readonly Uint8Array<ArrayBuffer>[] = [ENCRYPTION[0]]) => {
  const logged: unknown[] = []
  const log = (error: unknown) => logged.push(error)
  const keys = createSigningKeys({
    store: keyStore(database),
    encryptionKeys,
    withLock: database.withMigrationLock,
    log,
  })
  return { ...keys, logged, kids: () => keys.publicKeys().map((key) => (key as { kid: string }).kid) }
}

test('[FR-008] a key is published before it signs and kept after it has stopped, for as long as caches and assertions live', async () => {
  const keys = open()
  await keys.refresh(START_MS)
  const first = keys.signerAt(START_MS).kid
  expect(keys.kids()).toEqual([first])

  // Minute by minute, as a node that runs for a month would.
  let nowMs = START_MS + 30 * DAY_MS - DAY_MS / 4
  const publishedAtMs = new Map<string, number>()
  const signedFromMs = new Map<string, number>()
  const lastSignedMs = new Map<string, number>()
  const removedAtMs = new Map<string, number>()
  for (; nowMs < START_MS + 30 * DAY_MS + DAY_MS / 4; nowMs += 60_000) {
    await keys.refresh(nowMs)
    const { kid } = keys.signerAt(nowMs)
    for (const each of keys.kids()) if (!publishedAtMs.has(each)) publishedAtMs.set(each, nowMs)
    if (!signedFromMs.has(kid)) signedFromMs.set(kid, nowMs)
    lastSignedMs.set(kid, nowMs)
    if (!keys.kids().includes(first) && !removedAtMs.has(first)) removedAtMs.set(first, nowMs)
  }
  const [second] = keys.kids()
  expect(keys.kids()).toHaveLength(1)
  expect(second).not.toBe(first)
  expect(signedFromMs.get(second!)! - publishedAtMs.get(second!)!).toBeGreaterThanOrEqual(JWKS_MAX_AGE_MS + 60_000)
  expect(removedAtMs.get(first)! - lastSignedMs.get(first)!).toBeGreaterThanOrEqual(JWKS_MAX_AGE_MS + 60_000)
})

test('[FR-008] published keys hold nothing private, and stored ones nothing readable', async () => {
  const keys = open()
  await keys.refresh(START_MS)
  for (const key of keys.publicKeys()) {
    expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
  }
  const [row] = await database.query('select * from postern_key')
  expect(JSON.stringify(row)).not.toMatch(/"d\\?"/)
})

test('[FR-025] after a rotation of the secret the key goes on signing, sealed anew, and the old secret can be dropped', async () => {
  const before = open([ENCRYPTION[0]])
  await before.refresh(START_MS)
  const { kid } = before.signerAt(START_MS)
  const during = open([ENCRYPTION[1], ENCRYPTION[0]])
  await during.refresh(START_MS)
  expect(during.signerAt(START_MS).kid).toBe(kid)
  const after = open([ENCRYPTION[1]])
  await after.refresh(START_MS)
  expect(after.signerAt(START_MS).kid).toBe(kid)
  expect(after.logged).toEqual([])
})

test('[FR-025] without the secret that sealed it a key signs no more: a new one does, and both are published', async () => {
  const keys = open([new Uint8Array(32).fill(9)])
  const before = open([ENCRYPTION[1]])
  await before.refresh(START_MS)
  const { kid } = before.signerAt(START_MS)
  await keys.refresh(START_MS)
  expect(keys.signerAt(START_MS).kid).not.toBe(kid)
  expect(keys.kids()).toContain(kid)
  expect(String(keys.logged[0])).toContain(kid)
})

test('[FR-008] a sealed key put into another row does not open', async () => {
  const other = await createStore('sqlite')
  const own = await other.open()
  await migrateKeyStore(own)
  const rows = keyStore(own)
  const make = () =>
    createSigningKeys({ store: rows, encryptionKeys: [ENCRYPTION[0]], withLock: own.withMigrationLock, log: () => {} })
  const keys = make()
  await keys.refresh(START_MS)
  const [stored] = await rows.list()
  await own.query('update postern_key set kid = $1', ['another'])
  const moved = make()
  await moved.refresh(START_MS)
  expect(moved.signerAt(START_MS).kid).not.toBe('another')
  expect(moved.signerAt(START_MS).kid).not.toBe(stored!.kid)
  await own.close()
  await other.remove()
})
