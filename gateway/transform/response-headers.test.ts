/** What a client sees of an upstream's answer: nothing about our connection, our cookies, our origin or our caches. */

import { expect, test } from 'vitest'
import { valuesOf } from '../http/header-list.ts'
import type { ForwardPlan, HeaderList, Principal, RequestHead } from '../model.ts'
import type { Access, CorsRules, HeaderEdits, Route } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { privateCacheControl } from './cache-control.ts'
import { clientHeaders } from './response-headers.ts'

const snapshot = { ownCookiePrefixes: ['__Host-postern.', 'postern.'] } as unknown as Snapshot
const ada = { subject: 'u_1' } as Principal

interface Given {
  readonly principal?: Principal | null
  readonly access?: Access['kind']
  readonly method?: string
  readonly setCookies?: readonly string[]
  readonly allow?: readonly string[]
  readonly isShared?: boolean
  readonly edits?: HeaderEdits
  readonly cors?: CorsRules
  readonly origin?: string
  readonly answerHeaders?: HeaderList
}

function seen(headers: HeaderList, given: Given = {}): HeaderList {
  const route = {
    access: new Map([['*', { kind: given.access ?? 'public' }]]),
    allowResponseHeaders: new Set(given.allow ?? []),
    isSharedCacheAllowed: given.isShared ?? false,
    responseEdits: given.edits ?? null,
    cors: given.cors ?? null,
  } as unknown as Route
  const head = { requestId: 'r1', method: given.method ?? 'GET', origin: given.origin ?? null } as RequestHead
  const { principal = null, setCookies = [], answerHeaders = [] } = given
  const match = { access: { kind: given.access ?? 'public' } }
  return clientHeaders(
    snapshot,
    { head, route, match, principal, setCookies, answerHeaders } as unknown as ForwardPlan,
    headers,
  )
}

const OURS = ['X-Request-Id', 'r1']

test('[FR-006] what an upstream says of itself passes as it is', () => {
  const headers = [
    'content-type',
    'text/html',
    'Content-Length',
    '5',
    'Server',
    'x',
    'Set-Cookie',
    'a=1',
    'Set-Cookie',
    'b=2',
    'Vary',
    'X',
    'Cache-Control',
    'public',
  ]
  expect(seen(headers)).toEqual([...headers, ...OURS])
})

const stripped = [
  [['Connection', 'close'], 'hop-by-hop'],
  [['Keep-Alive', 'timeout=5'], 'hop-by-hop'],
  [['Transfer-Encoding', 'chunked'], 'hop-by-hop'],
  [['Upgrade', 'h2c'], 'hop-by-hop'],
  [['Trailer', 'X'], 'hop-by-hop'],
  [['Connection', 'X-Hop', 'x-hop', '1'], 'nominated'],
  [['x-hop', '1', 'connection', 'close, X-HOP'], 'nominated afterwards, in any case'],
  [['X-Request-Id', 'theirs'], 'the id of a request is ours'],
  [['Clear-Site-Data', '"*"'], 'it would sign everybody out of every upstream'],
  [['Service-Worker-Allowed', '/'], 'it would widen a service worker to the whole origin'],
  [['Alt-Svc', 'h3="evil:443"'], 'it would move the origin elsewhere'],
  [['NEL', '{}'], 'it would report on the whole origin'],
  [['Report-To', '{}'], 'it would report on the whole origin'],
  [['Set-Cookie', 'postern.session=x'], 'only we set our session'],
  [['set-cookie', '__Host-postern.session=x; Path=/'], 'behind a prefix'],
  [['Set-Cookie', '__host-POSTERN.Session=x'], 'in any case'],
  [['Set-Cookie', ' __Secure-postern.session=x'], 'behind another prefix'],
  [['Set-Cookie', 'postern.session'], 'without a value'],
  [['Set-Cookie', '=postern.session=x'], 'nameless: a browser sends it back as ours'],
  [['Set-Cookie', ' = __Host-postern.session=x'], 'nameless with blanks'],
  [['Bad Name', '1'], 'no name'],
  [['X', 'a\r\nb'], 'no value'],
  [['X', 'a\u0001'], 'no value'],
] as const
for (const [headers, because] of stripped) {
  test(`[FR-006] ${JSON.stringify(headers)} stays here: ${because}`, () => expect(seen(headers)).toEqual(OURS))
}

