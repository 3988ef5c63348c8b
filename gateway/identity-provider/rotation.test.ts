/** What rotating the secret does to sessions, tokens and keys, on each real database. */

import { expect, test } from 'vitest'
import type { Principal } from '../model.ts'
import { createStore, STORE_KINDS, startNode, type TestNode } from '../test/ports/identity.ts'

const OLD = 'the old secret, which is long enough to be one'
const NEW = 'the new secret, which is long enough to be one'

const sessionOf = async (node: TestNode, cookie: string) => node.sessions.verifyCookie(cookie, Date.now())
const kidsOf = async (node: TestNode) =>
  (await node.provider.publicKeys()).keys.map((key) => (key as { kid: string }).kid)
const tokenOf = async (response: Response) => ((await response.json()) as { token: string }).token

for (const kind of STORE_KINDS) {
  test(`[FR-025] ${kind}: rotating the secret keeps sessions, tokens and keys, gives cookies anew, and lets the old one go`, async () => {
    const store = await createStore(kind)
    const before = await startNode(store, { secrets: [OLD] })
    const client = before.client()
    await client.signUp('ada@example.com')
    const old = client.session
    const token = await tokenOf(await client.send('GET', '/token'))
    const kids = await kidsOf(before)
    await before.stop()

    const during = await startNode(store, { secrets: [NEW, OLD] })
    const found = (await sessionOf(during, old)) as unknown as { principal: Principal; setCookies: string[] }
    expect(found.principal).toMatchObject({ email: 'ada@example.com' })
    const renewed = /=([^;]+);/.exec(found.setCookies[0]!)![1]!
    expect(renewed).not.toBe(old)
    expect(renewed.split('.')[0]).toBe(old.split('.')[0])
    expect(await during.tokens.verifyToken(token, Date.now())).toMatchObject({
      principal: { email: 'ada@example.com' },
    })
    // The identity provider itself only knows the newest secret: an old cookie is signed anew on the way to it.
    const visitor = during.client()
    visitor.cookies.set('postern.session_token', old)
    expect(await (await visitor.send('GET', '/get-session')).json()).toMatchObject({
      user: { email: 'ada@example.com' },
    })
    expect((await visitor.send('GET', '/token')).status).toBe(200)
    expect(await kidsOf(during)).toEqual(kids)
    await during.stop()

    const after = await startNode(store, { secrets: [NEW] })
    expect(await sessionOf(after, renewed)).toMatchObject({ principal: { email: 'ada@example.com' } })
    expect(await sessionOf(after, old)).toMatchObject({ reason: 'session.malformed' })
    expect(await kidsOf(after)).toEqual(kids)
    const guest = after.client()
    guest.cookies.set('postern.session_token', renewed)
    const again = await tokenOf(await guest.send('GET', '/token'))
    expect(await after.tokens.verifyToken(again, Date.now())).toMatchObject({ principal: { email: 'ada@example.com' } })
    expect(after.logged).toEqual([])
    await after.stop()
    await store.remove()
  })

  test(`[FR-025] ${kind}: a secret replaced at once ends every session and makes new keys, and signing in works`, async () => {
    const store = await createStore(kind)
    const before = await startNode(store, { secrets: [OLD] })
    const client = before.client()
    await client.signUp('ada@example.com')
    const { session } = client
    const kids = await kidsOf(before)
    await before.stop()

    const after = await startNode(store, { secrets: [NEW] })
    expect(await sessionOf(after, session)).toMatchObject({ reason: 'session.malformed' })
    const guest = after.client()
    expect((await guest.signIn('ada@example.com')).status).toBe(200)
    // The log's entries were sealed by nobody we know, so everything issued before has ended; and what comes now is good.
    const token = await tokenOf(await guest.send('GET', '/token'))
    expect(await after.tokens.verifyToken(token, Date.now())).toMatchObject({ principal: { email: 'ada@example.com' } })
    const now = await kidsOf(after)
    expect(now).toHaveLength(4)
    expect(now).toEqual(expect.arrayContaining(kids))
    await after.stop()
    await store.remove()
  })

  test(`[FR-033] ${kind}: a fleet whose secret is rotated as the manual says reads one log throughout, and nothing else ends`, async () => {
    const store = await createStore(kind)
    const beganAtMs = Date.now() - 1
    const start = (secrets: readonly string[]) => startNode(store, { secrets, isAlone: false })
    const nodes = [await start([OLD]), await start([OLD])]
    const names: string[] = []
    for (const secrets of [[OLD, NEW], [NEW, OLD], [NEW]]) {
      for (const at of nodes.keys()) {
        await nodes[at]!.stop()
        nodes[at] = await start(secrets)
        for (const node of nodes) {
          const id = `k_${names.length}`
          await node.revoker.revoke({ kind: 'key', id })
          names.push(`key:${id}`)
        }
        for (const { revocations, logged } of nodes) {
          expect(await revocations.catchUp()).toBe(true)
          expect(revocations.status()).toMatchObject({ badSeals: 0, gaps: 0, rewinds: 0 })
          const { sequence } = revocations
          for (const name of names) expect(revocations.isEnded({ sequence, names: [name], issuedAtMs: 0 })).toBe(true)
          expect(revocations.isEnded({ sequence, names: ['key:other'], issuedAtMs: beganAtMs })).toBe(false)
          expect(logged).toEqual([])
        }
      }
    }
    for (const node of nodes) await node.stop()
    await store.remove()
  })
}
