/** A copy of the database from before stands in the place of the newer one: nobody who was signed in then is let in by it. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openChoke } from '../test/ports/choke.ts'
import { createStore, STORE_KINDS, startNode, type TestNode, type TestStore } from '../test/ports/identity.ts'
import { until } from '../test/ports/switch.ts'
import { postgresBin } from '../test/support/servers.ts'
import { createRevoker } from './revoker.ts'

for (const kind of STORE_KINDS) {
  describe(`on ${kind}`, () => {
    let store: TestStore
    let nodes: TestNode[]
    beforeAll(async () => {
      store = await createStore(kind)
      nodes = [await startNode(store), await startNode(store)]
    })
    afterAll(async () => {
      for (const node of nodes) await node.stop()
      await store.remove()
    })

    test(`[FR-033] ${kind}: a log that was set back ends everything, under numbers that were never given, and each node goes on`, async () => {
      const [one, two] = nodes as [TestNode, TestNode]
      const ada = one.client()
      await ada.signUp('ada@example.com')
      for (const id of ['k1', 'k2', 'k3', 'k4']) await one.revoker.revoke({ kind: 'key', id })
      for (const { revocations } of nodes) expect(await revocations.catchUp()).toBe(true)
      const reached = one.revocations.sequence
      await one.database.query('delete from postern_revocation where sequence > $1', [reached - 3])
      await one.database.query('update postern_log set sequence = $1', [reached - 3])
      await until(async () => (await one.revocations.catchUp()) && (await two.revocations.catchUp()))
      for (const { revocations, sessions } of nodes) {
        expect(revocations.isFresh()).toBe(true)
        expect(revocations.sequence).toBeGreaterThan(reached)
        for (const sequence of [0, reached - 3, reached]) {
          expect(revocations.isDead({ sequence, names: [], issuedAtMs: null })).toBe(true)
        }
        expect(
          revocations.isEnded({ sequence: revocations.sequence, names: [], issuedAtMs: Date.now() - 60_000 }),
        ).toBe(true)
        expect(await sessions.verifyCookie(ada.session!, Date.now())).toMatchObject({ principal: null })
      }
      const bob = two.client()
      await bob.signUp('bob@example.com')
      for (const { sessions } of nodes) {
        expect(await sessions.verifyCookie(bob.session!, Date.now())).toMatchObject({
          principal: { email: 'bob@example.com' },
        })
      }
    })

    for (const isWrittenOn of [false, true]) {
      const title = isWrittenOn ? 'and was written on up to where it had been' : 'while nodes serve'
      test(`[FR-033] ${kind}: a backup that was put back ${title} lets nobody in whom the log had ended`, async () => {
        const [one, two] = nodes as [TestNode, TestNode]
        const [gone, later] = [one.client(), one.client()]
        await gone.signUp(`gone-${isWrittenOn}@example.com`)
        await later.signUp(`later-${isWrittenOn}@example.com`)
        const copy = await copyOf(store, one)
        const { session } = gone
        expect((await gone.send('POST', '/sign-out')).status).toBe(200)
        for (const { revocations } of nodes) expect(await revocations.catchUp()).toBe(true)
        const { sequence } = one.revocations
        for (const { sessions } of nodes) {
          expect(await sessions.verifyCookie(session, Date.now())).toMatchObject({ principal: null })
          expect(await sessions.verifyCookie(later.session, Date.now())).not.toMatchObject({ principal: null })
        }

        const all = { sequence, names: [], issuedAtMs: Date.now() }
        await copy.restore()
        if (isWrittenOn) {
          // A command, which knows nothing of the newer log, and then a node.
          const database = await store.open()
          const { choke } = await openChoke(database, { secrets: ['the first secret, which is long enough'] })
          const revoker = createRevoker({ choke, nowMs: Date.now })
          for (let at = 0, reached = 0; reached < sequence; at += 1) {
            const id = `${title} ${at}`
            reached = (await revoker.revoke({ kind: 'key', id })).sequences.at(-1)!
          }
          await database.close()
          await one.revoker.revoke({ kind: 'key', id: title })
        }
        await until(() => nodes.every(({ revocations }) => revocations.isEnded(all) && revocations.isFresh()))
        for (const { revocations, sessions } of nodes) {
          for (const cookie of [session, later.session]) {
            expect(await sessions.verifyCookie(cookie, Date.now())).toMatchObject({ principal: null })
          }
          if (isWrittenOn) {
            const proof = { sequence: revocations.sequence, names: [`key:${title} 0`], issuedAtMs: null }
            expect(revocations.isEnded(proof)).toBe(true)
          }
        }
        const back = two.client()
        expect((await back.signIn(`gone-${isWrittenOn}@example.com`)).status).toBe(200)
        for (const { sessions } of nodes) {
          expect(await sessions.verifyCookie(back.session, Date.now())).not.toMatchObject({ principal: null })
        }
        copy.remove()
      }, 30_000)
    }
  })
}

/** As operators do it: `pg_dump` and `pg_restore`, and SQLite's own backup both ways; the nodes keep their connections. */
async function copyOf(store: TestStore, { database }: TestNode) {
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'))
  const file = join(folder, 'copy')
  const remove = () => rmSync(folder, { recursive: true })
  if (store.kind === 'sqlite') {
    const live = database.handle as DatabaseSync
    await backup(live, file)
    const restore = async () => {
      const copy = new DatabaseSync(file)
      await backup(copy, live.location()!)
      copy.close()
    }
    return { restore, remove }
  }
  run('pg_dump', '--format=custom', `--file=${file}`, store.url)
  const restore = async () => run('pg_restore', '--clean', '--single-transaction', `--dbname=${store.url}`, file)
  return { restore, remove }
}

function run(program: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(join(postgresBin(), program), args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? stderr}`)
}
