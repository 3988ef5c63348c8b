/** The hosted pages in a real browser: readable, reachable by keyboard, whole at every width and scheme, and working without JavaScript. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type OwnPages, openOwnPages } from '../support/own-pages.ts'
import { openChromium } from './chromium.ts'
import { measure } from './measure.ts'

const ANN = { name: 'Ann Example', email: 'ann@example.com', password: 'correct horse' }
const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile/15E148 Safari/604.1'

/** Walks through a dozen pages, with a password hashed at each second one. */
const TIMEOUT_MS = 60_000

let browser: Browser
beforeAll(async () => {
  browser = await openChromium()
}, TIMEOUT_MS)
afterAll(() => browser.close())

/** Serves the endpoints as a runtime would: with the client's address and a request id in each request. */
async function serve(pages: OwnPages): Promise<string> {
  const server = createServer(async (request, response) => {
    // An application that sends its visitor on: the same server by another name is another site to a browser.
    if (request.url === '/connect') {
      const elsewhere = `http://127.0.0.1:${(server.address() as AddressInfo).port}/_postern/healthz`
      response.writeHead(302, { location: elsewhere }).end()
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const headers = new Headers()
    for (const [name, value] of Object.entries(request.headers)) headers.set(name, String(value))
    headers.set('x-postern-client-ip', '192.0.2.7')
    headers.set('x-request-id', 'request-0001')
    const body = chunks.length === 0 ? null : Buffer.concat(chunks)
    const rebuilt = new Request(`http://localhost${request.url}`, { method: request.method ?? 'GET', headers, body })
    const answer = await pages.endpoints.fetch(rebuilt)
    for (const [name, value] of answer.headers) if (name !== 'set-cookie') response.setHeader(name, value)
    response.setHeader('set-cookie', answer.headers.getSetCookie())
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://localhost:${(server.address() as AddressInfo).port}`
}

async function openPage(options: BrowserContextOptions): Promise<Page> {
  const context = await browser.newContext(options)
  onTestFinished(() => context.close())
  return context.newPage()
}

async function fill(page: Page, fields: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(fields)) await page.fill(`#${name}`, value)
  await arriving(page, () => page.keyboard.press('Enter'))
}

/** Does what leads to another page, and waits until that page is there. */
async function arriving(page: Page, act: () => Promise<unknown>): Promise<void> {
  await Promise.all([page.waitForEvent('load'), act()])
}

const sizes = [
  // Colors do not depend on the width, so each scheme is looked at twice.
  { name: 'narrow', width: 320, height: 640, schemes: ['dark'] },
  { name: 'phone', width: 390, height: 844, schemes: ['light'] },
  { name: 'desktop', width: 1280, height: 860, schemes: ['light', 'dark'] },
] as const

for (const { name, width, height, schemes } of sizes) {
  for (const colorScheme of schemes) {
    test(`[FR-020] on a ${name} screen, ${colorScheme}, without JavaScript, every page can be read, named and touched`, {
      timeout: TIMEOUT_MS,
    }, async () => {
      const pages = await openOwnPages()
      const base = await serve(pages)
      const page = await openPage({ viewport: { width, height }, colorScheme, javaScriptEnabled: false })
      const look = async (step: string) => {
        const { POSTERN_SCREENSHOTS: folder } = process.env
        if (folder !== undefined)
          await page.screenshot({ path: join(folder, `${step}-${name}-${colorScheme}.png`), fullPage: true })
        const { looked, ...faults } = await measure(page)
        expect(faults, step).toEqual({ faint: [], unnamed: [], small: [], overflowPx: 0 })
        expect(looked, step).toBeGreaterThan(3)
        expect(await page.locator('h1').count(), step).toBe(1)
        expect(await page.locator('main').count(), step).toBe(1)
        expect(await page.locator('html[lang=en]').count(), step).toBe(1)
      }
      await page.goto(`${base}/_postern/sign-up`)
      await look('1-sign-up')
      await fill(page, { ...ANN, name: ' ' })
      await look('2-sign-up-refused')
      await page.goto(`${base}/_postern/sign-in`)
      await look('3-sign-in')
      await fill(page, { email: 'ann@example.com', password: 'not this one' })
      expect(await page.getByRole('alert').textContent()).toContain('do not belong together')
      await look('4-sign-in-refused')
      await page.goto(`${base}/_postern/sign-up`)
      await fill(page, ANN)
      await page.waitForURL(`${base}/`)
      const phone = await openPage({ userAgent: IPHONE })
      await phone.goto(`${base}/_postern/sign-in`)
      await fill(phone, { email: ANN.email, password: ANN.password })
      await phone.waitForURL(`${base}/`)
      await page.goto(`${base}/_postern/account`)
      await look('5-account')
      await page.click('summary')
      await fill(page, { current: 'not this one', next: 'a new password' })
      expect(await page.locator('#current-error').textContent()).toContain('not your current password')
      await look('6-password-refused')
      await arriving(page, () => page.getByRole('button', { name: /^Sign out Safari on iPhone/ }).click())
      expect(await page.getByRole('status').textContent()).toContain('That session has ended')
      await look('7-session-ended')
      await page.goto(`${base}/_postern/sign-in`)
      await look('8-signed-in-already')
      await page.goto(`${base}/_postern/sign-out`)
      await look('9-sign-out')
      await arriving(page, () => page.getByRole('button', { name: 'Sign out' }).click())
      expect(await page.locator('h1').textContent()).toBe('You are signed out')
      await look('a-signed-out')
      await page.goto(`${base}/_postern/problems/ambiguous-target`)
      await look('b-problem')
    })
  }
}

test('[FR-020] where accounts are by invitation the page says so', async () => {
  const base = await serve(await openOwnPages({ signup: 'invite' }))
  const page = await openPage({ viewport: { width: 390, height: 844 } })
  await page.goto(`${base}/_postern/sign-up`)
  expect(await page.locator('h1').textContent()).toBe('Accounts are by invitation')
  const { looked, ...faults } = await measure(page)
  expect(faults).toEqual({ faint: [], unnamed: [], small: [], overflowPx: 0 })
  expect(looked).toBeGreaterThan(3)
})

test('[FR-020] a keyboard walks a page from top to bottom, and sees where it is', async () => {
  const base = await serve(await openOwnPages())
  const page = await openPage({})
  await page.goto(`${base}/_postern/sign-in`)
  const stops: string[] = []
  for (let step = 0; step < 4; step++) {
    stops.push(await page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent || ''))
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle)
    expect(outline, stops.at(-1)).toBe('solid')
    await page.keyboard.press('Tab')
  }
  expect(stops).toEqual(['email', 'password', 'Sign in', 'Create an account'])
})

