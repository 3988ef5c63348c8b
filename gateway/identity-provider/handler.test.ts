/** What a request must show before the identity provider sees it, and what it never can change. */

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Authentication, Principal } from '../model.ts'
import {
  COOKIE,
  createStore,
  ORIGIN,
  PASSWORD,
  startNode,
  type TestClient,
  type TestNode,
  type TestStore,
} from '../test/ports/identity.ts'

let store: TestStore
let node: TestNode
let clockMs = 0
beforeAll(async () => {
  store = await createStore('sqlite')
  node = await startNode(store, { nowMs: () => Date.now() + clockMs })
})
afterAll(async () => {
  await node.stop()
  await store.remove()
})

let people = 0
async function someone(on = node): Promise<TestClient & { readonly email: string }> {
  // Each has an address of their own: tests that move the clock must not use up the limits of others.
  const client = on.client({ 'x-postern-client-ip': `198.51.100.${people}` })
  const email = `someone${people++}@example.com`
  await client.signUp(email)
  return Object.assign(Object.create(client) as TestClient, { email })
}
async function principalOf(cookie: string, on = node): Promise<Principal> {
  const found = await on.sessions.verifyCookie(cookie, Date.now() + clockMs)
  return (found as { principal: Principal }).principal
}
const codeOf = async (response: Response) => ((await response.json()) as { code?: string }).code

const crossSite = [
  [{ origin: 'https://evil.example' }, 'another origin'],
  [{ origin: 'null' }, 'an opaque origin'],
  [{ origin: `${ORIGIN}.evil.example` }, 'an origin that begins like ours'],
  [{ 'sec-fetch-site': 'cross-site' }, 'another site'],
  [{ 'sec-fetch-site': 'same-site' }, 'a sibling host'],
  [{ 'sec-fetch-site': 'cross-site', origin: ORIGIN }, 'what the browser says rules over Origin'],
] as const
for (const [headers, because] of crossSite) {
  test(`[FR-012] signing in or out is refused from ${because}, with a cookie or without`, async () => {
    const client = await someone()
    const out = await client.send('POST', '/sign-out', {}, headers)
    expect([out.status, await codeOf(out)]).toEqual([403, 'cross-site-request'])
    expect(await principalOf(client.session)).not.toBeNull()
    const body = { email: client.email, password: PASSWORD }
    expect((await node.client().send('POST', '/sign-in/email', body, headers)).status).toBe(403)
  })
}

test('[FR-012] a request that changes something and shows no origin at all needs to carry no cookie', async () => {
  const client = await someone()
  const bare = (cookie?: string) =>
    node.provider.handle(
      new Request(`${ORIGIN}/api/auth/sign-in/email`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(cookie === undefined ? {} : { cookie }) },
        body: JSON.stringify({ email: client.email, password: PASSWORD }),
      }),
    )
  expect((await bare()).status).toBe(200)
  expect((await bare(`${COOKIE}=${client.session}`)).status).toBe(403)
})

for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x']) {
  test(`[FR-012] a body of type ${type}, which any site's form can send, is refused`, async () => {
    const response = await node.client().send('POST', '/sign-in/email', {}, { 'content-type': type })
    expect(response.status).toBe(415)
  })
}

for (const body of ['[]', '"text"', 'null', '{', '7']) {
  test(`[FR-021] a body that is ${body} and no JSON object is 400`, async () => {
    const response = await node.provider.handle(
      new Request(`${ORIGIN}/api/auth/sign-in/email`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin: ORIGIN },
        body,
      }),
    )
    expect(response.status).toBe(400)
  })
}

test('[FR-021] nobody can set a role, an e-mail, or when and how they signed in', async () => {
  const client = node.client()
  const forged = {
    role: 'admin',
    emailVerified: true,
    banned: false,
    authenticatedAt: 0,
    amr: 'mfa',
    isRemembered: true,
  }
  const email = 'forger@example.com'
  const response = await client.send('POST', '/sign-up/email', { email, password: PASSWORD, name: 'Eve', ...forged })
  if (response.ok)
    expect(await principalOf(client.session)).toMatchObject({ roles: ['user'], emailVerified: false, methods: ['pwd'] })
  else await client.signUp(email)
  for (const [name, value] of Object.entries({ ...forged, email: 'root@example.com', id: 'u_1' })) {
    await client.send('POST', '/update-user', { name: 'Eve', [name]: value })
  }
  expect(await principalOf(client.session)).toMatchObject({
    email,
    roles: ['user'],
    emailVerified: false,
    methods: ['pwd'],
  })
})

