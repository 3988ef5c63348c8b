/** Each real database: rows, the migration lock, file modes, and outages. */

import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Database } from '../../ports.ts'
import { createStore, STORE_KINDS, type TestStore } from '../../test/ports/identity.ts'
import { startSwitch, until } from '../../test/ports/switch.ts'
import { openDatabase } from './open.ts'

for (const kind of STORE_KINDS) {
  describe(kind, () => {
    let store: TestStore
    let database: Database
    beforeAll(async () => {
      store = await createStore(kind)
      database = await store.open()
    })
    afterAll(async () => {
      await database.close()
      await store.remove()
    })

    test(`[FR-022] ${kind}: rows go in and come out, whatever is in them`, async () => {
      await database.query('create table sample (name text, size bigint)')
      await database.query('insert into sample (size, name) values ($2, $1)', ["it's $1; drop table sample", 7])
      const rows = await database.query('select name, size from sample where size = $1', [7])
      expect(rows.map((row) => [row.name, Number(row.size)])).toEqual([["it's $1; drop table sample", 7]])
    })

    test(`[FR-022] ${kind}: the migration lock lets one in at a time, other nodes included`, async () => {
      const other = await store.open()
      let inside = 0
      let most = 0
      const work = async () => {
        inside += 1
        most = Math.max(most, inside)
        await new Promise((resolve) => setTimeout(resolve, 5))
        inside -= 1
      }
      const all = [database, other, database, other].map((node) => node.withMigrationLock(work))
      await Promise.all(all)
      expect(most).toBe(1)
      await other.close()
    })

    test(`[FR-022] ${kind}: the migration lock is free again after work that failed`, async () => {
      const failing = database.withMigrationLock(() => Promise.reject(new Error('no')))
      await expect(failing).rejects.toThrow('no')
      expect(await database.withMigrationLock(async () => 'in')).toBe('in')
    })

    test(`[FR-023] ${kind}: readiness is asked of the database, and closed is not ready`, async () => {
      const other = await store.open()
      expect(await other.isReady()).toBe(true)
      await other.close()
      expect(await other.isReady()).toBe(false)
    })
  })
}

test('[FR-025] sqlite: nobody but the owner can read the database, its journal or its folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'))
  const dataDir = join(folder, 'data')
  const database = await openDatabase(null, dataDir)
  await database.query('create table sample (name text)')
  const modeOf = (path: string) => statSync(path).mode & 0o777
  expect(modeOf(dataDir)).toBe(0o700)
  for (const name of ['postern.db', 'postern.db-wal', 'postern.db-shm', 'postern.lock']) {
    if (name === 'postern.db' || existsSync(join(dataDir, name)))
      expect([name, modeOf(join(dataDir, name))]).toEqual([name, 0o600])
  }
  await database.close()
  chmodSync(join(dataDir, 'postern.db'), 0o644)
  await (await openDatabase(null, dataDir)).close()
  expect(modeOf(join(dataDir, 'postern.db'))).toBe(0o600)
  rmSync(folder, { recursive: true })
})

test('[FR-025] sqlite: a file that is no database is named, and left as it was', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'postern-test-'))
  mkdirSync(dataDir, { recursive: true })
  const path = join(dataDir, 'postern.db')
  writeFileSync(path, 'not a database, but somebody’s notes, and long enough to be read as a header of one')
  const before = statSync(path).size
  await expect(openDatabase(null, dataDir)).rejects.toThrow(/postern\.db cannot be opened/)
  expect(statSync(path).size).toBe(before)
  rmSync(dataDir, { recursive: true })
})

test('[FR-025] postgres: what cannot be reached is said without the password', async () => {
  const failure = await openDatabase('postgres://someone:hunter2@127.0.0.1:1/none', '').catch(String)
  expect(failure).toContain('The database cannot be reached')
  expect(failure).not.toContain('hunter2')
})

for (const outage of ['cut', 'freeze'] as const) {
  test(`[FR-023] postgres ${outage}: a question fails instead of hanging, nothing crashes, and it recovers by itself`, async () => {
    const line = await startSwitch(process.env.POSTERN_TEST_DATABASE_URL!)
    const database = await openDatabase(line.url, '')
    expect(await database.query('select 1 as one')).toEqual([{ one: 1 }])
    await line[outage]()
    await expect(database.query('select 1 as one')).rejects.toThrow()
    expect(await database.isReady()).toBe(false)
    await line.mend()
    await until(() => database.isReady())
    expect(await database.query('select 2 as two')).toEqual([{ two: 2 }])
    await database.close()
    await line.close()
  })
}
