/** The log while many write it at once, on Postgres as a fleet does: gapless whatever rolls back, and read whole by everybody whoever ends or hangs. */

import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../ports.ts'
import { nameOf } from '../revocation/names.ts'
import { openChoke, type TestChoke } from '../test/ports/choke.ts'
import { createStore, startNode, type TestNode, type TestStore } from '../test/ports/identity.ts'
import { until } from '../test/ports/switch.ts'
import { revocation } from './consequences.ts'

const SECRET = 'the first secret, which is long enough'
const WRITERS = 3
const TRANSACTIONS = 150

let store: TestStore
let follower: TestNode
let databases: Database[]
let writers: TestChoke[]
beforeAll(async () => {
  store = await createStore('postgres')
  follower = await startNode(store, { secrets: [SECRET], maxStalenessMs: 2000 })
  databases = await Promise.all(Array.from({ length: WRITERS }, () => store.open()))
  writers = await Promise.all(databases.map((database) => openChoke(database, { secrets: [SECRET] })))
}, 60_000)
afterAll(async () => {
  await follower.stop()
  await Promise.all(databases.map((database) => database.close()))
  await store.remove()
})

const keyEnd = (id: string) => revocation('end', nameOf.key(id), Date.now())

test('[FR-033] transactions of many nodes at once, some of which roll back: no gap, no number twice, and no reader sees one before those below it', async () => {
  const given: number[] = []
  let isDone = false
  const reader = (async () => {
    while (!isDone) {
      const committedBefore = Math.max(0, ...given)
      const { head, rows } = await writers[0]!.entries.reader.read(0)
      expect(rows.map(({ sequence }) => sequence)).toEqual(Array.from({ length: head }, (_, at) => at + 1))
      expect(head).toBeGreaterThanOrEqual(committedBefore)
      // Never anything but a read that went on: neither missing nor set back.
      expect(await follower.revocations.catchUp()).toBe(true)
    }
  })()
  const transaction = async (at: number) => {
    const { choke, entries, plain } = writers[at % WRITERS]!
    const names = Array.from({ length: 1 + (at % 3) }, (_, of) => keyEnd(`race-${at}-${of}`))
    if (at % 4 === 0) {
      const undone = plain.transaction(async (inner) => {
        await entries.append(inner, names)
        throw new Error('undone')
      })
      await expect(undone).rejects.toThrow('undone')
      return
    }
    const { written } = await choke.run(async (_, revoke) => revoke(names))
    const first = written[0]!.entry.sequence
    expect(written.map(({ entry }) => entry.sequence)).toEqual(names.map((_, of) => first + of))
    given.push(...written.map(({ entry }) => entry.sequence))
  }
  // So many at once that a pool of connections is enough for each node.
  for (let at = 0; at < TRANSACTIONS; at += 24) {
    await Promise.all(Array.from({ length: Math.min(24, TRANSACTIONS - at) }, (_, of) => transaction(at + of)))
  }
  isDone = true
  await reader
  expect(given.sort((a, b) => a - b)).toEqual(Array.from({ length: given.length }, (_, at) => at + 1))
  expect(await follower.revocations.catchUp()).toBe(true)
  expect(follower.revocations.status()).toMatchObject({ sequence: given.length, gaps: 0, rewinds: 0, badSeals: 0 })
}, 60_000)

test('[FR-033] a node that ends between its commit and its word to the others is heard all the same, within the bound', async () => {
  const { choke } = await openChoke(databases[0]!, { secrets: [SECRET], committed: () => new Promise(() => {}) })
  void choke.run(async (_, revoke) => revoke([keyEnd('unsaid')]))
  const startedAt = performance.now()
  const proof = () => ({ sequence: follower.revocations.sequence, names: ['key:unsaid'], issuedAtMs: null })
  await until(() => follower.revocations.isEnded(proof()))
  expect(performance.now() - startedAt).toBeLessThan(2000)
})

test('[FR-034] a node that hangs with the log in its hand: others answer 503 and change nothing, and go on once it is free', async () => {
  const client = follower.client()
  await client.signUp('ada@example.com')
  const holder = new pg.Client({ connectionString: store.url })
  await holder.connect()
  await holder.query('begin')
  await holder.query('update postern_log set sequence = sequence + 1')
  const head = await writers[0]!.head()
  expect((await client.send('POST', '/revoke-sessions')).status).toBe(503)
  expect(follower.revocations.isFresh()).toBe(true)
  await holder.query('rollback')
  await holder.end()
  const found = await follower.sessions.verifyCookie(client.session, Date.now())
  expect(found).toMatchObject({ principal: { email: 'ada@example.com' } })
  expect(await writers[0]!.since(head)).toEqual([])
  await until(async () => (await client.send('POST', '/revoke-sessions')).status === 200)
  expect(await follower.sessions.verifyCookie(client.session, Date.now())).toMatchObject({ principal: null })
}, 30_000)