const misfits = [
  ['/update-user', { name: { a: 'x'.repeat(3000) } }, 'Postgres would keep an object as a text of any length'],
  ['/update-user', { name: ['x'.repeat(3000)] }, 'and a list'],
  ['/update-user', { name: 7 }, 'a number becomes another text in each database'],
  ['/update-user', { name: null }, 'everybody has a name'],
  ['/update-user', { image: { a: 'x'.repeat(5000) } }, 'Postgres would keep an object as a text of any length'],
  ['/update-user', { name: 'a\0b' }, 'Postgres keeps no NUL'],
  ['/revoke-session', { token: '\0' }, 'Postgres keeps no NUL'],
  ['/sign-in/email', { callbackURL: '/книги' }, 'it would become a header after the session was made'],
] as const
for (const [path, fields, because] of misfits) {
  test(`[FR-021] ${path} with ${JSON.stringify(fields).slice(0, 24)} is 400 and no outage: ${because}`, async () => {
    const client = await someone()
    node.logged.length = 0
    const response = await client.send('POST', path, { email: client.email, password: PASSWORD, ...fields })
    expect([response.status, await codeOf(response)]).toEqual([400, 'FIELD_MALFORMED'])
    expect(node.logged).toEqual([])
    expect(await principalOf(client.session)).toMatchObject({ name: 'Ada' })
  })
}

test('[FR-021] an image can be taken away', async () => {
  const client = await someone()
  expect((await client.send('POST', '/update-user', { image: null })).status).toBe(200)
})

test('[FR-009] a sign-in that began with the old password does not outlive the change of it', async () => {
  const owner = await someone()
  const thieves = Array.from({ length: 12 }, () => node.client())
  const change = owner.send('POST', '/change-password', { currentPassword: PASSWORD, newPassword: `${PASSWORD}!` })
  const late: Promise<Response>[] = []
  for (const client of thieves) {
    late.push(client.signIn(owner.email))
    await new Promise((resolve) => setTimeout(resolve, 18))
  }
  expect((await change).status).toBe(200)
  await Promise.all(late)
  expect(await principalOf(owner.session)).toMatchObject({ email: owner.email })
  for (const client of thieves) {
    if (client.cookies.has(COOKIE)) expect(await principalOf(client.session)).toBeNull()
  }
})

test('[FR-021] changing the account asks for a fresh sign-in, and signing in again is one', async () => {
  const client = await someone()
  expect((await client.send('POST', '/update-user', { name: 'New' })).status).toBe(200)
  expect(await principalOf(client.session)).toMatchObject({ name: 'New' })
  clockMs = 901_000
  try {
    const stale = await client.send('POST', '/update-user', { name: 'Newer' })
    expect([stale.status, await codeOf(stale)]).toEqual([403, 'SESSION_NOT_FRESH'])
    await client.signIn(client.email)
    expect((await client.send('POST', '/update-user', { name: 'Newer' })).status).toBe(200)
    clockMs = -1000
    const future = await client.send('POST', '/update-user', { name: 'Newest' })
    expect([future.status, await codeOf(future)]).toEqual([403, 'SESSION_NOT_FRESH'])
  } finally {
    clockMs = 0
  }
})

test('[FR-009] reading, extending and changing a session leave when and how somebody signed in as they were', async () => {
  const client = await someone()
  const before = await principalOf(client.session)
  clockMs = 4 * 3_600_000
  try {
    const after = await principalOf(client.session)
    expect(after.expiresAtMs).toBeGreaterThan(before.expiresAtMs)
    expect(after.authenticatedAtMs).toBe(before.authenticatedAtMs)
    await client.send('GET', '/get-session')
    expect(await principalOf(client.session)).toMatchObject({
      authenticatedAtMs: before.authenticatedAtMs,
      methods: ['pwd'],
    })
  } finally {
    clockMs = 0
  }
})

test('[FR-009] a session is extended on the way to the identity provider as well, and the cookie comes along', async () => {
  const client = await someone()
  clockMs = 3_600_000
  try {
    const response = await client.send('GET', '/get-session')
    expect(response.headers.getSetCookie()).toEqual([
      expect.stringMatching(new RegExp(`^${COOKIE}=.*; Max-Age=288\\d\\d; Path=/; HttpOnly; SameSite=Lax$`)),
    ])
    expect(await response.json()).toMatchObject({ user: { email: client.email } })
  } finally {
    clockMs = 0
  }
})

