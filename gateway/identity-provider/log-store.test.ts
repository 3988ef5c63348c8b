/** The log in each real database: gapless in the order of commits, undone with its transaction, sealed, and pruned only where nothing needs it. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { primitives } from '../node/crypto.ts'
import type { Database } from '../ports.ts'
import { decodeEntry } from '../revocation/entry.ts'
import { nameOf } from '../revocation/names.ts'
import { openChoke, type TestChoke } from '../test/ports/choke.ts'
import { createStore, STORE_KINDS, type TestStore } from '../test/ports/identity.ts'
import { revocation } from './consequences.ts'
import { logSeal } from './log-store.ts'

const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const ofUser = (id: string | number) => revocation('refresh', nameOf.subject(`u_${id}`), NOW_MS)

for (const kind of STORE_KINDS) {
  describe(kind, () => {
    let store: TestStore
    let database: Database
    let node: TestChoke
    beforeEach(async () => {
      store = await createStore(kind)
      database = await store.open()
      node = await openChoke(database, { nowMs: () => NOW_MS })
    })
    afterEach(async () => {
      await database.close()
      await store.remove()
    })
    const append = (...ids: (string | number)[]) => node.choke.run(async (_, revoke) => revoke(ids.map(ofUser)))
    const numbers = async (from = 0) => (await node.entries.reader.read(from)).rows.map((row) => row.sequence)

    test(`[FR-033] ${kind}: numbers begin at one, have no gaps, and stand in the sealed text`, async () => {
      expect(await node.entries.reader.read(0)).toEqual({ head: 0, rows: [], isComplete: true })
      await append('a')
      const { written } = await append('b', 'c')
      expect(written.map(({ entry }) => entry.sequence)).toEqual([2, 3])
      const page = await node.entries.reader.read(2)
      expect(page).toMatchObject({ head: 3, isComplete: true })
      expect(page.rows).toEqual(written.map(({ row }) => row))
      for (const row of page.rows) {
        expect(decodeEntry(row.entry)?.sequence).toBe(row.sequence)
        expect(node.seals.isSealed(row.entry, row.seal)).toBe(true)
      }
    })

    test(`[FR-033] ${kind}: one transaction says a thing once`, async () => {
      const { written } = await append('a', 'b', 'a')
      expect(written.map(({ entry }) => entry.name)).toEqual(['subject:u_a', 'subject:u_b'])
    })

    test(`[FR-033] ${kind}: a transaction that fails leaves neither its entry nor a gap`, async () => {
      const failing = node.choke.run(async (inner, revoke) => {
        revoke([ofUser('a')])
        await inner.deleteMany({ model: 'session', where: [{ field: 'no such column', value: 'x' }] })
      })
      await expect(failing).rejects.toThrow()
      await append('b')
      expect(await numbers()).toEqual([1])
      expect(node.committed.map(({ entry }) => entry.name)).toEqual(['subject:u_b'])
    })

    test(`[FR-033] ${kind}: two nodes that write at once share one count, and a reader never sees a number before the one below it`, async () => {
      const secondDatabase = await store.open()
      const second = await openChoke(secondDatabase, { nowMs: () => NOW_MS })
      let isDone = false
      const seen: number[] = []
      const reading = (async () => {
        while (!isDone) {
          const { head, rows } = await second.entries.reader.read(0)
          expect(rows.map((row) => row.sequence)).toEqual(Array.from({ length: head }, (_, at) => at + 1))
          seen.push(head)
          // A file is read without leaving the thread, so others get their turn only here.
          await new Promise((resolve) => setImmediate(resolve))
        }
      })()
      const rounds = Array.from({ length: 10 }, (_, at) => at)
      for (const at of rounds) {
        const one = append(`one-${at}`)
        // Two connections of one thread cannot wait for each other's lock on a file.
        if (kind === 'sqlite') await one
        await second.choke.run(async (_, revoke) => revoke([ofUser(`two-${at}`), ofUser(`more-${at}`)]))
        await one
      }
      isDone = true
      await reading
      await secondDatabase.close()
      expect(await numbers()).toEqual(Array.from({ length: 30 }, (_, at) => at + 1))
      expect(seen.length).toBeGreaterThan(0)
    })

    test(`[FR-033] ${kind}: a long log is read in pages that belong together`, async () => {
      for (let at = 0; at < 3; at += 1) await append(...Array.from({ length: 400 }, (_, of) => `${at}-${of}`))
      const first = await node.entries.reader.read(0)
      expect(first).toMatchObject({ head: 1200, isComplete: false })
      expect(first.rows).toHaveLength(1000)
      expect(await node.entries.reader.read(1001)).toMatchObject({ head: 1200, isComplete: true })
      expect(await numbers(1001)).toHaveLength(200)
    })

    test(`[FR-033] ${kind}: numbers of a log that is no more are not given again, and a higher count stays`, async () => {
      await append('a', 'b')
      const endAfter = (reached: number) =>
        node.choke.run(async (inner, revoke) => {
          await node.entries.skipTo(inner, reached)
          revoke([ofUser(reached)])
        })
      await endAfter(9)
      expect(await numbers()).toEqual([1, 2, 10])
      await endAfter(4)
      expect(await numbers()).toEqual([1, 2, 10, 11])
    })

    test(`[FR-033] ${kind}: pruning takes what has been over for an hour, and never the newest`, async () => {
      for (const id of ['a', 'b', 'c']) await append(id)
      const { expiresAtMs } = ofUser('a')
      await node.entries.prune(expiresAtMs + 3_600_000)
      expect(await numbers()).toEqual([1, 2, 3])
      await node.entries.prune(expiresAtMs + 3_600_001)
      expect(await numbers()).toEqual([3])
      await append('d')
      expect(await numbers()).toEqual([3, 4])
    })

    test(`[FR-033] ${kind}: without its counter the log is not readable, and nothing can be written`, async () => {
      await append('a')
      await database.query('delete from postern_log')
      await expect(node.entries.reader.read(0)).rejects.toThrow('counter')
      await expect(append('b')).rejects.toThrow('counter')
      await node.entries.prepare()
      await append('c')
      expect(await numbers()).toEqual([1, 2])
    })

    test(`[FR-033] ${kind}: a rotated secret seals the same texts again`, async () => {
      await append('a', 'b')
      const before = await node.entries.reader.read(0)
      const rotated = await openChoke(database, { secrets: ['new secret', 'one secret'] })
      const after = await rotated.entries.reader.read(0)
      expect(after.rows.map((row) => row.entry)).toEqual(before.rows.map((row) => row.entry))
      expect(after.rows.every((row) => rotated.seals.isNewest(row.entry, row.seal))).toBe(true)
      expect(rotated.logged).toEqual([])
    })

    test(`[FR-033] ${kind}: rows that no secret of ours sealed go, and everything issued so far ends`, async () => {
      await append('a', 'b')
      await database.query('update postern_revocation set entry = $1 where sequence = 2', [
        '[2,"x","refresh","key:k",0,9e15,null]',
      ])
      const next = await openChoke(database)
      expect(await numbers()).toEqual([1, 3])
      expect(await next.since(1)).toEqual(['end everything'])
      expect(next.logged).toHaveLength(1)
      expect((await openChoke(database)).logged).toEqual([])

      await openChoke(database, { secrets: ['quite another secret'] })
      expect(await numbers()).toEqual([4])
      expect(await next.since(0)).toEqual(['end everything'])
    })

    test(`[FR-033] ${kind}: a node that ends while it removes what cannot be believed does not forget the end of everything`, async () => {
      await append('a', 'b', 'c')
      await database.query("update postern_revocation set seal = 'mine' where sequence = 3")
      const query: Database['query'] = async (sql, values) => {
        const rows = await database.query(sql, values)
        if (sql.startsWith('delete')) throw new Error('the node is gone')
        return rows
      }
      await expect(openChoke({ ...database, query })).rejects.toThrow('gone')
      const next = await openChoke(database)
      expect(await next.since(1)).toContain('end everything')
      const { head, rows } = await node.entries.reader.read(0)
      expect(rows.at(-1)?.sequence).toBe(head)
    })
  })
}

test('[FR-033] a seal is of its whole text, by our key, for this use', () => {
  const key = (secret: string) => primitives.hkdfSha256(secret, 'revocation-log')
  const seals = logSeal(primitives, [key('new'), key('old')])
  const seal = seals.sealOf('[1]')
  expect([seals.isSealed('[1]', seal), seals.isNewest('[1]', seal)]).toEqual([true, true])
  const old = logSeal(primitives, [key('old')]).sealOf('[1]')
  expect([seals.isSealed('[1]', old), seals.isNewest('[1]', old)]).toEqual([true, false])
  for (const bad of ['', 'AAAA', '!', `${seal}=`, seal.slice(1), logSeal(primitives, [key('other')]).sealOf('[1]')]) {
    expect(seals.isSealed('[1]', bad), bad).toBe(false)
  }
  expect(seals.isSealed('[2]', seal)).toBe(false)
})
