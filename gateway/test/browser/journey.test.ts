/** The main road in a real browser, through the real gateway to an application that knows nothing of sign-in: in, recognized, out, and nothing left behind. */

import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startUpstream } from '../../../upstream-mock/server.ts'
import type { NodeJournal } from '../../node/journal.ts'
import { type RunningGateway, startGateway } from '../../node/main.ts'
import { openChromium } from './chromium.ts'

const POLICY = join(import.meta.dirname, '../../../config/gateway.yaml')
const TIMEOUT_MS = 60_000

let browser: Browser
let gateway: RunningGateway
let close: () => Promise<void>
const faults: unknown[] = []

const journal: NodeJournal = {
  record() {},
  fault: (_requestId, error) => faults.push(error),
  note() {},
  flush() {},
}

beforeAll(async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-journey-'))
  const upstream = await startUpstream({ host: '127.0.0.1', port: 0, faults: false })
  gateway = await startGateway({
    policy: { text: await readFile(POLICY, 'utf8'), file: POLICY },
    env: {},
    dataDir,
    journal,
    port: await freePort(),
    upstreamUrl: upstream.url,
  })
  browser = await openChromium()
  close = async () => {
    await browser.close()
    await gateway.close()
    await upstream.close()
    await rm(dataDir, { recursive: true })
  }
}, TIMEOUT_MS)
afterAll(() => close())

/** The public URL names the port, so it has to be known before the gateway listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

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
    expect(faults).toEqual([])
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
