/** A copy of the database from before stands in the place of the newer one: nobody who was signed in then is let in by it. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createStore, STORE_KINDS, startNode, type TestNode, type TestStore } from '../test/ports/identity.ts'
import { until } from '../test/ports/switch.ts'

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
  })
}
