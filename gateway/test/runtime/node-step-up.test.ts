/** Step-up against the whole gateway: who is sent to sign in again, who is told what to ask its issuer for, and where it leads back to. */

import { request } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'

const POLICY = `
version: 1
origin: ORIGIN
upstreams:
  up: { url: UPSTREAM, assertion: false }
admission: { perAddress: off }
routes:
  /programs: { to: up, access: { with: token } }
  /safe/**: { to: up, access: { mfa: true }, encodedSlash: keep }
  /api/whoami: { to: up, access: { ip: 127.0.0.0/8 }, headers: { response: { set: { Cache-Control: "public, max-age=60" } } } }
`

let upstream: Upstream
let gateway: TestGateway
let ada: SignedIn

beforeAll(async () => {
  upstream = await startUpstream({ record: true })
  gateway = await startTestGateway({ policy: POLICY, upstreamUrl: upstream.url })
  ada = await signIn(gateway, 'ada@example.com', [])
})

afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

async function visit(path: string, headers: Record<string, string>) {
  const host = new URL(gateway.origin).host
  const answer = await request(gateway.url + path, { headers: { host, 'sec-fetch-mode': 'navigate', ...headers } })
  return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() }
}

test('[FR-040] a browser with a session is sent to sign in again; a token is told what is missing, whoever carries it', async () => {
  const browser = await visit('/safe/a', { cookie: ada.cookie })
  expect(browser.status).toBe(302)
  expect(browser.headers['location']).toMatch(/^\/_postern\/sign-in\?return=[^&]+&again=/)
  const bearer = await visit('/safe/a', { authorization: `Bearer ${ada.token}` })
  expect(bearer.status).toBe(401)
  expect(bearer.headers['www-authenticate']).toContain('insufficient_user_authentication')
  expect(bearer.headers['location']).toBeUndefined()
  const nobody = await visit('/safe/a', {})
  expect(nobody.status).toBe(302)
  expect(nobody.headers['location']).not.toContain('again=')
})

test('[FR-040] the way back keeps an encoded slash', async () => {
  const { headers } = await visit('/safe/a%2Fb?x=1', {})
  const page = await visit(String(headers['location']), { cookie: ada.cookie })
  expect(page.body).toContain('href="/safe/a%2Fb?x=1"')
})

test('[FR-039] what a network alone opens is no shared cache’s to keep, whatever the route says', async () => {
  const near = await visit('/api/whoami', {})
  expect(near.status).toBe(200)
  expect(near.headers['cache-control']).toBe('private, max-age=60')
})

test('[FR-019] nobody is sent to sign in where a session would not help', async () => {
  const { status, headers } = await visit('/programs', {})
  expect(status).toBe(401)
  expect(headers['location']).toBeUndefined()
})
