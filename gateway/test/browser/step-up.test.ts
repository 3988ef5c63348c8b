/** Step-up in a real browser and over plain HTTP: a sign-in grown old is asked for again, once, and the page comes after it. */

import type { Browser, Page } from 'playwright-core'
import { request } from 'undici'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { openDatabase } from '../../stores/database/open.ts'
import { signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { openChromium } from './chromium.ts'

const TIMEOUT_MS = 60_000

const POLICY = `
version: 1
origin: ORIGIN
login: { allowUnverifiedEmail: true }
upstreams:
  up: { url: UPSTREAM, assertion: false }
  other: { url: UPSTREAM, assertion: false }
admission: { perAddress: off }
routes:
  /**: { to: up, access: login }
  /api/whoami: { to: up, access: { fresh: 15m } }
  /api/books: { to: up, access: { mfa: true, fresh: 15m } }
  elsewhere.test/**: { to: other, access: login }
`
const PASSWORD = 'correct horse battery staple'

let browser: Browser
let upstream: Upstream
let gateway: TestGateway
let email: string
let id: string
let people = 0

beforeAll(async () => {
  upstream = await startUpstream()
  gateway = await startTestGateway({ policy: POLICY, upstreamUrl: upstream.url })
  browser = await openChromium()
}, TIMEOUT_MS)

afterAll(async () => {
  await browser?.close()
  await gateway?.close()
  await upstream?.close()
}, TIMEOUT_MS)

beforeEach(async () => {
  people += 1
  email = `ann${people}@example.com`
  id = await gateway.users.create({ email, password: PASSWORD, name: 'Ann', roles: ['reader'] })
})

/** As if every sign-in of Ann had been an hour ago. The change of roles makes the gateway read her sessions again. */
async function anHourLater(): Promise<void> {
  const database = await openDatabase(null, gateway.dataDir)
  const then = new Date(Date.now() - 3_600_000).toISOString()
  await database.query('update session set "authenticatedAt" = $1 where "userId" = $2', [then, id])
  await database.close()
  await gateway.users.setRoles(id, ['reader', `hour-${Date.now()}`])
}

async function openPage(): Promise<Page> {
  const context = await browser.newContext()
  onTestFinished(() => context.close())
  return context.newPage()
}

async function enter(page: Page, fields: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(fields)) await page.fill(`#${name}`, value)
  await Promise.all([page.waitForEvent('load'), page.keyboard.press('Enter')])
}

async function signInAt(page: Page, path: string): Promise<void> {
  await page.goto(gateway.origin + path)
  await enter(page, { email, password: PASSWORD })
  await page.waitForURL(gateway.origin + path)
}

const sessionCookie = async (page: Page) =>
  (await page.context().cookies()).find(({ name }) => name === 'postern.session_token')?.value
const heading = (page: Page) => page.locator('h1').textContent()

async function get(path: string, headers: Record<string, string>) {
  const answer = await request(gateway.url + path, { headers: { host: new URL(gateway.origin).host, ...headers } })
  return { status: answer.statusCode, headers: answer.headers, problem: JSON.parse(await answer.body.text()) }
}

test('[FR-040] a sign-in grown old is asked for again, in a new session, and leads to the page that was asked for', {
  timeout: TIMEOUT_MS,
}, async () => {
  const page = await openPage()
  await signInAt(page, '/api/whoami?wanted=this')
  await anHourLater()
  const former = await sessionCookie(page)
  await page.goto(`${gateway.origin}/api/whoami?wanted=this`)
  expect(await heading(page)).toBe('Sign in again')
  expect(await page.locator('#email').inputValue()).toBe(email)
  expect(await page.locator('#email').isEditable()).toBe(false)

  await enter(page, { password: 'not this one' })
  expect(await heading(page)).toBe('Sign in again')
  expect(await sessionCookie(page)).toBe(former)

  await enter(page, { password: PASSWORD })
  await page.waitForURL(`${gateway.origin}/api/whoami?wanted=this`)
  expect(await page.locator('body').textContent()).toContain(id)
  expect(await sessionCookie(page)).not.toBe(former)
  const { status } = await get('/api/health', { cookie: `postern.session_token=${former}` })
  expect(status).toBe(401)
  expect(gateway.faults).toEqual([])
})

test('[FR-040] where a second factor is missing nobody is sent in circles, however fresh the sign-in', {
  timeout: TIMEOUT_MS,
}, async () => {
  const page = await openPage()
  await signInAt(page, '/api/whoami')
  const visited: string[] = []
  page.on('framenavigated', (frame) => visited.push(new URL(frame.url()).pathname))
  await page.goto(`${gateway.origin}/api/books`)
  expect(await heading(page)).toBe('A second factor is needed')
  await page.goto(`${gateway.origin}/api/books`)
  expect(await heading(page)).toBe('A second factor is needed')
  await page.waitForLoadState('networkidle')
  expect(visited).toEqual(['/_postern/sign-in', '/_postern/sign-in'])
  await Promise.all([page.waitForEvent('load'), page.getByRole('link', { name: 'Sign in as someone else' }).click()])
  expect(await heading(page)).toBe('Sign in')
})

test('[FR-040] a program is told what would do, and comes in with a newer token of the same person', async () => {
  const old = await signIn(gateway, email, [])
  await anHourLater()
  for (const headers of [{ authorization: `Bearer ${old.token}` }, { cookie: old.cookie }]) {
    const { status, headers: answered, problem } = await get('/api/whoami', headers)
    expect([status, problem.code]).toEqual([401, 'insufficient-user-authentication'])
    const challenge = String(answered['www-authenticate'])
    expect(challenge).toMatch(/^Bearer realm="[^"]+", error="insufficient_user_authentication", error_description="/)
    expect(challenge).toContain('max_age="900"')
    expect(problem.detail).toBe('This asks for a sign-in of the last 15 minutes.')
  }
  const { token } = await signIn(gateway, email, [])
  expect((await get('/api/whoami', { authorization: `Bearer ${token}` })).status).toBe(200)
  const second = await get('/api/books', { authorization: `Bearer ${token}` })
  expect(second.headers['www-authenticate']).toContain('acr_values="mfa"')
})

test('[FR-040] a browser that comes with a token gets the challenge, for no page of ours could help it', async () => {
  const { token } = await signIn(gateway, email, [])
  await anHourLater()
  const headers = { authorization: `Bearer ${token}`, 'sec-fetch-mode': 'navigate', accept: 'text/html' }
  expect((await get('/api/whoami', headers)).status).toBe(401)
})

test('[FR-041] on another host, where nobody has a session, a browser is told so and not sent round', async () => {
  const { port } = new URL(gateway.origin)
  const headers = { host: `elsewhere.test:${port}`, 'sec-fetch-mode': 'navigate', accept: 'text/html' }
  const { status, problem } = await get('/', headers)
  expect([status, problem.code]).toEqual([401, 'login-required'])
})