test('[FR-020] the browser enforces the policy of the pages without a complaint', { timeout: TIMEOUT_MS }, async () => {
  const base = await serve(await openOwnPages())
  const page = await openPage({})
  const complaints: string[] = []
  page.on('console', (message) => {
    if (/content security policy/i.test(message.text())) complaints.push(message.text())
  })
  await page.goto(`${base}/_postern/sign-up`)
  await fill(page, ANN)
  await page.waitForURL(`${base}/`)
  await page.goto(`${base}/_postern/account`)
  expect(await page.locator('h1').textContent()).toBe('Your account')
  expect(complaints).toEqual([])
  await page.evaluate(() => {
    const script = document.createElement('script')
    script.textContent = 'document.title = "taken over"'
    document.body.append(script)
  })
  expect(await page.title()).not.toBe('taken over')
  expect(complaints).toHaveLength(1)
})

test('[FR-019] someone who wanted a page that leads to another site gets there after signing in', {
  timeout: TIMEOUT_MS,
}, async () => {
  const pages = await openOwnPages()
  const base = await serve(pages)
  const page = await openPage({ javaScriptEnabled: false })
  const sealed = await pages.sealer.seal('return', '/connect', Date.now() + 60_000)
  await page.goto(`${base}/_postern/sign-up?return=${encodeURIComponent(sealed)}`)
  await fill(page, ANN)
  await page.waitForURL(`${base.replace('localhost', '127.0.0.1')}/_postern/healthz`)
})
