/** The list of our own paths and what stands on every answer of theirs. */

import { expect, test } from 'vitest'
import { PROBLEMS } from '../problem/catalogue.ts'
import { ORIGIN, openOwnPages } from '../test/support/own-pages.ts'

test('[FR-020] every answer of ours is no-store, framed by nobody, runs nothing and carries the request id', async () => {
  const pages = await openOwnPages()
  const client = pages.client()
  await client.post('/_postern/sign-up', { name: 'Ann', email: 'ann@example.com', password: 'eight chars' })
  const answers = [
    await client.get('/_postern/sign-in'),
    await client.get('/_postern/sign-up'),
    await client.get('/_postern/account'),
    await client.get('/_postern/problems/forbidden'),
    await client.get('/_postern/healthz'),
    await client.get('/_postern/nothing'),
    await client.get('/api/auth/get-session'),
    await client.post('/_postern/sign-in', { email: 'ann@example.com', password: 'wrong' }),
    await client.post('/_postern/sign-in', { email: 'ann@example.com', password: 'eight chars' }),
    await client.post('/_postern/sign-in', {}, { 'sec-fetch-site': 'cross-site' }),
    await client.get('/_postern/sign-out'),
    await client.post('/_postern/sign-out', {}),
  ]
  expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200, 404, 200, 422, 200, 403, 200, 303])
  for (const { headers } of answers) {
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none';.*frame-ancestors 'none'/)
    expect(headers.get('content-security-policy')).not.toMatch(/unsafe|script-src|https?:|\*/)
    expect(headers.get('cross-origin-opener-policy')).toBe('same-origin')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('referrer-policy')).toBe('same-origin')
    expect(headers.get('x-request-id')).toBe('request-0001')
  }
})

test('[FR-020] the style sheet of a page is the one whose hash its policy names', async () => {
  const response = await (await openOwnPages()).client().get('/_postern/sign-in')
  const style = /<style>([\s\S]*?)<\/style>/.exec(await response.text())?.[1]
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(style)))
  const hash = Buffer.from(digest).toString('base64')
  expect(response.headers.get('content-security-policy')).toContain(`style-src 'sha256-${hash}'`)
})

test('[FR-020] no page of ours holds a script, an inline style, an event handler or an address elsewhere', async () => {
  const pages = await openOwnPages()
  const client = pages.client()
  const paths = ['/_postern/sign-in', '/_postern/sign-up', '/_postern/sign-out', '/_postern/problems/forbidden']
  await client.post('/_postern/sign-up', { name: 'Ann', email: 'ann@example.com', password: 'eight chars' })
  for (const path of [...paths, '/_postern/account']) {
    const text = await (await client.get(path)).text()
    expect(text, path).toContain('<h1>')
    expect(text, path).not.toMatch(/<script|\sstyle=|\son[a-z]+=|https?:\/\//i)
  }
})

test('[FR-019] every problem code has a page that says what it means and what to do', async () => {
  const client = (await openOwnPages()).client()
  for (const [code, problem] of Object.entries(PROBLEMS)) {
    const response = await client.get(`/_postern/problems/${code}`)
    expect(response.status, code).toBe(200)
    const text = await response.text()
    expect(text).toContain(problem.title)
    expect(text).toContain('What to do')
  }
})

for (const path of [
  '/_postern',
  '/_postern/',
  '/_postern/nothing',
  '/_postern/sign-in/',
  '/_postern/SIGN-IN',
  '/_postern/problems/constructor',
  '/_postern/problems/%3Cscript%3E',
]) {
  test(`[FR-002] ${path} does not exist and says so as a problem`, async () => {
    const response = await (await openOwnPages()).client().get(path)
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await response.json()).toMatchObject({ code: 'not-found', requestId: 'request-0001' })
  })
}

