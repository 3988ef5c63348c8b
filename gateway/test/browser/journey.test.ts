/** The main road in a real browser, through what `npm start` brings up: in, recognized by an application without sign-in, out, and nothing left behind. */

import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Demo, startDemo } from '../support/demo.ts'
import { openChromium } from './chromium.ts'

const TIMEOUT_MS = 60_000

let browser: Browser
let gateway: Demo

beforeAll(async () => {
  gateway = await startDemo()
  browser = await openChromium()
}, TIMEOUT_MS)

afterAll(async () => {
  await browser?.close()
  await gateway?.stop()
}, TIMEOUT_MS)

async function openPage(javaScriptEnabled: boolean): Promise<Page> {
  const context = await browser.newContext({ javaScriptEnabled })
  onTestFinished(() => context.close())
  return context.newPage()
}

async function arriving(page: Page, act: () => Promise<unknown>): Promise<void> {
  await Promise.all([page.waitForEvent('load'), act()])
}

async function fill(page: Page, fields: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(fields)) await page.fill(`#${name}`, value)
  await arriving(page, () => page.keyboard.press('Enter'))
}

const pathOf = (page: Page) => new URL(page.url()).pathname
const textOf = (page: Page) => page.locator('body').textContent()

for (const javaScriptEnabled of [true, false]) {
  const how = javaScriptEnabled ? 'with JavaScript' : 'without JavaScript'

  test(`[FR-019] ${how}, someone signs up, lands on the page they wanted and is known there; signed out, they are refused and the back button shows nothing`, {
    timeout: TIMEOUT_MS,
  }, async () => {
    const email = javaScriptEnabled ? 'ann@example.com' : 'bea@example.com'
    const page = await openPage(javaScriptEnabled)

    await page.goto(`${gateway.origin}/api/whoami?wanted=this`)
    expect(pathOf(page)).toBe('/_postern/sign-in')
    await arriving(page, () => page.getByRole('link', { name: 'Create an account' }).click())
    await fill(page, { name: 'Ann Example', email, password: 'correct horse' })
    await page.waitForURL(`${gateway.origin}/api/whoami?wanted=this`)
    const seen = await textOf(page)
    expect(seen).toContain(email)
    expect(seen).not.toContain('session_token')

    await page.goto(gateway.origin)
    expect(await textOf(page)).toContain('Hello')
    await page.goto(`${gateway.origin}/_postern/account`)
    const userId = (await page.locator('dd.code').textContent()) ?? ''
    expect(userId).not.toBe('')
    expect(seen).toContain(userId)
    await arriving(page, () => page.getByRole('button', { name: 'Sign out', exact: true }).click())
    expect(await page.locator('h1').textContent()).toBe('You are signed out')
    expect((await page.context().cookies()).filter((cookie) => cookie.name.includes('session'))).toEqual([])

    // Back over each page seen while signed in, the one that the application sent among them.
    let wentBack = 0
    for (; wentBack < 10; wentBack++) {
      const before = page.url()
      // A page restored from the back/forward cache has been loaded already and does not load again.
      await page.goBack({ waitUntil: 'commit' })
      await page.waitForFunction(() => document.readyState === 'complete')
      if (page.url() === before || page.url() === 'about:blank') break
      const shown = await textOf(page)
      expect(shown, page.url()).not.toContain(email)
      expect(shown, page.url()).not.toContain(userId)
      expect(shown, page.url()).not.toContain('Hello')
    }
    expect(wentBack).toBeGreaterThan(2)

    await page.goto(`${gateway.origin}/api/whoami`)
    expect(pathOf(page)).toBe('/_postern/sign-in')
    await fill(page, { email, password: 'correct horse' })
    await page.waitForURL(`${gateway.origin}/api/whoami`)
    expect(await textOf(page)).toContain(userId)
    expect(gateway.output()).not.toContain('"level":"error"')
  })
}

test('[FR-012] a form on another site cannot sign anybody in or out', { timeout: TIMEOUT_MS }, async () => {
  const page = await openPage(true)
  await page.goto(`${gateway.origin}/_postern/sign-up`)
  await fill(page, { name: 'Cat', email: 'cat@example.com', password: 'correct horse' })
  await page.waitForURL(`${gateway.origin}/`)
  // The same server by another name is another site to a browser.
  const elsewhere = gateway.origin.replace('localhost', '127.0.0.1')
  await page.route(`${elsewhere}/**`, (route) =>
    route.fulfill({
      contentType: 'text/html',
      body: `<form method="post" action="${gateway.origin}/_postern/sign-out"><button>Win a prize</button></form>`,
    }),
  )
  await page.goto(`${elsewhere}/prize`)
  await arriving(page, () => page.click('button'))
  expect(await textOf(page)).toContain('cross-site-request')
  await page.goto(`${gateway.origin}/_postern/account`)
  expect(await page.locator('h1').textContent()).toBe('Your account')
})
