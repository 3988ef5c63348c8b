/** Where a sign-in may lead: tries to leave the site, and to come back to pages of ours. */

import { expect, test } from 'vitest'
import { createSealer } from '../identity-provider/sealer.ts'
import { primitives } from '../node/crypto.ts'
import { OPEN_POLICY, startTestGateway } from '../test/support/gateway.ts'
import { COOKIE, leadsTo, openOwnPages } from '../test/support/own-pages.ts'
import { exchangeRaw, parseAnswer } from '../test/support/raw.ts'
import { safeReturn } from './return-target.ts'

const elsewhere = [
  ['', 'nothing was asked for'],
  ['https://evil.example/', 'another site'],
  ['HTTPS:evil.example', 'another site, in the spelling of browsers'],
  ['//evil.example/', 'a network-path reference is another site'],
  ['///evil.example/', 'browsers drop the surplus slash'],
  ['/\\evil.example/', 'browsers read a backslash as a slash'],
  ['\\/evil.example/', 'browsers read a backslash as a slash'],
  ['/\t/evil.example/', 'browsers drop tabs'],
  ['/\n/evil.example/', 'browsers drop line feeds, and a header would end'],
  ['/%2f/evil.example', 'decoded once more it is another site'],
  ['/%5cevil.example', 'decoded once more it is another site'],
  ['/./%2e//evil.example', 'dot segments vanish in a browser'],
  ['/..//evil.example', 'dot segments vanish in a browser'],
  [' /books', 'browsers trim spaces'],
  ['javascript:alert(1)', 'a scheme'],
  ['books', 'a relative path'],
  ['?q=1', 'a relative reference'],
  ['/books#//evil', 'a fragment never came to us'],
  ['/books\r\nSet-Cookie: a=b', 'a header would end'],
  ['/b\u00f6ks', 'not a target'],
  ['/_postern/sign-out', 'a page of ours'],
  ['/_postern/account', 'a page of ours is named by a word, never by its path'],
  ['/%5fpostern/sign-out', 'a page of ours, spelled with an escape'],
  ['/_POSTERN/sign-out', 'a page of ours in capitals'],
  ['/api/auth/token', 'an endpoint of ours'],
  ['/api/%61uth/sign-out', 'an endpoint of ours, spelled with an escape'],
  ['/.well-known/jwks.json', 'an endpoint of ours'],
] as const

for (const [text, because] of elsewhere) {
  test(`[FR-019] a sign-in never leads to ${JSON.stringify(text)}: ${because}`, () => {
    expect(safeReturn(text)).toBeNull()
  })
}

for (const text of ['/', '/books', '/books?q=1&next=//evil.example', '/a/b%20c', '/books/?', '/git/a%2Fb?x=%2F']) {
  test(`[FR-019] a sign-in leads back to ${text}`, () => {
    expect(safeReturn(text)).toBe(text)
  })
}

test('[FR-019] only our seal, for this purpose and in its time, leads anywhere but to the front page', async () => {
  const pages = await openOwnPages()
  await pages.client().post('/_postern/sign-up', { name: 'Ann', email: 'ann@example.com', password: 'eight chars' })
  const soon = Date.now() + 60_000
  const { sealer } = pages
  const stranger = createSealer(primitives, [new Uint8Array(32)])
  const cases: readonly (readonly [string, string])[] = [
    [await sealer.seal('return', '/books?q=1', soon), '/books?q=1'],
    [await sealer.seal('return', 'account', soon), '/_postern/account'],
    [await sealer.seal('return', '//evil.example', soon), '/'],
    [await sealer.seal('return', '/books', Date.now() - 1), '/'],
    [await sealer.seal('notice', '/books', soon), '/'],
    [await stranger.seal('return', '/books', soon), '/'],
    ['/books', '/'],
    ['https://evil.example/', '/'],
    ['', '/'],
  ]
  for (const [sealed, location] of cases) {
    const client = pages.client()
    const response = await client.post('/_postern/sign-in', {
      return: sealed,
      email: 'ann@example.com',
      password: 'eight chars',
    })
    expect(await leadsTo(response)).toBe(location)
    expect(client.cookies.has(COOKIE)).toBe(true)
  }
})

test('[FR-019] a page carries the way back only in our own seal', async () => {
  const pages = await openOwnPages()
  const sealed = await pages.sealer.seal('return', '/books', Date.now() + 60_000)
  const kept = await (await pages.client().get(`/_postern/sign-in?return=${encodeURIComponent(sealed)}`)).text()
  expect(kept).toContain(`name="return" value="${sealed}"`)
  expect(kept).toContain(`/_postern/sign-up?return=${encodeURIComponent(sealed)}`)
  const dropped = await (await pages.client().get('/_postern/sign-in?return=%22%3E%3Cscript%3Ealert(1)')).text()
  expect(dropped).not.toContain('name="return"')
  expect(dropped).not.toContain('alert(1)')
})

test('[FR-019] however long the target that was asked for, the sign-in page it leads to is served', async () => {
  const policy = OPEN_POLICY.replace('access: public', 'access: login')
  const gateway = await startTestGateway({ policy, upstreamUrl: 'http://127.0.0.1:9' })
  const open = async (target: string) => {
    const head = `GET ${target} HTTP/1.1\r\nHost: ${new URL(gateway.origin).host}\r\nAccept: text/html\r\n`
    return parseAnswer(await exchangeRaw(gateway.url, `${head}Connection: close\r\n\r\n`))
  }
  try {
    for (const [length, isKept] of [
      [8192, false],
      [6001, false],
      [6000, true],
    ] as const) {
      const wanted = `/books?q=${'a'.repeat(length - '/books?q='.length)}`
      const away = await open(wanted)
      expect(away.status).toBe(302)
      const page = await open(away.headers.get('location')![0]!)
      expect(page.status).toBe(200)
      expect(page.body.includes(btoa(wanted).replace(/=+$/, ''))).toBe(isKept)
    }
  } finally {
    await gateway.close()
  }
})
