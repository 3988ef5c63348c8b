/** What each write revokes: everybody it may have touched is named, and what only tidies up names nobody. */

import type { Where } from '@better-auth/core/db/adapter'
import { expect, test } from 'vitest'
import { revocationsOf, type Write } from './consequences.ts'

const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const naming = { nowMs: NOW_MS, sha256: (text: string) => `#${text}` }
const eq = (field: string, value: Where['value']): Where => ({ field, value })
const before = (ms: number): Where => ({ ...eq('expiresAt', new Date(ms)), operator: 'lt' })
const EVERYTHING = ['refresh everything']

type Case = readonly [
  what: string,
  kind: Write['kind'],
  model: string,
  where: readonly Where[],
  row: unknown,
  expected: readonly string[],
]

const writes: readonly Case[] = [
  ['a sign-out', 'delete', 'session', [eq('token', 't_1')], undefined, ['refresh session-token:#t_1']],
  ['a session by id', 'delete', 'session', [eq('id', 's_1')], 1, ['refresh session:s_1']],
  ['all sessions of a user', 'delete', 'session', [eq('userId', 'u_1')], 131, ['refresh subject:u_1']],
  [
    'all but one',
    'delete',
    'session',
    [eq('userId', 'u_1'), { ...eq('token', 't_1'), operator: 'ne' }],
    3,
    ['refresh subject:u_1'],
  ],
  [
    'several sessions',
    'delete',
    'session',
    [{ ...eq('token', ['t_1', 't_2']), operator: 'in' }],
    2,
    ['refresh session-token:#t_1', 'refresh session-token:#t_2'],
  ],
  ['sessions that were gone', 'delete', 'session', [eq('userId', 'u_1')], 0, []],
  ['expired sessions', 'delete', 'session', [before(NOW_MS)], 9, []],
  ['sessions that will expire', 'delete', 'session', [before(NOW_MS + 1)], 9, EVERYTHING],
  ['expired sessions, or any', 'delete', 'session', [{ ...before(NOW_MS), connector: 'OR' }], 9, EVERYTHING],
  ['all sessions', 'delete', 'session', [], 7, EVERYTHING],
  ['a session that moves', 'update', 'session', [eq('id', 's_1')], null, ['refresh session:s_1']],
  ['a new session', 'create', 'session', [], { id: 's_1', userId: 'u_1' }, []],
  ['a role, a ban or a name', 'update', 'user', [eq('id', 'u_1')], { id: 'u_1' }, ['refresh subject:u_1']],
  ['a user by e-mail', 'update', 'user', [eq('email', 'a@example.com')], { id: 'u_1' }, ['refresh subject:u_1']],
  ['a user by e-mail, row lost', 'update', 'user', [eq('email', 'a@example.com')], null, EVERYTHING],
  ['a user who is deleted', 'delete', 'user', [eq('id', 'u_1')], undefined, ['end subject:u_1']],
  ['users who are deleted somehow', 'delete', 'user', [eq('role', 'x')], 2, EVERYTHING],
  ['a new user', 'create', 'user', [], { id: 'u_1' }, []],
  [
    'a password',
    'update',
    'account',
    [eq('userId', 'u_1'), eq('providerId', 'credential')],
    1,
    ['refresh subject:u_1'],
  ],
  [
    'an account by its own id',
    'update',
    'account',
    [eq('id', 'a_1')],
    { id: 'a_1', userId: 'u_1' },
    ['refresh subject:u_1'],
  ],
  ['a new account', 'create', 'account', [], { id: 'a_1', userId: 'u_1' }, ['refresh subject:u_1']],
  ['a key', 'update', 'apikey', [eq('id', 'k_1')], { id: 'k_1', referenceId: 'u_1' }, ['refresh key:k_1']],
  ['a key that goes', 'delete', 'apikey', [eq('id', 'k_1')], undefined, ['end key:k_1']],
  ['all keys of a user', 'delete', 'apikey', [eq('referenceId', 'u_1')], 3, ['refresh subject:u_1']],
  ['expired keys', 'delete', 'apikey', [before(NOW_MS), { ...eq('expiresAt', null), operator: 'ne' }], 3, []],
  ['a new key', 'create', 'apikey', [], { id: 'k_1', referenceId: 'u_1' }, []],
  ['a membership', 'update', 'member', [eq('id', 'm_1')], null, EVERYTHING],
  ['a membership that goes', 'delete', 'member', [eq('id', 'm_1')], { userId: 'u_1' }, ['refresh subject:u_1']],
  ['a new membership', 'create', 'member', [], { id: 'm_1', userId: 'u_1' }, ['refresh subject:u_1']],
  ['an organization’s name', 'update', 'organization', [eq('id', 'o_1')], { id: 'o_1' }, []],
  ['an organization that goes', 'delete', 'organization', [eq('id', 'o_1')], undefined, EVERYTHING],
  ['an organization’s role', 'update', 'organizationRole', [eq('id', 'r_1')], { id: 'r_1' }, EVERYTHING],
  [
    'either of two',
    'update',
    'user',
    [
      { ...eq('id', 'u_1'), connector: 'OR' },
      { ...eq('id', 'u_2'), connector: 'OR' },
    ],
    2,
    EVERYTHING,
  ],
  ['a name in any case', 'update', 'user', [{ ...eq('id', 'u_1'), mode: 'insensitive' }], 1, EVERYTHING],
  ['what concerns no principal', 'delete', 'verification', [eq('id', 'v_1')], undefined, []],
]
for (const [what, kind, model, where, row, expected] of writes) {
  test(`[FR-034] ${kind} of ${what} revokes ${JSON.stringify(expected)}`, () => {
    const found = revocationsOf({ kind, model, where, row }, naming)
    expect(found.map(({ effect, name }) => `${effect} ${name}`)).toEqual(expected)
    for (const { notBeforeMs, expiresAtMs } of found) {
      expect(notBeforeMs).toBe(NOW_MS)
      expect(expiresAtMs).toBeGreaterThan(NOW_MS + 3_600_000)
    }
  })
}

test('[FR-034] a session is named by the hash of its token: the log holds no credential', () => {
  const write: Write = { kind: 'delete', model: 'session', where: [eq('token', 'secret-token')], row: 1 }
  const found = revocationsOf(write, { ...naming, sha256: () => 'hash' })
  expect(JSON.stringify(found)).not.toContain('secret-token')
})
