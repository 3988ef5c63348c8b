/** Pages of other origins against the whole gateway: what a preflight gets, and which answers a page may read, refusals too. */

import { request } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'

const APP = 'https://app.example.com'
const EVIL = 'https://evil.example'

const POLICY = `
version: 1
origin: ORIGIN
login: { allowUnverifiedEmail: true }
upstreams:
  up: { url: UPSTREAM, assertion: false }
  gone: { url: "http://127.0.0.1:9", assertion: false }
admission: { perAddress: off }
routes:
  /**: { to: up, access: public }
  /api/**: { access: deny }
  /api/books:
    to: up
    access: { GET: login, PUT: { role: editor }, DELETE: deny }
    cors: { origins: [${APP}], headers: [Authorization], expose: [X-Request-Id], credentials: true }
  /api/gone: { to: gone, access: public, cors: { origins: [${APP}] } }
  /api/open:
    to: up
    access: public
    cors: { origins: ["*"] }
    headers: { request: { set: { X-Site: books } }, response: { set: { Server: books } } }
  /api/whoami: { to: up, access: public, cors: { origins: [${APP}] }, headers: { request: { set: { X-Site: books } }, response: { set: { X-Frame-Options: DENY } } } }
`

let upstream: Upstream
let gateway: TestGateway
let ada: SignedIn

beforeAll(async () => {
  upstream = await startUpstream({ record: true })
  gateway = await startTestGateway({ policy: POLICY, upstreamUrl: upstream.url })
  ada = await signIn(gateway, 'ada@example.com', ['reader'])
})

afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

async function send(method: string, path: string, headers: Record<string, string>) {
  const host = new URL(gateway.origin).host
  const answer = await request(gateway.url + path, { method: method as 'GET', headers: { host, ...headers } })
  return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() }
}

function preflight(path: string, method: string, origin = APP, more: Record<string, string> = {}) {
  return send('OPTIONS', path, { origin, 'access-control-request-method': method, ...more })
}

test('[FR-043] a preflight is answered by the gateway before anybody is known, and no upstream hears of it', async () => {
  upstream.forget()
  const { status, headers, body } = await preflight('/api/books', 'PUT', APP, {
    'access-control-request-headers': 'authorization',
  })
  expect([status, body]).toEqual([204, ''])
  expect(headers).toMatchObject({
    'access-control-allow-origin': APP,
    'access-control-allow-methods': 'PUT',
    'access-control-allow-headers': 'authorization',
    'access-control-allow-credentials': 'true',
    'access-control-max-age': '600',
  })
  expect(Buffer.concat(upstream.recordings()).toString()).toBe('')
  const record = await gateway.recordOf(({ requestId }) => requestId === headers['x-request-id'])
  expect(record).toMatchObject({ method: 'OPTIONS', status: 204, route: '/api/books', subject: null })
})

test('[FR-043] a stranger’s preflight, and one for a method that is not listed, get no permission', async () => {
  for (const [method, origin] of [
    ['GET', EVIL],
    ['PATCH', APP],
  ] as const) {
    const { status, headers } = await preflight('/api/books', method, origin)
    expect(status).toBe(204)
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
    expect(headers.vary).toContain('Origin')
  }
})

test('[FR-043] a preflight for what is denied is the same bytes as for a path that nobody named', async () => {
  const strip = (answer: Awaited<ReturnType<typeof send>>) => {
    const { date: _date, 'x-request-id': requestId, ...headers } = answer.headers
    return { status: answer.status, headers, body: answer.body.replaceAll(String(requestId), '') }
  }
  const denied = strip(await preflight('/api/books', 'DELETE'))
  expect(denied.status).toBe(404)
  expect(strip(await preflight('/api/unlisted', 'DELETE'))).toEqual(denied)
})

test('[FR-043] a page may read a refusal of its route, whatever it is for', async () => {
  const bearer = { authorization: `Bearer ${ada.token}` }
  const rows = [
    ['GET', '/api/books', {}, 401],
    ['GET', '/api/books', { authorization: 'Bearer nonsense' }, 401],
    ['PUT', '/api/books', bearer, 403],
    ['PATCH', '/api/books', bearer, 405],
    ['GET', '/api/gone', {}, 502],
    ['GET', '/api/books', bearer, 200],
  ] as const
  for (const [method, path, credentials, status] of rows) {
    const answer = await send(method, path, { origin: APP, ...credentials })
    expect([path, answer.status]).toEqual([path, status])
    expect(answer.headers['access-control-allow-origin']).toBe(APP)
    expect(String(answer.headers.vary)).toContain('Origin')
    const strange = await send(method, path, { origin: EVIL, ...credentials })
    expect(strange.headers).not.toHaveProperty('access-control-allow-origin')
    expect(String(strange.headers.vary)).toContain('Origin')
  }
})

test('[FR-043] a cookie and a listed origin write nothing across sites, and the page may read that it does not', async () => {
  const answer = await send('PUT', '/api/books', { origin: APP, cookie: ada.cookie })
  expect(answer.status).toBe(403)
  expect(JSON.parse(answer.body).code).toBe('cross-site-request')
  expect(answer.headers['access-control-allow-origin']).toBe(APP)
})

test('[FR-043] a method nobody may use is as absent as a path, to a page of a listed origin too', async () => {
  const answer = await send('PATCH', '/api/books', { origin: APP })
  expect(answer.status).toBe(404)
  expect(answer.headers).not.toHaveProperty('access-control-allow-origin')
  expect(answer.headers).not.toHaveProperty('vary')
})

test('[FR-043] every origin reads the answers of an open route, whoever asks', async () => {
  for (const origin of [APP, EVIL]) {
    const { headers } = await send('GET', '/api/open', { origin })
    expect(headers['access-control-allow-origin']).toBe('*')
    expect(headers).not.toHaveProperty('access-control-allow-credentials')
    expect(headers.server).toBe('books')
  }
})

test('[FR-043] what a route sets stands in place of what the client sent, and of what the upstream says', async () => {
  upstream.forget()
  const { headers } = await send('GET', '/api/whoami', { 'x-site': 'forged', connection: 'x-site' })
  const seen = Buffer.concat(upstream.recordings()).toString()
  expect(seen).toMatch(/^X-Site: books\r$/m)
  expect(seen).not.toContain('forged')
  expect(headers['x-frame-options']).toBe('DENY')
})
