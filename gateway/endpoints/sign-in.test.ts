/** Signing in, up and out by form, against a real Better Auth. */

import { beforeEach, expect, test } from 'vitest'
import { COOKIE, leadsTo, type OwnPages, openOwnPages } from '../test/support/own-pages.ts'

const ANN = { name: 'Ann', email: 'ann@example.com', password: 'correct horse' }

let pages: OwnPages
beforeEach(async () => {
  pages = await openOwnPages()
  await pages.client().post('/_postern/sign-up', ANN)
})

test('[FR-009] a right password gives a session that the account page knows', async () => {
  const client = pages.client()
  const response = await client.post('/_postern/sign-in', ANN)
  expect(await leadsTo(response)).toBe('/')
  expect(response.headers.getSetCookie()[0]).toMatch(/^postern\.session_token=.*HttpOnly.*SameSite=Lax/i)
  expect(await (await client.get('/_postern/account')).text()).toContain('ann@example.com')
})

test('[FR-009] a wrong password and an unknown e-mail get the same page, but for the e-mail typed', async () => {
  const wrong = await pages.client().post('/_postern/sign-in', { ...ANN, password: 'not this one' })
  const unknown = await pages.client().post('/_postern/sign-in', { email: 'bob@example.com', password: 'not this one' })
  expect([wrong.status, unknown.status]).toEqual([422, 422])
  const text = await wrong.text()
  expect((await unknown.text()).replaceAll('bob@', 'ann@')).toBe(text)
  expect(text).toContain('role="alert"')
  expect(text).toContain('value="ann@example.com"')
  expect(text).not.toContain('not this one')
  expect(wrong.headers.getSetCookie()).toEqual([])
})

test('[FR-020] a field that cannot be right is named, described and focused', async () => {
  const response = await pages.client().post('/_postern/sign-in', { email: 'no address', password: '' })
  expect(response.status).toBe(422)
  const text = await response.text()
  expect(text).toContain('<title>Error: Sign in')
  expect(text).toMatch(/id="email-error">Enter an e-mail address/)
  expect(text).toMatch(/<input id="email"[^>]*aria-describedby="email-error"[^>]*aria-invalid="true" autofocus>/)
  expect(text).toMatch(/<input id="password"[^>]*aria-describedby="password-error"/)
})

const forged = [
  [{ 'sec-fetch-site': 'cross-site' }, 'another site'],
  [{ 'sec-fetch-site': 'same-site' }, 'a neighbor under the same domain'],
  [{ 'sec-fetch-site': 'none' }, 'no site at all'],
  [{ 'sec-fetch-site': 'cross-site', origin: 'http://localhost:8080' }, 'another site that claims our origin'],
  [{ origin: 'https://evil.example' }, 'another origin'],
  [{ origin: 'null' }, 'an opaque origin'],
  [{ origin: 'http://localhost:8080.evil.example' }, 'an origin that begins like ours'],
  [{}, 'a sender that shows nothing'],
] as const

const formPaths = ['/_postern/sign-in', '/_postern/sign-up', '/_postern/sign-out', '/_postern/account']

for (const [headers, sender] of forged) {
  test(`[FR-012] no form of ours is taken from ${sender}, with a cookie or without`, async () => {
    const client = pages.client()
    await client.post('/_postern/sign-in', ANN)
    const before = await pages.sessionCount()
    for (const path of formPaths) {
      for (const sent of [client, pages.client()]) {
        const response = await sent.post(path, { ...ANN, action: 'end-all' }, headers)
        expect(response.status, path).toBe(403)
        expect(await response.json()).toMatchObject({ code: 'cross-site-request' })
        expect(response.headers.getSetCookie()).toEqual([])
      }
    }
    expect(await pages.sessionCount()).toBe(before)
    expect((await client.get('/_postern/account')).status).toBe(200)
  })
}

test('[FR-012] an Origin of ours is evidence where a browser sends no fetch metadata', async () => {
  const response = await pages.client().post('/_postern/sign-in', ANN, { origin: 'http://localhost:8080' })
  expect(await leadsTo(response)).toBe('/')
})

