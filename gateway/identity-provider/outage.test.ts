/** A database that is gone or frozen: what still serves, what is refused, and that it all comes back by itself. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Authentication, Refusal } from '../model.ts'
import { openDatabase } from '../stores/database/open.ts'
import { createStore, startNode, type TestNode, type TestStore } from '../test/ports/identity.ts'
import { type Switch, startSwitch, until } from '../test/ports/switch.ts'

for (const outage of ['cut', 'freeze'] as const) {
  describe(outage, () => {
    let store: TestStore
    let line: Switch
    let node: TestNode
    let clockMs = 0
    beforeAll(async () => {
      store = await createStore('postgres')
      line = await startSwitch(store.url)
      node = await startNode(store, { database: await openDatabase(line.url, ''), nowMs: () => Date.now() + clockMs })
    })
    afterAll(async () => {
      await line.mend()
      await node.stop()
      await line.close()
      await store.remove()
    })
    const ask = (cookie: string) => node.sessions.verifyCookie(cookie, Date.now() + clockMs)
    const reasonOf = (found: Authentication | Refusal) => ('reason' in found ? found.reason : found.principal)

    test(`[FR-023] postgres ${outage}: a valid entry serves while it lives, everything else is 503, and all of it recovers by itself`, async () => {
      const [known, unknown] = [node.client(), node.client()]
      await known.signUp('known@example.com')
      await unknown.signUp('unknown@example.com')
      const { token } = (await (await known.send('GET', '/token')).json()) as { token: string }
      await ask(known.session)
      await node.tokens.verifyToken(token, Date.now())

      await line[outage]()
      expect(reasonOf(await ask(known.session))).toMatchObject({ email: 'known@example.com' })
      expect(await node.tokens.verifyToken(token, Date.now())).toMatchObject({
        principal: { email: 'known@example.com' },
      })
      expect(reasonOf(await ask(unknown.session))).toBe('session.unavailable')
      // Past the bound nobody can tell whether it has been revoked.
      clockMs += 6000
      expect(reasonOf(await ask(known.session))).toBe('revocation.stale')
      expect(await node.tokens.verifyToken(token, Date.now() + clockMs)).toMatchObject({ reason: 'revocation.stale' })

      expect((await node.provider.publicKeys()).keys).toHaveLength(2)
      expect(await node.provider.isReady()).toBe(false)
      for (const [method, path] of [
        ['GET', '/get-session'],
        ['GET', '/token'],
        ['POST', '/sign-out'],
        ['POST', '/revoke-sessions'],
      ] as const) {
        const response = await known.send(method, path)
        expect([path, response.status]).toEqual([path, 503])
        expect(await response.text()).not.toMatch(/postgres|127\.0\.0\.1|stack|ECONN/i)
      }
      expect((await node.client().signIn('known@example.com')).status).toBe(503)

      await line.mend()
      await until(async () => !('reason' in (await ask(known.session))))
      expect(reasonOf(await ask(known.session))).toMatchObject({ email: 'known@example.com' })
      await until(async () => (await node.client().signIn('known@example.com')).status === 200)
      await until(() => node.provider.isReady())
    }, 60_000)

    test(`[FR-023] postgres ${outage}: signing out is not acknowledged while the session could not be ended`, async () => {
      const client = node.client()
      await client.signUp('leaving@example.com')
      await ask(client.session)
      await line[outage]()
      // The session is in memory, so the request gets as far as the write.
      const response = await client.send('POST', '/sign-out')
      expect(response.status).toBe(503)
      expect(response.headers.getSetCookie()).toEqual([])
      await line.mend()
      await until(async () => (await client.send('POST', '/sign-out')).status === 200)
      expect(reasonOf(await ask(client.session === '' ? 'x' : client.session))).toBe('session.malformed')
    }, 60_000)
  })
}
