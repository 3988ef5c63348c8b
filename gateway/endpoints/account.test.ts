/** The account page against a real Better Auth: who someone is, their sessions, and the ways to end those. */

import { beforeEach, expect, test } from 'vitest'
import { type Client, COOKIE, leadsTo, type OwnPages, openOwnPages } from '../test/support/own-pages.ts'
import { ago, deviceOf } from './pages/account.ts'

const ANN = { name: 'Ann', email: 'ann@example.com', password: 'correct horse' }
const BOB = { name: 'Bob', email: 'bob@example.com', password: 'battery staple' }
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'

let pages: OwnPages
let ann: Client
beforeEach(async () => {
  pages = await openOwnPages()
  ann = pages.client()
  await ann.post('/_postern/sign-up', ANN, { 'sec-fetch-site': 'same-origin', 'user-agent': FIREFOX })
})

const accountText = async (client: Client) => (await client.get('/_postern/account')).text()

/** Ids of the sessions that the page offers to end. */
const endable = async (client: Client) =>
  [...(await accountText(client)).matchAll(/name="session" value="([^"]+)"/g)].map((match) => match[1]!)

test('[FR-020] the account page says who someone is and whether their e-mail is verified', async () => {
  const text = await accountText(ann)
  expect(text).toContain('<dd>Ann</dd>')
  expect(text).toMatch(/ann@example\.com <span class="badge warn">not verified/)
  expect(text).toContain('<dd>user</dd>')
  expect(text).toContain('Firefox on Linux')
  expect(text).toContain('192.0.2.7')
  expect(text).toContain('this session')
})

test('[FR-009] no session token is in the page', async () => {
  const other = pages.client()
  await other.post('/_postern/sign-in', ANN)
  const text = await accountText(ann)
  for (const client of [ann, other]) {
    const token = decodeURIComponent(client.cookies.get(COOKIE)!).split('.')[0]!
    expect(text).not.toContain(token)
  }
})

test('[FR-019] without a session the account page leads to the sign-in page and back', async () => {
  const client = pages.client()
  const response = await client.get('/_postern/account')
  expect(response.status).toBe(303)
  const location = response.headers.get('location')!
  expect(location).toMatch(/^\/_postern\/sign-in\?return=/)
  const sealed = new URL(location, 'http://localhost').searchParams.get('return')!
  const signedIn = await client.post('/_postern/sign-in', { ...ANN, return: sealed })
  expect(await leadsTo(signedIn)).toBe('/_postern/account')
})

test('[FR-009] a forged cookie is nobody’s, and is taken away', async () => {
  const client = pages.client()
  client.cookies.set(COOKIE, 'forged')
  const response = await client.get('/_postern/account')
  expect([response.status, client.cookies.has(COOKIE)]).toEqual([303, false])
})

test('[FR-009] one session can be ended from another, and only that one ends', async () => {
  const other = pages.client()
  const third = pages.client()
  await other.post('/_postern/sign-in', ANN)
  await third.post('/_postern/sign-in', ANN)
  const ids = await endable(ann)
  expect(ids).toHaveLength(2)
  const stays = (await endable(other)).filter((id) => ids.includes(id))
  const response = await ann.post('/_postern/account', { action: 'end-one', session: stays[0]! })
  expect(response.status).toBe(303)
  expect(await (await ann.get(response.headers.get('location')!)).text()).toContain('That session has ended')
  expect((await ann.get('/_postern/account')).status).toBe(200)
  expect((await other.get('/_postern/account')).status).toBe(200)
  expect((await third.get('/_postern/account')).status).toBe(303)
})

test('[FR-009] a session of somebody else cannot be ended by naming it', async () => {
  const bob = pages.client()
  await bob.post('/_postern/sign-up', BOB)
  const bobToo = pages.client()
  await bobToo.post('/_postern/sign-in', BOB)
  const [id] = await endable(bob)
  await ann.post('/_postern/account', { action: 'end-one', session: id! })
  expect((await bobToo.get('/_postern/account')).status).toBe(200)
})