test('[FR-006] a route may allow what rules the whole origin, but never our cookies', () => {
  const allow = ['clear-site-data', 'set-cookie', 'connection']
  const headers = ['Clear-Site-Data', '"cache"', 'NEL', '{}', 'Set-Cookie', 'postern.session=x', 'Connection', 'close']
  expect(seen(headers, { allow })).toEqual(['Clear-Site-Data', '"cache"', ...OURS])
})

const caching = [
  [[], 'private, no-cache', 'nothing said'],
  [['public, max-age=60'], 'private, max-age=60', 'a shared cache keeps nothing, the browser may'],
  [['PUBLIC,S-MaxAge=60'], 'private', 'directives have no case'],
  [['max-age=60', 's-maxage=5, public'], 'private, max-age=60', 'in any line'],
  [['private'], 'private', 'once'],
  [
    ['private="set-cookie", max-age=1'],
    'private, max-age=1',
    'one private field leaves the rest shared (RFC 9111 §5.2.2.7)',
  ],
  [['no-cache="a, public", immutable'], 'private, no-cache="a, public", immutable', 'a quoted comma parts nothing'],
  [['no-store'], 'private, no-store', 'what is stricter stays'],
  [['no-cache="a, public'], 'private, no-cache', 'what cannot be read is replaced'],
  [[' , '], 'private, no-cache', 'an empty list says nothing'],
  [['s-maxage = 5, public =1, max-age=1'], 'private, max-age=1', 'blanks hide nothing'],
] as const
for (const [values, result, because] of caching) {
  test(`[FR-006] Cache-Control ${JSON.stringify(values)} becomes ${result}: ${because}`, () => {
    expect(privateCacheControl(values)).toBe(result)
    const headers = seen(
      values.flatMap((value) => ['cache-control', value]),
      { principal: ada },
    )
    expect(valuesOf(headers, 'cache-control')).toEqual([result])
  })
}

test('[FR-006] what overrules Cache-Control in one cache or another goes too', () => {
  const overrules = [
    'CDN-Cache-Control',
    'Cloudflare-CDN-Cache-Control',
    'Surrogate-Control',
    'Edge-Control',
    'X-Accel-Expires',
  ]
  const headers = overrules.flatMap((name) => [name, 'max-age=60'])
  expect(seen([...headers, 'Expires', '0'], { principal: ada })).toEqual([
    'Expires',
    '0',
    'Cache-Control',
    'private, no-cache',
    ...OURS,
  ])
  expect(seen(headers)).toEqual([...headers, ...OURS])
})

test('[FR-006] a route may allow shared caches', () => {
  const headers = ['Cache-Control', 'public', 'Vary', 'X']
  expect(seen(headers, { principal: ada, access: 'login', isShared: true })).toEqual([...headers, ...OURS])
})

test('[FR-006] an answer with a cookie of ours is kept nowhere, shared caches allowed or not', () => {
  for (const isShared of [false, true]) {
    const given = { principal: ada, isShared, setCookies: ['postern.session=new', 'postern.other=1'] }
    const headers = seen(['Cache-Control', 'public', 'Surrogate-Control', 'max-age=9', 'Set-Cookie', 'a=1'], given)
    expect(valuesOf(headers, 'cache-control')).toEqual(['no-store'])
    expect(valuesOf(headers, 'surrogate-control')).toEqual([])
    expect(valuesOf(headers, 'set-cookie')).toEqual(['a=1', 'postern.session=new', 'postern.other=1'])
  }
})

const varying = [
  [[], 'optional', 'Cookie, Authorization'],
  [['Vary', 'Accept', 'vary', 'cookie'], 'optional', 'Accept, cookie, Authorization'],
  [['Vary', '*'], 'optional', '*'],
  [['Vary', '"Accept'], 'optional', '*'],
  [['Vary', ' , '], 'login', 'Cookie, Authorization'],
  [['Vary', 'Accept'], 'public', 'Accept'],
] as const
for (const [headers, access, vary] of varying) {
  test(`[FR-006] on a route with ${access} access ${JSON.stringify(headers)} varies by ${vary}`, () => {
    expect(valuesOf(seen(headers, { access }), 'vary')).toEqual([vary])
  })
}

test('[FR-006] what no cache keeps need not vary', () => {
  expect(seen([], { access: 'login', method: 'POST' })).toEqual(OURS)
})