test('[FR-009] a dead or forged cookie is nobody to the identity provider, and is taken away', async () => {
  const client = await someone()
  const { session } = client
  await client.send('POST', '/sign-out')
  for (const value of [session, `${'a'.repeat(32)}.${'A'.repeat(43)}=`]) {
    client.cookies.set(COOKIE, value)
    const response = await client.send('GET', '/get-session')
    expect(await response.json()).toBeNull()
    expect(client.cookies.has(COOKIE)).toBe(false)
  }
})

test('[FR-009] who asked not to be remembered gets a cookie that ends with the browser', async () => {
  const client = await someone()
  const response = await client.signIn(client.email, { rememberMe: false })
  const [cookie] = response.headers.getSetCookie().filter((line) => line.startsWith(`${COOKIE}=`))
  expect(cookie).not.toContain('Max-Age')
  const found = await node.sessions.verifyCookie(client.session, Date.now() + 3_600_000)
  expect((found as Authentication).setCookies).toEqual([expect.not.stringContaining('Max-Age')])
})

test('[FR-009] changing the password leaves a browser that is not remembered so', async () => {
  const client = await someone()
  await client.signIn(client.email, { rememberMe: false })
  const body = { currentPassword: PASSWORD, newPassword: `${PASSWORD}!` }
  const response = await client.send('POST', '/change-password', body)
  expect(response.headers.getSetCookie().filter((line) => line.includes('Max-Age'))).toEqual([])
  const found = await node.sessions.verifyCookie(client.session, Date.now() + 3_600_000)
  expect((found as Authentication).setCookies).toEqual([expect.not.stringContaining('Max-Age')])
})

test('[FR-023] only so many passwords are hashed at once, and who comes too many is told to come again', async () => {
  const all = await Promise.all(Array.from({ length: 24 }, () => node.client().signIn('nobody@example.com')))
  const statuses = all.map((response) => response.status)
  expect(statuses.filter((status) => status === 401)).toHaveLength(16)
  expect(statuses.filter((status) => status === 503)).toHaveLength(8)
  expect(all.find((response) => response.status === 503)?.headers.get('retry-after')).toBe('1')
  expect((await node.client().signIn('nobody@example.com')).status).toBe(401)
})

test('[FR-011] a signed session token serves as a bearer token here; a bare one, a JWT or another scheme does not', async () => {
  const client = await someone()
  const signed = decodeURIComponent(client.session)
  const ask = (authorization: string) => node.client({ authorization }).send('GET', '/list-sessions')
  expect((await ask(`Bearer ${signed}`)).status).toBe(200)
  const { token } = (await (await client.send('GET', '/token')).json()) as { token: string }
  for (const authorization of [`Bearer ${signed.split('.')[0]}`, `Bearer ${token}`, 'Basic dTpw', 'Bearer', signed]) {
    expect([authorization, (await ask(authorization)).status]).toEqual([authorization, 401])
  }
})

test('[FR-011] a bearer token and a cookie of two people are refused together', async () => {
  const [one, two] = [await someone(), await someone()]
  const authorization = `Bearer ${decodeURIComponent(two.session)}`
  expect((await one.send('GET', '/list-sessions', undefined, { authorization })).status).toBe(400)
})

for (const path of ['/sign-out', '/sign-in/email']) {
  test(`[FR-011] ${path} with a bearer token and a cookie of one person ends the sessions of both`, async () => {
    const browser = await someone()
    const program = node.client()
    await program.signIn(browser.email)
    const before = [browser.session, program.session]
    const authorization = `Bearer ${decodeURIComponent(program.session)}`
    const body = { email: browser.email, password: PASSWORD }
    expect((await browser.send('POST', path, body, { authorization })).status).toBe(200)
    expect(await Promise.all(before.map((session) => principalOf(session)))).toEqual([null, null])
  })
}

for (const signup of ['invite', 'closed'] as const) {
  test(`[FR-021] with sign-up ${signup} nobody makes an account over HTTP, and an administrator still can`, async () => {
    const own = await createStore('sqlite')
    const closed = await startNode(own, { login: { signup } })
    const response = await closed.client().signUp('new@example.com')
    expect([response.status, await codeOf(response)]).toEqual([403, 'SIGN_UP_CLOSED'])
    expect(response.headers.getSetCookie()).toEqual([])
    await closed.users.create({
      email: 'root@example.com',
      password: PASSWORD,
      name: 'Root',
      roles: ['admin', 'editor'],
    })
    const client = closed.client()
    expect((await client.signIn('root@example.com')).status).toBe(200)
    expect(await principalOf(client.session, closed)).toMatchObject({ roles: ['admin', 'editor'] })
    await closed.stop()
    await own.remove()
  })
}

