/** Better Auth's own browser client against the real gateway, configured with nothing but what a browser would give it. */

import { createAuthClient } from 'better-auth/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestGateway, type TestGateway } from '../test/support/gateway.ts'

const POLICY = `
version: 1
origin: ORIGIN
login: { signup: open }
upstreams: { up: "http://127.0.0.1:9" }
routes:
  /**: { to: up, access: login }
`

let gateway: TestGateway

beforeAll(async () => {
  gateway = await startTestGateway({ policy: POLICY })
})

afterAll(async () => {
  await gateway?.close()
})

/** A browser's part: it keeps cookies and says where a request comes from. */
function browserFetch(): typeof fetch {
  const jar = new Map<string, string>()
  return async (input, init) => {
    const headers = new Headers(init?.headers)
    headers.set('origin', gateway.origin)
    headers.set('sec-fetch-site', 'same-origin')
    if (jar.size > 0) headers.set('cookie', [...jar].map(([name, value]) => `${name}=${value}`).join('; '))
    const response = await fetch(input, { ...init, headers })
    for (const line of response.headers.getSetCookie()) {
      const [name = '', value = ''] = line.split(';')[0]!.split(/=(.*)/s)
      if (value === '' || /max-age=0/i.test(line)) jar.delete(name)
      else jar.set(name, value)
    }
    return response
  }
}

test('[FR-021] the client signs up, is known, lists and ends sessions, changes its password and signs out', async () => {
  const client = createAuthClient({ baseURL: gateway.origin, fetchOptions: { customFetchImpl: browserFetch() } })
  const other = createAuthClient({ baseURL: gateway.origin, fetchOptions: { customFetchImpl: browserFetch() } })
  const email = 'ada@example.com'
  const password = 'correct horse battery staple'

  const signedUp = await client.signUp.email({ name: 'Ada', email, password })
  expect(signedUp.error).toBeNull()
  const { data } = await client.getSession()
  expect(data?.user).toMatchObject({ email, name: 'Ada', emailVerified: false })
  expect(new Date(data?.session.expiresAt ?? 0).getTime()).toBeGreaterThan(Date.now())

  expect((await other.signIn.email({ email, password: 'wrong, and long enough' })).error?.status).toBe(401)
  expect((await other.signIn.email({ email, password })).error).toBeNull()
  expect((await client.listSessions()).data).toHaveLength(2)

  expect((await client.revokeOtherSessions()).error).toBeNull()
  expect((await other.getSession()).data).toBeNull()

  const changed = await client.changePassword({ currentPassword: password, newPassword: `${password}, again` })
  expect(changed.error).toBeNull()
  expect((await client.getSession()).data?.user.email).toBe(email)
  expect((await client.signOut()).error).toBeNull()
  expect((await client.getSession()).data).toBeNull()
  expect((await other.signIn.email({ email, password })).error?.status).toBe(401)
})

test('[FR-021] what the client may not do it is told in its own terms', async () => {
  const client = createAuthClient({ baseURL: gateway.origin, fetchOptions: { customFetchImpl: browserFetch() } })
  const { error } = await client.requestPasswordReset({ email: 'ada@example.com' })
  expect(error?.status).toBe(404)
  expect((await client.updateUser({ name: 'Nobody' })).error?.status).toBe(401)
})