test('[FR-009] signing in again changes the session and ends the one before', async () => {
  const client = pages.client()
  await client.post('/_postern/sign-in', ANN)
  const former = client.cookies.get(COOKIE)!
  const before = await pages.sessionCount()
  await client.post('/_postern/sign-in', ANN)
  expect(client.cookies.get(COOKIE)).not.toBe(former)
  expect(await pages.sessionCount()).toBe(before)
  const old = pages.client()
  old.cookies.set(COOKIE, former)
  expect((await old.get('/_postern/account')).status).toBe(303)
  expect((await client.get('/_postern/account')).status).toBe(200)
})

test('[FR-019] a sign-in leads on by a page, which browsers do not hold against the form’s policy as they do a redirect', async () => {
  const sealed = await pages.sealer.seal('return', `/books?q="><script>&a='1'`, Date.now() + 60_000)
  const response = await pages.client().post('/_postern/sign-in', { ...ANN, return: sealed })
  expect([response.status, response.headers.get('location')]).toEqual([200, null])
  const text = await response.text()
  expect(text).toContain('http-equiv="refresh" content="0; url=/books?q=&quot;&gt;&lt;script&gt;&amp;a=&#39;1&#39;"')
  expect(text).not.toContain('<script')
})

const names = [
  ['Zoë Nuñez', true],
  ['ياسمین می‌رود', true],
  ['👩‍🚀 Ada', true],
  ['Ann\u202egnp.exe', false],
  ['Ann\u0000', false],
  ['   ', false],
] as const

for (const [name, isTaken] of names) {
  test(`[FR-020] the name ${JSON.stringify(name)} is ${isTaken ? 'taken as it is' : 'refused'}`, async () => {
    const client = pages.client()
    const response = await client.post('/_postern/sign-up', { ...ANN, email: 'z@example.com', name })
    expect(response.status).toBe(isTaken ? 200 : 422)
    if (isTaken) expect(await (await client.get('/_postern/account')).text()).toContain(`<dd>${name}</dd>`)
  })
}

test('[FR-009] a failed sign-in leaves the session that was there', async () => {
  const client = pages.client()
  await client.post('/_postern/sign-in', ANN)
  await client.post('/_postern/sign-in', { ...ANN, password: 'not this one' })
  expect((await client.get('/_postern/account')).status).toBe(200)
})

test('[FR-009] a suspended person is told so only with the right password', async () => {
  const { id } = (await pages.users.findByEmail(ANN.email))!
  await pages.users.ban(id, 'a test', null)
  const right = await pages.client().post('/_postern/sign-in', ANN)
  expect([right.status, right.headers.getSetCookie()]).toEqual([422, []])
  expect(await right.text()).toContain('suspended')
  const wrong = await pages.client().post('/_postern/sign-in', { ...ANN, password: 'not this one' })
  expect(await wrong.text()).not.toContain('suspended')
})

test('[FR-009] after too many attempts the page says how long to wait', async () => {
  pages = await openOwnPages({ signInBurst: 3 })
  const client = pages.client()
  let response = await client.post('/_postern/sign-in', ANN)
  for (let attempt = 0; attempt < 5 && response.status !== 429; attempt++) {
    response = await client.post('/_postern/sign-in', ANN)
  }
  expect(response.status).toBe(429)
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(await response.text()).toMatch(/Too many attempts. Wait \d+ seconds?/)
})

test('[FR-020] markup typed into a form comes back as text', async () => {
  const attack = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
  const refused = await pages.client().post('/_postern/sign-up', { name: attack, email: attack, password: 'short' })
  const client = pages.client()
  await client.post('/_postern/sign-up', { name: attack, email: 'eve@example.com', password: 'correct horse' })
  const account = await client.get('/_postern/account')
  expect([refused.status, account.status]).toEqual([422, 200])
  for (const text of [await refused.text(), await account.text()]) {
    expect(text).toContain('&lt;script&gt;alert(1)')
    expect(text).not.toMatch(/<script|<img/)
  }
})

test('[FR-020] a device name is text and nothing more', async () => {
  const client = pages.client()
  await client.post('/_postern/sign-in', ANN, {
    'sec-fetch-site': 'same-origin',
    'user-agent': '<script>alert(1)</script>',
  })
  const text = await (await client.get('/_postern/account')).text()
  expect(text).toContain('&lt;script&gt;')
  expect(text).not.toContain('<script')
})

