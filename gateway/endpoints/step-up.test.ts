/** Signing in again because a page asks for more: for the same person, with a new session, and never in circles. */

import { beforeEach, expect, test } from 'vitest'
import { type Client, COOKIE, leadsTo, type OwnPages, openOwnPages } from '../test/support/own-pages.ts'

const ANN = { name: 'Ann', email: 'ann@example.com', password: 'correct horse' }
const BOB = { name: 'Bob', email: 'bob@example.com', password: 'battery staple' }

let pages: OwnPages
let client: Client
beforeEach(async () => {
  pages = await openOwnPages()
  client = pages.client()
  await client.post('/_postern/sign-up', ANN)
})

const seal = (purpose: string, text: string) => pages.sealer.seal(purpose, text, Date.now() + 60_000)

async function asked(missing: 'fresh' | 'mfa', by = client): Promise<string> {
  const back = encodeURIComponent(await seal('return', '/books'))
  const again = encodeURIComponent(await seal('step-up', missing))
  return (await by.get(`/_postern/sign-in?return=${back}&again=${again}`)).text()
}

async function signInAgain(person: typeof ANN, by = client, missing = 'fresh') {
  const fields = { ...person, return: await seal('return', '/books'), again: await seal('step-up', missing) }
  return by.post('/_postern/sign-in', fields)
}

async function sessionOf(by: Client) {
  const [token = ''] = decodeURIComponent(by.cookies.get(COOKIE) ?? '').split('.')
  const [row] = await pages.database.query('select * from session where token = $1', [token])
  return row ?? null
}

test('[FR-040] the page says why, with the person’s address in place and only the password to type', async () => {
  const text = await asked('fresh')
  expect(text).toContain('This page asks you to sign in again.')
  expect(text).toMatch(/<input id="email"[^>]* value="ann@example.com"[^>]* readonly>/)
  expect(text).toMatch(/<input id="password"[^>]* autofocus>/)
  expect(text).toContain('Sign in as someone else')
})

test('[FR-040] a new sign-in is a new session with its own time; the one before has ended, and it leads back', async () => {
  const former = client.cookies.get(COOKIE)!
  const then = '2020-01-01T00:00:00.000Z'
  await pages.database.query('update session set "authenticatedAt" = $1', [then])
  const before = (await sessionOf(client))!
  const response = await signInAgain(ANN)
  expect(await leadsTo(response)).toBe('/books')
  const now = (await sessionOf(client))!
  expect(now.id).not.toBe(before.id)
  expect(now.userId).toBe(before.userId)
  expect(Date.parse(String(now.authenticatedAt))).toBeGreaterThan(Date.parse(then))
  expect(await pages.sessionCount()).toBe(1)
  const old = pages.client()
  old.cookies.set(COOKIE, former)
  expect((await old.get('/_postern/account')).status).toBe(303)
})

test('[FR-040] somebody else who signs in there is somebody else, and nobody’s session is made fresh', async () => {
  const other = pages.client()
  await other.post('/_postern/sign-up', BOB)
  await pages.database.query('update session set "authenticatedAt" = $1', ['2020-01-01T00:00:00.000Z'])
  const anns = (await sessionOf(client))!
  const bobs = (await sessionOf(other))!
  expect((await signInAgain(BOB)).status).toBe(200)
  expect((await sessionOf(client))!.userId).toBe(bobs.userId)
  expect(await (await client.get('/_postern/account')).text()).toContain('bob@example.com')
  const rows = await pages.database.query('select id, "authenticatedAt" from session where "authenticatedAt" < $1', [
    '2021-01-01T00:00:00.000Z',
  ])
  expect(rows.map(({ id }) => id)).toEqual([bobs.id])
  expect(rows.map(({ id }) => id)).not.toContain(anns.id)
})

test('[FR-040] a wrong password changes nothing and asks once more, in the same words', async () => {
  const before = await sessionOf(client)
  const response = await signInAgain({ ...ANN, password: 'not this one' })
  expect(response.status).toBe(422)
  const text = await response.text()
  expect(text).toContain('role="alert"')
  expect(text).toContain('This page asks you to sign in again.')
  expect(text).toContain('name="again"')
  expect(text).not.toContain('not this one')
  expect(await sessionOf(client)).toEqual(before)
  const empty = await signInAgain({ ...ANN, password: '' })
  expect(await empty.text()).toMatch(/id="password-error">Enter your password/)
})

test('[FR-040] who has no second factor is told so, and is offered no password to type in vain', async () => {
  const text = await asked('mfa')
  expect(text).toContain('A second factor is needed')
  expect(text).toContain('your account has none')
  expect(text).not.toContain('<form')
  expect(text).not.toContain('http-equiv="refresh"')
})

test('[FR-040] whoever acts in another’s name is told that this person has to sign in', async () => {
  await pages.database.query('update session set "authenticatedAt" = null, amr = null')
  for (const missing of ['fresh', 'mfa'] as const) {
    const text = await asked(missing)
    expect(text).toContain('This person has to sign in')
    expect(text).not.toContain('<form')
  }
})

test('[FR-040] a session that was to end with the browser stays one', async () => {
  client.cookies.set('postern.dont_remember', 'true')
  const lines = (await signInAgain(ANN)).headers.getSetCookie()
  const cookie = lines.find((line) => line.startsWith(`${COOKIE}=`))!
  expect(cookie).not.toMatch(/max-age/i)
  expect((await sessionOf(client))!.isRemembered).toBeFalsy()
})

test('[FR-040] no link makes the page say it: without a seal of ours, or a session, it is an ordinary sign-in', async () => {
  const ordinary = 'You are signed in as <strong>ann@example.com</strong>. <a href='
  for (const again of ['mfa', 'fresh', '', await seal('return', 'mfa'), await seal('step-up', 'other')]) {
    const page = await client.get(`/_postern/sign-in?again=${encodeURIComponent(again)}`)
    expect(await page.text()).toContain(ordinary)
  }
  const stranger = await asked('fresh', pages.client())
  expect(stranger).toContain('<h1>Sign in</h1>')
  expect(stranger).not.toContain('readonly')
})
