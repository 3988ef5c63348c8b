/** What pages of other origins may read, and may ask for: what the route lists and nothing that they say themselves. */

import { expect, test } from 'vitest'
import { valuesOf } from '../http/header-list.ts'
import type { RequestHead } from '../model.ts'
import type { Access, CorsRules, Route } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { answerPreflight, corsLines } from './cors.ts'

const APP = 'https://app.example.com'
const snapshot = { ownHeaders: ['X-Own', '1'] } as unknown as Snapshot

const rules: CorsRules = {
  origins: new Set([APP]),
  isAnyOrigin: false,
  methods: [],
  headers: ['authorization', 'content-type'],
  exposedHeaders: ['X-Total', 'X-Request-Id'],
  isWithCredentials: false,
  maxAgeS: 600,
}

function headOf(origin: string | null, method = 'PUT', ...asked: string[]): RequestHead {
  const headers = asked.flatMap((value) => ['Access-Control-Request-Headers', value])
  const names = asked.map(() => 'access-control-request-headers')
  return { requestId: 'r1', origin, preflightFor: method, headers, names } as unknown as RequestHead
}

function preflight(head: RequestHead, cors: Partial<CorsRules> = {}, access: Access | null = { kind: 'login' }) {
  const route = { cors: { ...rules, ...cors } } as unknown as Route
  return answerPreflight(snapshot, { route, params: {}, access }, head).answer
}

function granted(head: RequestHead, cors: Partial<CorsRules> = {}, access: Access | null = { kind: 'login' }) {
  const { headers } = preflight(head, cors, access)
  return headers.filter((text, at) => at % 2 === 0 && text.startsWith('Access-Control-')).length > 0
}

test('[FR-043] a preflight is answered with what was asked for, and no more', () => {
  const { status, headers, body } = preflight(headOf(APP, 'PUT', 'authorization, content-type'))
  expect([status, body]).toEqual([204, ''])
  expect(headers).toEqual([
    ...['Cache-Control', 'no-store', 'X-Request-Id', 'r1'],
    ...['Access-Control-Allow-Origin', APP, 'Access-Control-Allow-Methods', 'PUT', 'Access-Control-Max-Age', '600'],
    ...['Access-Control-Allow-Headers', 'authorization, content-type'],
    ...['Vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers', 'X-Own', '1'],
  ])
})

const refused = [
  ['https://evil.example', [], {}, 'an origin that is not listed'],
  ['https://app.example.com.evil.example', [], {}, 'one that begins like a listed one'],
  ['https://evil-app.example.com', [], {}, 'one that ends like a listed one'],
  ['HTTPS://APP.EXAMPLE.COM', [], {}, 'another spelling than browsers send'],
  ['http://app.example.com', [], {}, 'another scheme'],
  ['https://app.example.com:8443', [], {}, 'another port'],
  ['null', [], {}, 'an opaque origin'],
  [APP, ['x-other'], {}, 'a header that is not listed'],
  [APP, ['authorization, x-other'], {}, 'one of several'],
  [APP, ['authorization', 'x-other'], {}, 'one in a second line'],
  [APP, ['"authorization'], {}, 'a list that cannot be read'],
  [APP, ['content-type'], { headers: [] }, 'a type that no form can send, where none is listed'],
  [APP, [], { methods: ['GET'] }, 'a method that the rules leave out'],
] as const
for (const [origin, asked, cors, because] of refused) {
  test(`[FR-043] a preflight gets no permission: ${because}`, () => {
    const { status, headers } = preflight(headOf(origin, 'PUT', ...asked), cors)
    expect(status).toBe(204)
    expect(headers.join('\n')).not.toContain('Access-Control-Allow')
    expect(valuesOf(headers, 'vary')[0]).toContain('Origin')
  })
}

test('[FR-043] a method that the policy does not list gets no permission, whatever the rules say', () => {
  expect(granted(headOf(APP), { methods: ['PUT'] }, null)).toBe(false)
  expect(granted(headOf(APP), { methods: ['PUT'] })).toBe(true)
})

test('[FR-043] names are compared without regard to case; a plain header with a value out of the ordinary passes', () => {
  expect(granted(headOf(APP, 'PUT', 'Authorization,CONTENT-TYPE, Accept-Language'))).toBe(true)
})

test('[FR-043] credentials go with a listed origin, and never with every origin', () => {
  const withCredentials = { isWithCredentials: true }
  expect(preflight(headOf(APP), withCredentials).headers).toContain('Access-Control-Allow-Credentials')
  const open = { ...withCredentials, isAnyOrigin: true, origins: new Set<string>() }
  const { headers } = preflight(headOf(APP), open)
  expect(valuesOf(headers, 'access-control-allow-origin')).toEqual(['*'])
  expect(headers).not.toContain('Access-Control-Allow-Credentials')
})

test('[FR-043] an answer names the page’s own origin and what it may read, and strangers get neither', () => {
  const route = { cors: { ...rules, isWithCredentials: true } } as unknown as Route
  expect(corsLines(route, headOf(APP))).toEqual([
    ...['Access-Control-Allow-Origin', APP, 'Access-Control-Allow-Credentials', 'true'],
    ...['Access-Control-Expose-Headers', 'X-Total, X-Request-Id'],
  ])
  expect(corsLines(route, headOf('https://evil.example'))).toEqual([])
  expect(corsLines(route, headOf(null))).toEqual([])
  expect(corsLines({ cors: null } as Route, headOf(APP))).toEqual([])
})