test('[FR-009] signing out everywhere ends each session of this person and nobody else’s', async () => {
  const other = pages.client()
  const bob = pages.client()
  await other.post('/_postern/sign-in', ANN)
  await bob.post('/_postern/sign-up', BOB)
  const response = await ann.post('/_postern/account', { action: 'end-all' })
  expect([response.status, response.headers.get('location')]).toEqual([303, '/_postern/sign-out'])
  expect(response.headers.get('clear-site-data')).toBe('"cache"')
  expect(ann.cookies.has(COOKIE)).toBe(false)
  expect((await other.get('/_postern/account')).status).toBe(303)
  expect((await bob.get('/_postern/account')).status).toBe(200)
  expect(await pages.sessionCount()).toBe(1)
})

test('[FR-009] a new password needs the old one, ends every other session and changes this one', async () => {
  const other = pages.client()
  await other.post('/_postern/sign-in', ANN)
  const wrong = await ann.post('/_postern/account', {
    action: 'change-password',
    current: 'not this one',
    next: 'a new password',
  })
  expect(wrong.status).toBe(422)
  expect(await wrong.text()).toContain('That is not your current password')
  const former = ann.cookies.get(COOKIE)
  const done = await ann.post('/_postern/account', {
    action: 'change-password',
    current: ANN.password,
    next: 'a new password',
  })
  expect(done.status).toBe(303)
  expect(await (await ann.get(done.headers.get('location')!)).text()).toContain('Your password is changed')
  expect(ann.cookies.get(COOKIE)).not.toBe(former)
  expect((await other.get('/_postern/account')).status).toBe(303)
  expect((await pages.client().post('/_postern/sign-in', ANN)).status).toBe(422)
})

test('[FR-020] an action nobody wrote is a bad request, and a short password is named', async () => {
  expect((await ann.post('/_postern/account', { action: 'promote', role: 'admin' })).status).toBe(400)
  const short = await ann.post('/_postern/account', { action: 'change-password', current: 'x', next: 'short' })
  expect(short.status).toBe(422)
  const text = await short.text()
  expect(text).toContain('<details open>')
  expect(text).toMatch(/id="next-error">Choose a password of at least 8 characters/)
})

test('[FR-020] a link cannot make the page announce something', async () => {
  for (const notice of [
    'password-changed',
    await pages.sealer.seal('return', 'password-changed', Date.now() + 9_999),
  ]) {
    const text = await (await ann.get(`/_postern/account?notice=${encodeURIComponent(notice)}`)).text()
    expect(text).not.toContain('role="status"')
  }
})

test('[FR-009] long after signing in, sessions can still be seen and ended', async () => {
  await pages.client().post('/_postern/sign-in', ANN)
  const longAgo = new Date(Date.now() - 3 * 86_400_000).toISOString()
  await pages.database.query('update session set "createdAt" = $1', [longAgo])
  expect(await accountText(ann)).toContain('3 days ago')
  const [id] = await endable(ann)
  expect((await ann.post('/_postern/account', { action: 'end-one', session: id! })).status).toBe(303)
  expect(await endable(ann)).toEqual([])
})

test('[FR-023] while the sessions cannot be asked for the page says so and still says who someone is', async () => {
  pages.set({
    provider: {
      signup: 'open',
      handle: async () => new Response(null, { status: 503 }),
      publicKeys: async () => ({ keys: [] }),
      isReady: async () => false,
    },
  })
  const text = await accountText(ann)
  expect(text).toContain('Your sessions cannot be shown right now')
  expect(text).toContain('ann@example.com')
})

test('[FR-020] moments are told in everyday words', () => {
  const nowMs = 1_000_000_000
  expect(ago(nowMs + 5_000, nowMs)).toBe('just now')
  expect(ago(nowMs - 60_000, nowMs)).toBe('1 minute ago')
  expect(ago(nowMs - 7_200_000, nowMs)).toBe('2 hours ago')
  expect(ago(nowMs - 3 * 86_400_000, nowMs)).toBe('3 days ago')
})

const devices = [
  [FIREFOX, 'Firefox on Linux'],
  [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1',
    'Safari on iPhone',
  ],
  [
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36 Edg/150.0.0.0',
    'Edge on Windows',
  ],
  ['Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/150.0.0.0 Mobile Safari/537.36', 'Chrome on Android'],
  ['curl/8.5.0', 'curl'],
  [null, 'Unknown device'],
] as const

for (const [userAgent, name] of devices) {
  test(`[FR-020] ${name} is how a person would name it`, () => {
    expect(deviceOf(userAgent)).toBe(name)
  })
}
