/** The choke point: no write escapes it, and what it announces comes after the write and covers everybody it touched. */

import type { DBAdapter, Where } from '@better-auth/core/db/adapter'
import { describe, expect, test } from 'vitest'
import { AUTH_SETTINGS, createStore, STORE_KINDS, startNode } from '../test/ports/identity.ts'
import { revocationsOf, watchAdapter } from './adapter.ts'
import { authOptions, createPlainAuth } from './auth.ts'
import type { Revocation } from './revocations.ts'

const eq = (field: string, value: Where['value']): Where => ({ field, value })
const EVERYTHING = [{ kind: 'everything' }]
const subject = (id: string) => ({ kind: 'subject', id })

const writes: readonly (readonly [string, string, readonly Where[], unknown, readonly object[]])[] = [
  ['a sign-out', 'session', [eq('token', 't_1')], null, [{ kind: 'session-token', token: 't_1' }]],
  ['a session by id', 'session', [eq('id', 's_1')], null, [{ kind: 'session', id: 's_1' }]],
  ['all sessions of a user', 'session', [eq('userId', 'u_1')], 131, [subject('u_1')]],
  ['all but one', 'session', [eq('userId', 'u_1'), { ...eq('token', 't_1'), operator: 'ne' }], 3, [subject('u_1')]],
  [
    'several sessions',
    'session',
    [{ ...eq('token', ['t_1', 't_2']), operator: 'in' }],
    2,
    [
      { kind: 'session-token', token: 't_1' },
      { kind: 'session-token', token: 't_2' },
    ],
  ],
  ['expired sessions', 'session', [{ ...eq('expiresAt', new Date()), operator: 'lt' }], 9, EVERYTHING],
  ['a role, a ban or a name', 'user', [eq('id', 'u_1')], { id: 'u_1' }, [subject('u_1')]],
  ['a user found by e-mail', 'user', [eq('email', 'a@example.com')], { id: 'u_1' }, [subject('u_1')]],
  ['a user found by e-mail, whose row was lost', 'user', [eq('email', 'a@example.com')], null, EVERYTHING],
  ['a password', 'account', [eq('userId', 'u_1'), eq('providerId', 'credential')], 1, [subject('u_1')]],
  ['an account by its own id', 'account', [eq('id', 'a_1')], { id: 'a_1', userId: 'u_1' }, [subject('u_1')]],
  ['a key', 'apikey', [eq('id', 'k_1')], { id: 'k_1', referenceId: 'u_1' }, [subject('u_1')]],
  ['a membership', 'member', [eq('id', 'm_1')], null, EVERYTHING],
  [
    'either of two',
    'user',
    [
      { ...eq('id', 'u_1'), connector: 'OR' },
      { ...eq('id', 'u_2'), connector: 'OR' },
    ],
    null,
    EVERYTHING,
  ],
  ['a name in any case', 'user', [{ ...eq('id', 'u_1'), mode: 'insensitive' }], null, EVERYTHING],
  ['everything', 'session', [], 7, EVERYTHING],
  ['what concerns no principal', 'verification', [eq('id', 'v_1')], null, []],
]
for (const [what, model, where, row, expected] of writes) {
  test(`[FR-009] a write to ${what} revokes ${JSON.stringify(expected)}`, () => {
    expect(revocationsOf(model, where, row)).toEqual(expected)
  })
}

for (const kind of STORE_KINDS) {
  describe(kind, () => {
    test(`[FR-009] ${kind}: every method of the adapter that can write is watched, so a new one fails this test`, async () => {
      const store = await createStore(kind)
      const node = await startNode(store)
      const options = authOptions(AUTH_SETTINGS, node.database.handle)
      const { adapter } = await createPlainAuth(options).$context
      const methods = Object.entries(adapter)
        .filter(([, value]) => typeof value === 'function')
        .map(([name]) => name)
      const reads = ['findOne', 'findMany', 'count', 'createSchema']
      const watched = [
        'create',
        'update',
        'updateMany',
        'delete',
        'deleteMany',
        'consumeOne',
        'incrementOne',
        'transaction',
      ]
      expect(methods.filter((name) => !reads.includes(name)).sort()).toEqual([...watched].sort())
      const wrapped = watchAdapter(adapter, () => {}) as unknown as Record<string, unknown>
      for (const name of watched)
        expect(wrapped[name], name).not.toBe((adapter as unknown as Record<string, unknown>)[name])
      await node.stop()
      await store.remove()
    })
  })
}

/** An adapter whose writes settle when the test says so. */
function slowAdapter() {
  let settle: { resolve: (value: unknown) => void; reject: (error: unknown) => void } | null = null
  const write = () => new Promise((resolve, reject) => (settle = { resolve, reject }))
  const adapter = {
    id: 'slow',
    update: write,
    deleteMany: write,
    transaction: async (work: (inner: unknown) => Promise<unknown>) => {
      const result = await work(adapter)
      await write()
      return result
    },
  }
  return { adapter: adapter as unknown as DBAdapter, settle: () => settle! }
}

async function turns(): Promise<void> {
  for (let at = 0; at < 10; at += 1) await Promise.resolve()
}

test('[FR-009] a revocation is announced once the write has settled, never before: else a look-up in between would be believed', async () => {
  const { adapter, settle } = slowAdapter()
  const announced: Revocation[] = []
  const watched = watchAdapter(adapter, (found) => announced.push(...found))
  const writing = watched.deleteMany({ model: 'session', where: [eq('userId', 'u_1')] })
  await turns()
  expect(announced).toEqual([])
  settle().resolve(1)
  await writing
  expect(announced).toEqual([subject('u_1')])
})

test('[FR-009] a write that failed is announced too, for it may have happened', async () => {
  const { adapter, settle } = slowAdapter()
  const announced: Revocation[] = []
  const watched = watchAdapter(adapter, (found) => announced.push(...found))
  const writing = watched.deleteMany({ model: 'session', where: [eq('userId', 'u_1')] })
  settle().reject(new Error('connection lost'))
  await expect(writing).rejects.toThrow('connection lost')
  expect(announced).toEqual([subject('u_1')])
})

test('[FR-009] in a transaction nothing is announced before the commit', async () => {
  const { adapter, settle } = slowAdapter()
  const announced: Revocation[] = []
  const watched = watchAdapter(adapter, (found) => announced.push(...found))
  const writing = watched.transaction(async (inner) => {
    const deleting = inner.deleteMany({ model: 'session', where: [eq('userId', 'u_1')] })
    settle().resolve(1)
    await deleting
  })
  await turns()
  await turns()
  expect(announced).toEqual([])
  settle().resolve(null)
  await writing
  expect(announced).toEqual([subject('u_1')])
})