test('[FR-020] HEAD is answered like GET without a body, and other methods are told which there are', async () => {
  const pages = await openOwnPages()
  const head = await pages.endpoints.fetch(new Request(`${ORIGIN}/_postern/sign-in`, { method: 'HEAD' }))
  expect(head.status).toBe(200)
  expect(await head.text()).toBe('')
  expect(head.headers.get('content-security-policy')).toContain('style-src')
  const put = await pages.endpoints.fetch(new Request(`${ORIGIN}/_postern/sign-in`, { method: 'PUT' }))
  expect(put.status).toBe(405)
  expect(put.headers.get('allow')).toBe('GET, HEAD, POST')
  const post = await pages.endpoints.fetch(new Request(`${ORIGIN}/_postern/healthz`, { method: 'POST' }))
  expect(post.status).toBe(405)
})

test('[FR-008] the public keys may be kept for the five minutes a key is published before its first use', async () => {
  const response = await (await openOwnPages()).client().get('/.well-known/jwks.json')
  expect(response.headers.get('cache-control')).toBe('public, max-age=300')
  expect(response.headers.get('content-type')).toBe('application/jwk-set+json')
  expect(await response.json()).toHaveProperty('keys')
})

test('[FR-023] health is one word whatever happens, and readiness is the stores’', async () => {
  const pages = await openOwnPages()
  expect(await (await pages.client().get('/_postern/healthz')).text()).toBe('ok\n')
  expect(await (await pages.client().get('/_postern/readyz')).text()).toBe('ready\n')
  const down = {
    signup: 'open',
    handle: async () => new Response(null, { status: 503 }),
    publicKeys: async () => Promise.reject(new Error('no database')),
    isReady: async () => Promise.reject(new Error('no database')),
  } as const
  pages.set({ provider: down })
  const client = pages.client()
  expect((await client.get('/_postern/healthz')).status).toBe(200)
  const ready = await client.get('/_postern/readyz')
  expect([ready.status, await ready.text()]).toEqual([503, 'unavailable\n'])
  const keys = await client.get('/.well-known/jwks.json')
  expect([keys.status, keys.headers.get('cache-control')]).toEqual([503, 'no-store'])
  const form = await client.post('/_postern/sign-in', { email: 'ann@example.com', password: 'eight chars' })
  expect(form.status).toBe(503)
  expect(await form.text()).toContain('Try again in a moment')
})

test('[FR-023] a bug behind a page is a 503 that tells nothing, and is logged', async () => {
  const pages = await openOwnPages()
  pages.set({ sealer: { seal: () => 'x', open: () => Promise.reject(new Error('secret detail')) } })
  const response = await pages.client().get('/_postern/sign-in?return=abc')
  expect(response.status).toBe(503)
  expect(await response.text()).not.toContain('secret detail')
  expect(pages.faults).toHaveLength(1)
})

test('[FR-026] where nobody can sign in there are no pages, no identity provider and no keys', async () => {
  const pages = await openOwnPages()
  pages.set({ provider: null, sessions: null, sealer: null })
  const client = pages.client()
  for (const path of ['/_postern/sign-in', '/_postern/account', '/api/auth/get-session', '/.well-known/jwks.json']) {
    expect((await client.get(path)).status, path).toBe(404)
  }
  expect((await client.get('/_postern/readyz')).status).toBe(200)
})

test('[FR-009] signing out through the provider’s own endpoint makes the browser forget what it kept, too', async () => {
  const pages = await openOwnPages()
  const client = pages.client()
  await client.post('/_postern/sign-up', { name: 'Ann', email: 'ann@example.com', password: 'eight chars' })
  const response = await pages.endpoints.fetch(
    new Request(`${ORIGIN}/api/auth/sign-out`, {
      method: 'POST',
      headers: {
        origin: ORIGIN,
        'content-type': 'application/json',
        cookie: [...client.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
      },
      body: '{}',
    }),
  )
  expect(response.status).toBe(200)
  expect(response.headers.get('clear-site-data')).toBe('"cache"')
  expect(response.headers.getSetCookie().length).toBeGreaterThan(1)
})
