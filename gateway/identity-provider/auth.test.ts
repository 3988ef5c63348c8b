/** What stands behind our own doors: the identity provider must be safe even for a request that got past them. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  AUTH_SETTINGS,
  COOKIE,
  createStore,
  ORIGIN,
  PASSWORD,
  startNode,
  type TestNode,
  type TestStore,
} from '../test/ports/identity.ts'
import { type Auth, authOptions, createAuth } from './auth.ts'

/** Past our own doors: what the identity provider does when a request reaches it all the same. */
let store: TestStore
let node: TestNode
let auth: Auth
beforeAll(async () => {
  store = await createStore('sqlite')
  node = await startNode(store)
  auth = createAuth(authOptions(AUTH_SETTINGS, node.database.handle))
})
afterAll(async () => {
  await node.stop()
  await store.remove()
})

async function signUp(
  email: string,
): Promise<{ readonly cookie: string; readonly token: string; readonly id: string }> {
  const { headers, response } = await auth.api.signUpEmail({
    body: { email, password: PASSWORD, name: 'Ada' },
    returnHeaders: true,
  })
  const [line = ''] = headers.getSetCookie()
  return { cookie: line.split(';')[0]!, token: response.token!, id: response.user.id }
}
const get = (path: string, headers: Record<string, string>) =>
  auth.handler(new Request(`${ORIGIN}/api/auth${path}`, { headers }))

test('[FR-009] an impersonated session proves nothing about when or how somebody signed in', async () => {
  const root = await signUp('root@example.com')
  const victim = await signUp('victim@example.com')
  await node.users.setRoles(root.id, ['admin'])
  const { session } = await auth.api.impersonateUser({
    body: { userId: victim.id },
    headers: new Headers({ cookie: root.cookie }),
  })
  const rows = await node.database.query('select "authenticatedAt", amr from session where token = $1', [session.token])
  expect(rows).toEqual([{ authenticatedAt: null, amr: null }])
  const [own] = await node.database.query('select "authenticatedAt", amr from session where token = $1', [victim.token])
  expect(own).toEqual({ authenticatedAt: expect.any(String), amr: 'pwd' })
})

test('[FR-011] a bare session token, as it stands in the database, opens nothing', async () => {
  const { token, cookie } = await signUp('bare@example.com')
  expect((await get('/list-sessions', { authorization: `Bearer ${token}` })).status).toBe(401)
  expect((await get('/list-sessions', { cookie: `${COOKIE}=${token}` })).status).toBe(401)
  expect((await get('/list-sessions', { cookie })).status).toBe(200)
})

test('[FR-012] its own check of the origin is on, in tests too', async () => {
  const { cookie } = await signUp('origin@example.com')
  const signOut = (headers: Record<string, string>) =>
    auth.handler(new Request(`${ORIGIN}/api/auth/sign-out`, { method: 'POST', headers: { cookie, ...headers } }))
  expect((await signOut({ origin: 'https://evil.example' })).status).toBe(403)
  expect((await signOut({})).status).toBe(403)
  expect((await signOut({ origin: ORIGIN })).status).toBe(200)
})

test('[FR-040] an impersonated session lives an hour at most, however long others may idle and however much it is used', async () => {
  const chief = await signUp('chief@example.com')
  const target = await signUp('target@example.com')
  await node.users.setRoles(chief.id, ['admin'])
  const startedAtMs = Date.now()
  const { session } = await auth.api.impersonateUser({
    body: { userId: target.id },
    headers: new Headers({ cookie: chief.cookie }),
  })
  const [row] = await node.database.query('select "expiresAt" from session where token = $1', [session.token])
  const lifeMs = Date.parse(String(row!.expiresAt)) - startedAtMs
  expect(AUTH_SETTINGS.idleMs).toBeGreaterThan(3_600_000)
  expect(lifeMs).toBeLessThanOrEqual(3_600_000 + 5000)
  expect(lifeMs).toBeGreaterThan(3_500_000)
})
