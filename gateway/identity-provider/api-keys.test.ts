/** API keys on real databases: what a key proves, what ends it, and what it never does to the database. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Authentication, Refusal } from '../model.ts'
import { primitives } from '../node/crypto.ts'
import {
  AUTH_SETTINGS,
  createStore,
  STORE_KINDS,
  startNode,
  type TestNode,
  type TestStore,
} from '../test/ports/identity.ts'
import { cacheOf, NOW_MS, whoIn } from '../test/support/credentials.ts'
import { type ApiKeyRow, apiKeyRows } from './api-key-rows.ts'
import { createKeyVerifier } from './api-keys.ts'
import { authOptions, createPlainAuth } from './auth.ts'

const KEYS = { prefix: 'bk_', limit: { burst: 600, intervalMs: 100 } }
const PASSWORD = 'a long enough password'

let people = 0

async function newOwner(node: TestNode, roles: readonly string[] = ['editor']): Promise<string> {
  people += 1
  return node.users.create({ email: `owner-${people}@example.com`, password: PASSWORD, name: 'Owner', roles })
}

function plainKey(ownerId: string) {
  return { ownerId, name: 'nightly export', scopes: ['books:read'], expiresAtMs: null, rate: null }
}

async function verify(node: TestNode, key: string, nowMs = Date.now()): Promise<Authentication> {
  const found = await node.keys!.verifyKey(key, nowMs)
  if (found instanceof Refusal) throw new Error(found.reason)
  return found
}

async function reason(node: TestNode, key: string, nowMs = Date.now()): Promise<string | null> {
  return whoIn(await node.keys!.verifyKey(key, nowMs))
}

for (const kind of STORE_KINDS) {
  describe(kind, () => {
    let store: TestStore
    let node: TestNode

    beforeAll(async () => {
      store = await createStore(kind)
      node = await startNode(store, { keys: KEYS })
    })
    afterAll(async () => {
      await node?.stop()
      await store?.remove()
    })

    const plainAdapter = async () =>
      (await createPlainAuth(authOptions(AUTH_SETTINGS, node.database.handle)).$context).adapter
    const keyColumns = async (id: string) => {
      const adapter = await plainAdapter()
      return (await adapter.findOne<Record<string, unknown>>({ model: 'apikey', where: [{ field: 'id', value: id }] }))!
    }

    test('[FR-031] a key acts for its owner, with the owner’s roles and its own scopes and no more', async () => {
      const ownerId = await newOwner(node)
      const { id, key } = await node.apiKeys.create(plainKey(ownerId))
      expect(key).toMatch(/^bk_[A-Za-z]{64}$/)
      const { principal, proofs, rate } = await verify(node, key)
      expect(principal).toMatchObject({
        ...{ kind: 'service', credential: 'key', subject: ownerId, source: null, keyId: id, sessionId: null },
        ...{ roles: ['editor'], scopes: ['books:read'], authenticatedAtMs: null, methods: [] },
      })
      expect(proofs[0]!.names).toEqual([`key:${id}`, `subject:${ownerId}`])
      expect(rate).toEqual(KEYS.limit)
    })

    test('[FR-031] only the hash of a key is stored', async () => {
      const { id, key } = await node.apiKeys.create(plainKey(await newOwner(node)))
      const columns = await keyColumns(id)
      expect(columns.key).toBe(primitives.sha256(key))
      expect(JSON.stringify(columns)).not.toContain(key.slice(8))
      expect(JSON.stringify(await node.apiKeys.list(null))).not.toContain(key.slice(8))
    })

    test('[FR-031] a key’s own limit comes with it', async () => {
      const rate = { burst: 3, intervalMs: 20_000 }
      const { key } = await node.apiKeys.create({ ...plainKey(await newOwner(node)), rate })
      expect((await verify(node, key)).rate).toEqual(rate)
    })

    test('[FR-031] a key ends when it was to end', async () => {
      const expiresAtMs = Date.now() + 90_000
      const { key } = await node.apiKeys.create({ ...plainKey(await newOwner(node)), expiresAtMs })
      expect((await verify(node, key)).principal!.expiresAtMs).toBeLessThanOrEqual(expiresAtMs)
      expect(await reason(node, key, expiresAtMs)).toBe('key.ended')
    })

    const endings: readonly (readonly [string, string, (id: string, ownerId: string) => Promise<unknown>])[] = [
      ['revoked', 'key.unknown', (id) => node.apiKeys.revoke(id)],
      ['ban of its owner', 'key.owner', (_id, ownerId) => node.users.ban(ownerId, 'test', null)],
      [
        'end of its owner’s subject',
        'key.unknown',
        (_id, subject) => node.revoker.revoke({ kind: 'subject', subject }),
      ],
      ['end of everything', 'key.ended', () => node.revoker.revoke({ kind: 'everything' })],
    ]
    for (const [what, expected, end] of endings) {
      test(`[FR-034] a key is dead at once: ${what}`, async () => {
        const ownerId = await newOwner(node)
        const { id, key } = await node.apiKeys.create(plainKey(ownerId))
        await verify(node, key)
        await end(id, ownerId)
        expect(await reason(node, key)).toBe(expected)
      })
    }

    test('[FR-034] a key is disabled, or its owner demoted, and the very next request sees it', async () => {
      const ownerId = await newOwner(node, ['admin'])
      const { id, key } = await node.apiKeys.create(plainKey(ownerId))
      expect((await verify(node, key)).principal!.roles).toEqual(['admin'])
      await node.users.setRoles(ownerId, ['reader'])
      expect((await verify(node, key)).principal!.roles).toEqual(['reader'])
      expect(await node.apiKeys.setEnabled(id, false)).toBe(true)
      expect(await reason(node, key)).toBe('key.ended')
      await node.apiKeys.setEnabled(id, true)
      await verify(node, key)
    })

    test('[FR-031] a key whose owner is gone is refused, though its row is left', async () => {
      const ownerId = await newOwner(node)
      const { key } = await node.apiKeys.create(plainKey(ownerId))
      await verify(node, key)
      await (await plainAdapter()).delete({ model: 'user', where: [{ field: 'id', value: ownerId }] })
      expect(await reason(node, key, Date.now() + 61_000)).toBe('key.owner')
    })

    test('[FR-031] a thousand look-ups of one key write nothing, and nothing of the provider’s refuses it', async () => {
      const { id, key } = await node.apiKeys.create(plainKey(await newOwner(node)))
      const before = await keyColumns(id)
      const { sequence } = node.revocations
      // Each beyond what is remembered, so that each one reads.
      for (let at = 0; at < 1000; at += 1) await verify(node, key, Date.now() + at * 61_000)
      expect(await keyColumns(id)).toEqual(before)
      expect(node.revocations.sequence).toBe(sequence)
    })

    test('[FR-031] what no key can have is refused when it is made', async () => {
      const key = plainKey(await newOwner(node))
      for (const bad of [{ ownerId: 'nobody' }, { name: '' }, { scopes: ['a b'] }, { expiresAtMs: Date.now() }]) {
        await expect(node.apiKeys.create({ ...key, ...bad })).rejects.toThrow(RangeError)
      }
      expect(await node.apiKeys.revoke('nothing')).toBe(false)
      expect(await node.apiKeys.list(key.ownerId)).toEqual([])
    })
  })
}

describe('before and beside the database', () => {
  const KEY = `bk_${'a'.repeat(64)}`
  const row: ApiKeyRow = {
    ...{ id: 'k1', ownerId: 'u1', name: 'x', isEnabled: true, scopes: [], rate: null },
    ...{ createdAtMs: NOW_MS - 1000, expiresAtMs: null },
  }
  const owner = { id: 'u1', email: null, emailVerified: false, name: null, roles: [], bannedUntilMs: null }

  function verifierOn(findByHash: (hash: string) => Promise<ApiKeyRow | null>) {
    const asked: string[] = []
    const rows = {
      ...apiKeyRows({} as Parameters<typeof apiKeyRows>[0]),
      findByHash(hash: string) {
        asked.push(hash)
        return findByHash(hash)
      },
    }
    const directory = { find: async () => owner }
    const deps = { origin: 'http://localhost', settings: KEYS, rows, directory, credentials: cacheOf(), primitives }
    return { asked, verifier: createKeyVerifier(deps) }
  }

  const forged: readonly (readonly [string, string])[] = [
    ['empty', ''],
    ['its prefix alone', 'bk_'],
    ['too short', KEY.slice(0, -1)],
    ['too long', `${KEY}a`],
    ['very long', `bk_${'a'.repeat(60_000)}`],
    ['of another prefix', `pk_${'a'.repeat(64)}`],
    ['with its prefix in other case', `BK_${'a'.repeat(64)}`],
    ['with a digit', `bk_${'a'.repeat(63)}1`],
    ['with a letter that is not ASCII', `bk_${'a'.repeat(63)}é`],
    ['two at once, joined as some runtimes join duplicates', `${KEY}, ${KEY}`],
    ['with a line end', `${KEY.slice(0, -1)}\n`],
  ]
  for (const [what, key] of forged) {
    test(`[FR-031] a key that is ${what} never reaches the database`, async () => {
      const { asked, verifier } = verifierOn(async () => row)
      expect(whoIn(await verifier.verifyKey(key, NOW_MS))).toBe('key.malformed')
      expect(asked).toEqual([])
    })
  }

  test('[FR-031] the database is asked for the hash, so its answer’s time tells nothing of a key’s beginning', async () => {
    const { asked, verifier } = verifierOn(async () => row)
    expect(whoIn(await verifier.verifyKey(KEY, NOW_MS))).toBe('u1')
    expect(asked).toEqual([primitives.sha256(KEY)])
  })

  test('[FR-031] an unknown key is not remembered as such: it may be made any moment', async () => {
    let known: ApiKeyRow | null = null
    const { verifier } = verifierOn(async () => known)
    expect(whoIn(await verifier.verifyKey(KEY, NOW_MS))).toBe('key.unknown')
    known = row
    expect(whoIn(await verifier.verifyKey(KEY, NOW_MS))).toBe('u1')
  })

  test('[FR-031] those who present one key at the same time cost one look-up', async () => {
    const { asked, verifier } = verifierOn(async () => row)
    await Promise.all(Array.from({ length: 50 }, () => verifier.verifyKey(KEY, NOW_MS)))
    expect(asked).toHaveLength(1)
  })

  test('[FR-031] a database that fails, or hangs, is no verdict on the key', async () => {
    const failing = verifierOn(() => Promise.reject(new Error('down')))
    expect(whoIn(await failing.verifier.verifyKey(KEY, NOW_MS))).toBe('credential.unavailable')
    const hanging = verifierOn(() => new Promise(() => {}))
    expect(whoIn(await hanging.verifier.verifyKey(KEY, NOW_MS))).toBe('credential.unavailable')
  })
})
