/** The choke point: no write escapes it, a write and its entries are one, and what ends a password ends what was opened with it. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Database } from '../ports.ts'
import { nameOf } from '../revocation/names.ts'
import { openChoke, type TestChoke } from '../test/ports/choke.ts'
import { createStore, PASSWORD, STORE_KINDS, type TestStore } from '../test/ports/identity.ts'
import { revocation } from './consequences.ts'

const READS = ['findOne', 'findMany', 'count', 'createSchema']
const WRITES = ['create', 'update', 'updateMany', 'delete', 'deleteMany', 'consumeOne', 'incrementOne', 'transaction']

for (const kind of STORE_KINDS) {
  describe(kind, () => {
    let store: TestStore
    let database: Database
    let node: TestChoke
    beforeAll(async () => {
      store = await createStore(kind)
      database = await store.open()
      node = await openChoke(database)
    })
    afterAll(async () => {
      await database.close()
      await store.remove()
    })
    let users = 0
    async function signUp() {
      users += 1
      const email = `user-${users}@example.com`
      const { user, token } = await node.auth.api.signUpEmail({ body: { email, password: PASSWORD, name: 'Ada' } })
      return { id: user.id, token: token!, email }
    }
    const signIn = (email: string, password = PASSWORD) => node.auth.api.signInEmail({ body: { email, password } })
    const sessionsOf = async (id: string) =>
      (await database.query('select token from session where "userId" = $1', [id])).length
    const byId = (value: string) => [{ field: 'id', value }]
    const ofUser = (value: string) => [{ field: 'userId', value }]

    test(`[FR-034] ${kind}: every method of the adapter that can write is watched, so a new one fails this test`, () => {
      const { adapter } = node.choke
      const plain = node.plain as unknown as Record<string, unknown>
      const methods = Object.keys(adapter).filter((name) => typeof plain[name] === 'function')
      expect(methods.filter((name) => !READS.includes(name)).sort()).toEqual([...WRITES].sort())
      for (const name of WRITES)
        expect((adapter as unknown as Record<string, unknown>)[name], name).not.toBe(plain[name])
    })

    test(`[FR-034] ${kind}: several writes of one transaction become entries at its end, and none when it fails`, async () => {
      const { id } = await signUp()
      const head = await node.head()
      const ending = (isFailing: boolean) =>
        node.choke.adapter.transaction(async (inner) => {
          await inner.update({ model: 'user', where: byId(id), update: { name: 'Eve' } })
          await inner.deleteMany({ model: 'session', where: ofUser(id) })
          if (isFailing) throw new Error('changed my mind')
        })
      await expect(ending(true)).rejects.toThrow('changed my mind')
      expect([await node.head(), await sessionsOf(id)]).toEqual([head, 1])
      await ending(false)
      expect(await node.since(head)).toEqual([`refresh subject:${id}`])
      expect(await sessionsOf(id)).toBe(0)
    })

    test(`[FR-034] ${kind}: a write whose entry cannot be written did not happen`, async () => {
      const { id, token } = await signUp()
      const head = await node.head()
      await database.query('update postern_log set id = $1', ['away'])
      await expect(node.choke.adapter.deleteMany({ model: 'session', where: ofUser(id) })).rejects.toThrow('counter')
      await expect(
        node.choke.adapter.delete({ model: 'session', where: [{ field: 'token', value: token }] }),
      ).rejects.toThrow()
      await database.query('update postern_log set id = $1', ['log'])
      expect([await node.head(), await sessionsOf(id)]).toEqual([head, 1])
    })

    test(`[FR-034] ${kind}: what is told after the commit is what stands in the log`, async () => {
      const from = node.committed.length
      const { written } = await node.choke.run(async (_, revoke) =>
        revoke([revocation('end', nameOf.key('k_1'), 1000)]),
      )
      expect(node.committed.slice(from)).toEqual(written)
      expect((await node.entries.reader.read(written[0]!.entry.sequence)).rows).toEqual([written[0]!.row])
    })

    const ending: readonly (readonly [string, (id: string, email: string) => Promise<unknown>])[] = [
      [
        'a password set by its account',
        (id) => node.choke.adapter.updateMany({ model: 'account', where: ofUser(id), update: { password: 'x' } }),
      ],
      ['a ban', (id) => node.choke.adapter.update({ model: 'user', where: byId(id), update: { banned: true } })],
      [
        'a new e-mail',
        (id, email) =>
          node.choke.adapter.update({
            model: 'user',
            where: [{ field: 'email', value: email }],
            update: { email: `new-${id.toLowerCase()}@example.com` },
          }),
      ],
      [
        'a way to sign in while the e-mail is unproven',
        (id) =>
          node.choke.adapter.create({
            model: 'account',
            data: {
              userId: id,
              accountId: 'x',
              providerId: 'x',
              issuer: 'x',
              createdAt: new Date(),
              updatedAt: new Date(),
            },
          }),
      ],
    ]
    for (const [what, act] of ending) {
      test(`[FR-034] ${kind}: ${what} ends the sessions in the same transaction`, async () => {
        const { id, email } = await signUp()
        await signIn(email)
        const head = await node.head()
        expect(await sessionsOf(id)).toBe(2)
        await act(id, email)
        expect(await sessionsOf(id)).toBe(0)
        expect(await node.since(head)).toEqual([`refresh subject:${id}`])
      })
    }

    test(`[FR-034] ${kind}: other changes of a user leave the sessions alone`, async () => {
      const { id } = await signUp()
      await node.choke.adapter.update({ model: 'user', where: byId(id), update: { role: 'editor', name: 'Eve' } })
      expect(await sessionsOf(id)).toBe(1)
    })

    test(`[FR-034] ${kind}: a password of whoever it may be is not set at all`, async () => {
      const { id } = await signUp()
      const writing = node.choke.adapter.updateMany({
        model: 'account',
        where: [{ field: 'providerId', value: 'credential' }],
        update: { password: 'x' },
      })
      await expect(writing).rejects.toThrow('nobody can tell')
      expect(await database.query('select 1 from account where password = $1 and "userId" = $2', ['x', id])).toEqual([])
    })
  })
}