test('[FR-021] a user that the command line makes has a proper password and proper roles', async () => {
  const user = { email: 'made@example.com', password: PASSWORD, name: 'Made', roles: ['admin'] }
  await expect(node.users.create({ ...user, password: 'short' })).rejects.toThrow(/characters/)
  await expect(node.users.create({ ...user, roles: ['a,admin'] })).rejects.toThrow(/role/)
  const id = await node.users.create(user)
  expect(await node.users.findByEmail('MADE@example.com')).toEqual({ id, roles: ['admin'] })
  await expect(node.users.create(user)).rejects.toThrow()
})

test('[FR-021] sign-in and sign-up are limited per address, by our own computed address only', async () => {
  const own = await createStore('sqlite')
  const rule = { burst: 2, intervalMs: 60_000 }
  const strict = await startNode(own, { login: { signInLimit: rule, signUpLimit: rule } })
  const from = (address: string, more: Record<string, string> = {}) =>
    strict.client({ 'x-postern-client-ip': address, ...more })
  const tries = async (address: string, more?: Record<string, string>) =>
    (await from(address, more).signIn('nobody@example.com')).status
  expect([await tries('192.0.2.1'), await tries('192.0.2.1'), await tries('192.0.2.1')]).toEqual([401, 401, 429])
  expect(await tries('192.0.2.1', { 'x-forwarded-for': '198.51.100.1' })).toBe(429)
  expect(await tries('192.0.2.2')).toBe(401)
  expect([await tries('2001:db8::1'), await tries('2001:db8::2'), await tries('2001:db8::3')]).toEqual([401, 401, 429])
  const refused = await from('192.0.2.1').signIn('nobody@example.com')
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  const ups = async (at: number) => (await from('192.0.2.1').signUp(`up${at}@example.com`)).status
  expect([await ups(1), await ups(2), await ups(3)]).toEqual([200, 200, 429])
  await strict.stop()
  await own.remove()
})

test('[FR-021] a wrong password and an unknown e-mail are answered alike', async () => {
  const client = await someone()
  const wrong = await node
    .client()
    .send('POST', '/sign-in/email', { email: client.email, password: 'not the password' })
  const unknown = await node.client().signIn('unknown@example.com')
  expect([wrong.status, await wrong.text()]).toEqual([unknown.status, await unknown.text()])
})

test('[FR-021] what is kept and shown to upstreams stays short', async () => {
  const long = await node
    .client()
    .send('POST', '/sign-up/email', { email: 'long@example.com', password: PASSWORD, name: 'x'.repeat(201) })
  expect(long.status).toBe(400)
  const agent = await node.client({ 'user-agent': 'y'.repeat(4000) })
  await agent.signUp('agent@example.com')
  const sessions = (await (await agent.send('GET', '/list-sessions')).json()) as {
    userAgent: string
    ipAddress: string
  }[]
  expect(sessions.map((session) => [session.userAgent.length, session.ipAddress])).toEqual([[512, '192.0.2.7']])
})

test('[FR-021] a callback elsewhere is refused', async () => {
  const client = await someone()
  for (const callbackURL of ['https://evil.example/', '//evil.example', '/\\evil.example', 'javascript:alert(1)']) {
    expect((await client.signIn(client.email, { callbackURL })).status).toBe(403)
  }
  expect(node.logged.map(String).join()).not.toContain('evil.example')
})

test('[FR-009] on https the cookies are bound to this host and to https', async () => {
  const own = await createStore('sqlite')
  const secure = await startNode(own, { origin: 'https://books.example.com', cookieName: `__Host-${COOKIE}` })
  const response = await secure
    .client()
    .send('POST', '/sign-up/email', { email: 'a@example.com', password: PASSWORD, name: 'A', rememberMe: false })
  const lines = response.headers.getSetCookie()
  expect(lines.map((line) => line.split('=')[0]).sort()).toEqual([
    '__Host-postern.dont_remember',
    '__Host-postern.session_token',
  ])
  for (const line of lines) {
    expect(line).toMatch(/; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
    expect(line).not.toMatch(/domain/i)
  }
  await secure.stop()
  await own.remove()
})

test('[FR-009] the key set is served where the clients look for it too, and holds nothing private', async () => {
  const response = await node.client().send('GET', '/jwks')
  const { keys } = (await response.json()) as { keys: Record<string, unknown>[] }
  expect(keys).toHaveLength(2)
  for (const key of keys) expect(key.d).toBeUndefined()
})