const badForms = [
  ['email=a%40example.com&email=b%40example.com&password=x', 'application/x-www-form-urlencoded', 400, 'a field twice'],
  ['{"email":"a@example.com"}', 'application/json', 400, 'a type that needs no preflight elsewhere and is not ours'],
  ['email=a', 'text/plain', 400, 'text'],
  [`email=${'a'.repeat(20_000)}`, 'application/x-www-form-urlencoded', 413, 'more than a form of ours can hold'],
  ['__proto__=1&constructor=2', 'application/x-www-form-urlencoded', 422, 'names with a meaning of their own'],
] as const

for (const [body, type, status, because] of badForms) {
  test(`[FR-020] a form is refused with ${status}: ${because}`, async () => {
    const request = new Request('http://localhost:8080/_postern/sign-in', {
      method: 'POST',
      headers: { 'content-type': type, 'sec-fetch-site': 'same-origin' },
      body,
    })
    expect((await pages.endpoints.fetch(request)).status).toBe(status)
  })
}

test('[FR-009] signing up twice with one e-mail is told, and gives no session', async () => {
  const client = pages.client()
  const response = await client.post('/_postern/sign-up', { ...ANN, password: 'another one entirely' })
  expect(response.status).toBe(422)
  expect(await response.text()).toContain('There is an account with this e-mail already')
  expect(client.cookies.size).toBe(0)
})

for (const signup of ['invite', 'closed'] as const) {
  test(`[FR-009] where sign-up is ${signup} there is no form, no link, and a form sent anyway makes nobody`, async () => {
    pages = await openOwnPages({ signup })
    const client = pages.client()
    const page = await client.get('/_postern/sign-up')
    expect(await page.text()).not.toContain('<form')
    expect(await (await client.get('/_postern/sign-in')).text()).not.toContain('/_postern/sign-up')
    const response = await client.post('/_postern/sign-up', ANN)
    expect([response.status, client.cookies.size, await pages.sessionCount()]).toEqual([403, 0, 0])
  })
}

test('[FR-009] signing out ends the session, removes the cookie and makes the browser forget', async () => {
  const client = pages.client()
  await client.post('/_postern/sign-in', ANN)
  const cookie = client.cookies.get(COOKIE)!
  expect(await (await client.get('/_postern/sign-out')).text()).toContain('Sign out?')
  expect((await client.get('/_postern/account')).status, 'asking changed nothing').toBe(200)
  const before = await pages.sessionCount()
  const response = await client.post('/_postern/sign-out', {})
  expect([response.status, response.headers.get('location')]).toEqual([303, '/_postern/sign-out'])
  expect(response.headers.get('clear-site-data')).toBe('"cache"')
  expect(client.cookies.has(COOKIE)).toBe(false)
  expect(await pages.sessionCount()).toBe(before - 1)
  expect(await (await client.get('/_postern/sign-out')).text()).toContain('You are signed out')
  client.cookies.set(COOKIE, cookie)
  expect((await client.get('/_postern/account')).status).toBe(303)
})

test('[FR-023] while the session cannot be ended the page does not say that it has', async () => {
  const client = pages.client()
  await client.post('/_postern/sign-in', ANN)
  pages.set({
    provider: {
      signup: 'open',
      handle: async () => new Response(null, { status: 503 }),
      publicKeys: async () => ({ keys: [] }),
      isReady: async () => false,
    },
  })
  const response = await client.post('/_postern/sign-out', {})
  expect(response.status).toBe(503)
  expect(await response.text()).toContain('still signed in')
  expect(client.cookies.has(COOKIE)).toBe(true)
})

test('[FR-019] someone signed in already may go on or sign in as someone else', async () => {
  const client = pages.client()
  await client.post('/_postern/sign-in', ANN)
  const sealed = await pages.sealer.seal('return', '/books', Date.now() + 60_000)
  const text = await (await client.get(`/_postern/sign-in?return=${encodeURIComponent(sealed)}`)).text()
  expect(text).toContain('You are signed in as <strong>ann@example.com</strong>')
  expect(text).toContain('<a href="/books">Continue</a>')
})
