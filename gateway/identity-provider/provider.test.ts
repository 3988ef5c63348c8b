/** The identity provider whole, on each real database: signing in, ending, changing, and two nodes that share one store. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Authentication, Principal } from '../model.ts'
import { Refusal } from '../model.ts'
import {
  COOKIE,
  claimsOf,
  createStore,
  ORIGIN,
  PASSWORD,
  STORE_KINDS,
  startNode,
  type TestNode,
  type TestStore,
} from '../test/ports/identity.ts'

for (const kind of STORE_KINDS) {
  describe(`on ${kind}`, () => {
    let store: TestStore
    let node: TestNode
    beforeAll(async () => {
      store = await createStore(kind)
      node = await startNode(store)
    })
    afterAll(async () => {
      await node.stop()
      await store.remove()
    })

    const whoIs = (cookie: string, on = node) => on.sessions.verifyCookie(cookie, Date.now())
    async function principalOf(cookie: string, on = node): Promise<Principal | null> {
      const found = await whoIs(cookie, on)
      if (found instanceof Refusal) throw new Error(found.reason)
      return found.principal
    }
    const ENDED: Authentication = {
      principal: null,
      proofs: [],
      rate: null,
      setCookies: [`${COOKIE}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax`],
    }

    test('[FR-009] signing up signs in, and the cookie speaks for who signed up', async () => {
      const ada = node.client()
      const response = await ada.signUp('ada@example.com')
      expect(response.status).toBe(200)
      expect(response.headers.getSetCookie()).toEqual([
        `${COOKIE}=${ada.session}; Max-Age=28800; Path=/; HttpOnly; SameSite=Lax`,
      ])
      expect(response.headers.get('cache-control')).toBe('no-store')
      const principal = await principalOf(ada.session)
      expect(principal).toMatchObject({
        kind: 'user',
        credential: 'session',
        issuer: ORIGIN,
        email: 'ada@example.com',
        emailVerified: false,
        name: 'Ada',
        roles: ['user'],
        methods: ['pwd'],
      })
      expect(Math.abs(Date.now() - principal!.authenticatedAtMs!)).toBeLessThan(60_000)
    })

    test('[FR-009] what is in memory is answered without a promise', async () => {
      const client = node.client()
      await client.signUp('memory@example.com')
      expect(whoIs(client.session)).toBeInstanceOf(Promise)
      await whoIs(client.session)
      expect(whoIs(client.session)).not.toBeInstanceOf(Promise)
    })

    test('[FR-009] signing out ends the session at once, in memory too', async () => {
      const client = node.client()
      await client.signUp('out@example.com')
      const { session } = client
      expect(await principalOf(session)).not.toBeNull()
      expect((await client.send('POST', '/sign-out')).status).toBe(200)
      expect(await whoIs(session)).toEqual(ENDED)
      expect(client.cookies.size).toBe(0)
    })

    test('[FR-009] a ban ends every session and token at once, and no new one begins', async () => {
      const client = node.client()
      await client.signUp('bad@example.com')
      const { token } = (await (await client.send('GET', '/token')).json()) as { token: string }
      const { subject } = (await principalOf(client.session))!
      expect(await node.tokens.verifyToken(token, Date.now())).toMatchObject({ principal: { subject } })
      await node.users.ban(subject, 'spam', null)
      expect(await whoIs(client.session)).toEqual(ENDED)
      expect(await node.tokens.verifyToken(token, Date.now())).toMatchObject({ reason: 'token.session-ended' })
      expect((await node.client().signIn('bad@example.com')).status).toBe(403)
      await node.users.unban(subject)
      expect((await node.client().signIn('bad@example.com')).status).toBe(200)
    })

    test('[FR-009] a ban that missed the sessions still refuses them', async () => {
      const client = node.client()
      await client.signUp('banned-row@example.com')
      const { subject } = (await principalOf(client.session))!
      await node.database.query(`update "user" set banned = ${kind === 'sqlite' ? '1' : 'true'} where id = $1`, [
        subject,
      ])
      const other = await startNode(store)
      expect(await whoIs(client.session, other)).toEqual(ENDED)
      await other.stop()
    })

    test('[FR-009] a role change shows in the session and in tokens at once, whatever the token says', async () => {
      const client = node.client()
      await client.signUp('role@example.com')
      const { token } = (await (await client.send('GET', '/token')).json()) as { token: string }
      const { subject } = (await principalOf(client.session))!
      expect(await node.tokens.verifyToken(token, Date.now())).toMatchObject({ principal: { roles: ['user'] } })
      await node.users.setRoles(subject, ['editor', 'reader'])
      expect(await principalOf(client.session)).toMatchObject({ roles: ['editor', 'reader'] })
      expect(await node.tokens.verifyToken(token, Date.now())).toMatchObject({
        principal: { roles: ['editor', 'reader'] },
      })
    })

    test('[FR-009] changing the password ends the other sessions and renews this one, asked to or not', async () => {
      const [here, there] = [node.client(), node.client()]
      await here.signUp('change@example.com')
      await there.signIn('change@example.com')
      const before = here.session
      expect(await principalOf(there.session)).not.toBeNull()
      const body = { currentPassword: PASSWORD, newPassword: `${PASSWORD}!`, revokeOtherSessions: false }
      expect((await here.send('POST', '/change-password', body)).status).toBe(200)
      expect(await whoIs(there.session)).toEqual(ENDED)
      expect(await whoIs(before)).toEqual(ENDED)
      expect(here.session).not.toBe(before)
      expect(await principalOf(here.session)).toMatchObject({ email: 'change@example.com', methods: ['pwd'] })
    })

    test('[FR-009] sessions are ended one by one, all but this one, or all; and only one’s own', async () => {
      const [first, second, third, eve] = [node.client(), node.client(), node.client(), node.client()]
      await first.signUp('many@example.com')
      await second.signIn('many@example.com')
      await third.signIn('many@example.com')
      await eve.signUp('eve@example.com')
      const tokenOf = (cookie: string) => cookie.split('.')[0]

      await eve.send('POST', '/revoke-session', { token: tokenOf(second.session) })
      expect(await principalOf(second.session)).not.toBeNull()
      await first.send('POST', '/revoke-session', { token: tokenOf(second.session) })
      expect(await whoIs(second.session)).toEqual(ENDED)
      expect((await first.send('POST', '/revoke-other-sessions')).status).toBe(200)
      expect(await whoIs(third.session)).toEqual(ENDED)
      expect(await principalOf(first.session)).not.toBeNull()
      expect((await first.send('POST', '/revoke-sessions')).status).toBe(200)
      expect(await whoIs(first.session)).toEqual(ENDED)
      expect(await principalOf(eve.session)).not.toBeNull()
    })

    test('[FR-009] signing in again ends the session the browser had', async () => {
      const client = node.client()
      await client.signUp('again@example.com')
      const before = client.session
      await client.signIn('again@example.com')
      expect(client.session).not.toBe(before)
      expect(await whoIs(before)).toEqual(ENDED)
      expect(await principalOf(client.session)).not.toBeNull()
    })

    test('[FR-010] a token of ours speaks for its session, and ends with it', async () => {
      const client = node.client()
      await client.signUp('token@example.com')
      const { token } = (await (await client.send('GET', '/token')).json()) as { token: string }
      const session = (await principalOf(client.session))!
      expect(await node.tokens.verifyToken(token, Date.now())).toMatchObject({
        principal: { ...session, credential: 'token', tokenId: expect.any(String), expiresAtMs: expect.any(Number) },
      })
      expect(node.tokens.verifyToken(token, Date.now())).not.toBeInstanceOf(Promise)
      await client.send('POST', '/sign-out')
      expect(await node.tokens.verifyToken(token, Date.now())).toMatchObject({ reason: 'token.session-ended' })
    })

    test('[FR-010] a token says who, and nothing of the rest of the user', async () => {
      const client = node.client()
      await client.signUp('claims@example.com')
      const { token } = (await (await client.send('GET', '/token')).json()) as { token: string }
      const claims = claimsOf(token)
      expect(Object.keys(claims).sort()).toEqual(
        ['aud', 'email', 'email_verified', 'exp', 'iat', 'iss', 'jti', 'name', 'roles', 'sid', 'sub'].sort(),
      )
      expect(claims.exp - claims.iat).toBe(900)
    })

    test('[FR-022] a session and a token made on one node work on another, and so does the proof for upstreams', async () => {
      const other = await startNode(store)
      const client = node.client()
      await client.signUp('two-nodes@example.com')
      const { token } = (await (await client.send('GET', '/token')).json()) as { token: string }
      expect(await principalOf(client.session, other)).toMatchObject({ email: 'two-nodes@example.com' })
      expect(await other.tokens.verifyToken(token, Date.now())).toMatchObject({
        principal: { email: 'two-nodes@example.com' },
      })
      const kids = async (on: TestNode) =>
        (await on.provider.publicKeys()).keys.map((key) => (key as { kid: string }).kid)
      expect(await kids(other)).toEqual(await kids(node))
      await other.stop()
    })
  })
}

for (const kind of STORE_KINDS) {
  test(`[FR-022] nodes that start at once on an empty ${kind} migrate it once and share one key of each kind`, async () => {
    const store = await createStore(kind)
    const nodes = await Promise.all([startNode(store), startNode(store), startNode(store)])
    const keys = await Promise.all(nodes.map((node) => node.provider.publicKeys()))
    expect(keys[0]!.keys).toHaveLength(2)
    expect(keys[1]).toEqual(keys[0])
    expect(keys[2]).toEqual(keys[0])
    for (const node of nodes) await node.stop()
    await store.remove()
  })
}