const APP = 'https://app.example.com'
const cors: CorsRules = {
  origins: new Set([APP]),
  isAnyOrigin: false,
  methods: [],
  headers: [],
  exposedHeaders: [],
  isWithCredentials: false,
  maxAgeS: 600,
}

test('[FR-043] what an upstream says to other origins is dropped, with rules of ours or without', () => {
  const theirs = ['Access-Control-Allow-Origin', '*', 'access-control-allow-credentials', 'true']
  theirs.push('Access-Control-Expose-Headers', 'X-Secret', 'Access-Control-Made-Up', '1')
  expect(seen(theirs)).toEqual(OURS)
  expect(seen(theirs, { cors, origin: 'https://evil.example' })).toEqual(['Vary', 'Origin', ...OURS])
  expect(seen(theirs, { cors, origin: APP })).toEqual(['Vary', 'Origin', 'Access-Control-Allow-Origin', APP, ...OURS])
})

test('[FR-043] an answer that differs by origin says so beside what else it varies by', () => {
  const given = { cors, access: 'login' } as const
  expect(valuesOf(seen(['Vary', 'Accept'], given), 'vary')).toEqual(['Accept, Cookie, Authorization, Origin'])
  expect(valuesOf(seen(['Vary', 'origin'], { cors }), 'vary')).toEqual(['origin'])
  expect(valuesOf(seen([], { cors: { ...cors, isAnyOrigin: true } }), 'vary')).toEqual([])
})

const edits: HeaderEdits = {
  remove: new Set(['x-powered-by', 'server', 'cache-control']),
  set: ['Server', 'books', 'Cache-Control', 'public, s-maxage=60'],
  add: ['Link', '</help>; rel="help"'],
}

test('[FR-043] a route takes out, sets and adds lines of an answer', () => {
  const sent = ['X-Powered-By', 'PHP', 'server', 'a', 'SERVER', 'b', 'Link', '</a>', 'Cache-Control', 'no-cache']
  expect(seen(sent, { edits })).toEqual([
    ...['Link', '</a>', 'Server', 'books', 'Cache-Control', 'public, s-maxage=60', 'Link', '</help>; rel="help"'],
    ...OURS,
  ])
})

test('[FR-043] what a route sets is bound as the upstream is: no shared cache, no cookie of ours, nothing of other origins', () => {
  const wild: HeaderEdits = {
    remove: new Set(),
    set: ['Cache-Control', 'public, s-maxage=60', 'Set-Cookie', 'postern.session_token=x', 'Clear-Site-Data', '"*"'],
    add: ['Access-Control-Allow-Origin', '*', 'Connection', 'close', 'X-Request-Id', 'r2', 'X-Broken', 'a\r\nb: c'],
  }
  const lines = seen([], { edits: wild, principal: ada, access: 'public' })
  expect(lines).toEqual(['Cache-Control', 'private', ...OURS])
})

test('[FR-043] an upstream cannot nominate away what a route sets', () => {
  const lines = seen(['Connection', 'server', 'Server', 'a'], { edits })
  expect(valuesOf(lines, 'server')).toEqual(['books'])
})

test('[FR-042] with limits of ours an upstream’s give way, and when it wants to be left alone it is heard', () => {
  const sent = ['RateLimit', '"a";r=1', 'RateLimit-Policy', '"a";q=1', 'Retry-After', '5']
  expect(seen(sent)).toEqual([...sent, ...OURS])
  const answerHeaders = ['RateLimit', '"b";r=9']
  expect(seen(sent, { answerHeaders })).toEqual(['Retry-After', '5', ...answerHeaders, ...OURS])
})

test('[FR-039] what only some networks may have stays out of shared caches, though it is nobody in particular who came', () => {
  const sent = ['Cache-Control', 'public, s-maxage=60, max-age=5', 'CDN-Cache-Control', 'max-age=60']
  const lines = seen(sent, { access: 'require' })
  expect(valuesOf(lines, 'cache-control')).toEqual(['private, max-age=5'])
  expect(valuesOf(lines, 'cdn-cache-control')).toEqual([])
  expect(valuesOf(seen(sent, { access: 'require', isShared: true }), 'cache-control')).toEqual([sent[1]])
  expect(valuesOf(seen(sent, { access: 'optional' }), 'cache-control')).toEqual([sent[1]])
})
