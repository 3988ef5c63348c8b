/** What an upstream sees: nothing a client could forge, and what we know written once, by us. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { admit } from '../admit/admit.ts'
import { compileNetworks } from '../http/address.ts'
import { RESERVED_NAMES, RESERVED_PREFIXES } from '../http/field-names.ts'
import { valuesOf } from '../http/header-list.ts'
import { type HeaderList, type Principal, Refusal, type RequestHead } from '../model.ts'
import type { HeaderEdits, Route, Upstream } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { anUpstream } from '../test/support/routes.ts'
import { compileIdentity, DIALECTS, IDENTITY_CLAIMS, namesOf } from './identity.ts'
import { upstreamHeaders } from './request-headers.ts'

const FORGED = 'forged-47114711'
const ORIGIN = 'http://127.0.0.1:9000'

const snapshot = {
  origin: 'http://localhost:8080',
  reservedNames: new Set([...RESERVED_NAMES, 'x-tenant']),
  ownCookiePrefixes: ['__Host-postern.', 'postern.'],
  allowUnverifiedEmail: false,
  admission: {
    scheme: 'http',
    authority: 'localhost:8080',
    isServed: () => true,
    isTrusted: compileNetworks(['10.0.0.0/8']),
    sessionCookieName: 'postern.session',
    apiKeyHeader: null,
    // Wide open, to show that what crosses is decided again here.
    allowHeaderNames: { has: () => true } as unknown as ReadonlySet<string>,
    targetBytesMax: 8192,
  },
} as unknown as Snapshot

const upstream: Upstream = anUpstream({
  id: 'api',
  servers: [{ origin: ORIGIN, weight: 1 }],
  identity: DIALECTS.forwarded,
  isAsserted: true,
})

const ada: Principal = {
  kind: 'user',
  credential: 'session',
  subject: 'u_1',
  issuer: 'http://localhost:8080',
  email: 'ada@example.com',
  emailVerified: true,
  name: 'Ada',
  roles: ['admin', 'editor'],
  scopes: [],
  groups: [],
  claims: {},
  sessionId: 's1',
  tokenId: null,
  keyId: null,
  source: null,
  authenticatedAtMs: 0,
  methods: ['pwd'],
  hasSecondFactor: false,
  expiresAtMs: 1,
}

function routeAllowing(...names: string[]): Route {
  return { allowRequestHeaders: new Set(names), requestEdits: null } as unknown as Route
}
const route = routeAllowing()

function headOf(lines: readonly string[], isUpgrade = false, peerAddress = '192.0.2.1'): RequestHead {
  const head = admit(snapshot.admission, {
    requestId: 'r1',
    receivedAtMs: 0,
    method: 'GET',
    target: '/',
    httpVersion: '1.1',
    headers: ['Host', 'LOCALHOST:8080', ...lines],
    peerAddress,
    isUpgrade,
  })
  if (head instanceof Refusal) throw new Error(head.reason)
  return head
}

interface Given {
  readonly route?: Route
  readonly upstream?: Upstream
  readonly principal?: Principal | null
  readonly assertion?: string | null
  readonly snapshot?: Snapshot
}

function composed(head: RequestHead, given: Given = {}): HeaderList {
  const { principal = null, assertion = null } = given
  const to = given.upstream ?? upstream
  const found = upstreamHeaders(
    given.snapshot ?? snapshot,
    given.route ?? route,
    to,
    head,
    principal,
    assertion,
    ORIGIN,
  )
  if (found instanceof Refusal) throw new Error(found.reason)
  return found.headers
}

const dialectNames = Object.values(DIALECTS)
  .filter(({ preset }) => preset !== 'basic')
  .flatMap(namesOf)
const families = RESERVED_PREFIXES.map((prefix) => `${prefix}${prefix.endsWith('-') ? '' : '-'}made-up`)
const alsoNever = ['x-request-id', 'x-tenant', 'cookie2', 'proxy-authorization', 'te', 'trailer']
for (const name of new Set([...RESERVED_NAMES, ...families, ...dialectNames, ...alsoNever])) {
  test(`[FR-005] a forged ${name} reaches no upstream, whatever its spelling, on any route`, () => {
    const title = name.replaceAll(/(^|-)([a-z])/g, (_, dash, letter) => dash + letter.toUpperCase())
    for (const alias of [
      name,
      name.toUpperCase(),
      title,
      name.replaceAll('-', '_'),
      name.replaceAll('-', '.'),
      name.replace('-', '_'),
    ]) {
      for (const connection of [[], ['Connection', `close, ${alias}`]]) {
        for (const isUpgrade of [false, true]) {
          const head = headOf([...connection, alias, FORGED, alias, FORGED], isUpgrade)
          for (const principal of [null, ada]) {
            const asked = routeAllowing(alias.toLowerCase())
            expect(composed(head, { principal, route: asked }).join('\n'), alias).not.toContain(FORGED)
          }
        }
      }
    }
  })
}

const droppedLines = [
  [['Connection', 'X-Secret', 'X-Secret', FORGED], 'Connection nominates it'],
  [['connection', 'keep-alive, x-SECRET', 'X-Secret', FORGED], 'in any case (CVE-2024-45410)'],
  [['Connection', 'close', 'Connection', ' x-secret ', 'X-Secret', FORGED], 'in any line'],
  [['Connection', FORGED], 'Connection itself'],
  [['Keep-Alive', FORGED], 'it is hop-by-hop'],
  [['Proxy-Connection', FORGED], 'it is hop-by-hop to some'],
  [['Upgrade', FORGED, 'HTTP2-Settings', FORGED], 'no other upgrade passes (h2c smuggling)'],
  [['TE', FORGED], 'it is hop-by-hop'],
  [['Expect', '100-continue'], 'we answer it'],
  [['Authorization', `Bearer ${FORGED}`], 'the credential is for us'],
  [['X-API-Key', FORGED], 'the key is for us'],
  [['Cookie', `postern.session=${FORGED}`], 'the session is for us'],
  [['Cookie', `postern.a=1; __Host-Postern.session=${FORGED}`], 'in any case'],
  [['Content-Length', '47114711'], 'the runtime frames the body'],
  [['Transfer-Encoding', 'chunked'], 'the runtime frames the body'],
  [['X_Other', FORGED], 'this route did not ask for it'],
] as const
for (const [lines, because] of droppedLines) {
  test(`[FR-005] ${lines.join(' | ')} stays here: ${because}`, () => {
    const names = composed(headOf(lines)).filter((_, at) => at % 2 === 0)
    expect(composed(headOf(lines)).join('\n')).not.toMatch(/forged|47114711|100-continue|chunked/)
    expect(names).not.toContain(lines.at(-2))
  })
}

test('[FR-005] what a route asks for by name it gets: a credential, or a name servers fold, but no alias of ours', () => {
  const asked = routeAllowing('authorization', 'x-api-key', 'x_custom', 'x_tenant', 'x_api_key', 'x-forwarded-user')
  const lines = [
    'Authorization',
    'Bearer a',
    'X-API-Key',
    'k',
    'X_Custom',
    'c',
    'X_Tenant',
    FORGED,
    'X_API_Key',
    FORGED,
    'X-Forwarded-User',
    FORGED,
  ]
  const headers = composed(headOf(lines), { route: asked })
  expect(valuesOf(headers, 'authorization')).toEqual(['Bearer a'])
  expect(valuesOf(headers, 'x-api-key')).toEqual(['k'])
  expect(valuesOf(headers, 'x_custom')).toEqual(['c'])
  expect(headers.join('\n')).not.toContain(FORGED)
})

test('[FR-005] all else keeps its spelling, order and duplicates', () => {
  const lines = ['accept', '*/*', 'X-Mine', '1', 'x-mine', '2', 'Cookie', 'b=2;  c="3"', 'Traceparent', '00-1']
  expect(composed(headOf(lines)).slice(2, 2 + lines.length)).toEqual(lines)
})

test('[FR-005] where it came from is written by us alone', () => {
  const lines = [
    'X-Forwarded-For',
    '203.0.113.9',
    'Forwarded',
    `for=${FORGED}`,
    'X-Forwarded-Proto',
    'https',
    'X-Forwarded-Prefix',
    '/admin',
  ]
  expect(composed(headOf(lines))).toEqual([
    ...['Host', 'localhost:8080', 'X-Forwarded-For', '192.0.2.1', 'X-Forwarded-Proto', 'http'],
    ...['X-Forwarded-Host', 'localhost:8080', 'Forwarded', 'for=192.0.2.1;host="localhost:8080";proto=http'],
    ...['X-Request-Id', 'r1'],
  ])
  expect(valuesOf(composed(headOf(lines, false, '10.0.0.1')), 'x-forwarded-for')).toEqual(['203.0.113.9'])
})

test('[FR-005] an IPv6 client is quoted in Forwarded (RFC 7239 §6), one without an address is unknown', () => {
  expect(valuesOf(composed(headOf([], false, '2001:db8::1')), 'forwarded')[0]).toContain('for="[2001:db8::1]";')
  expect(valuesOf(composed(headOf([], false, '')), 'forwarded')[0]).toContain('for=unknown;')
})

test('[FR-005] an upstream sees the public host, or its own where the policy says so', () => {
  expect(composed(headOf([])).slice(0, 2)).toEqual(['Host', 'localhost:8080'])
  expect(composed(headOf([]), { upstream: { ...upstream, host: 'upstream' } }).slice(0, 2)).toEqual([
    'Host',
    '127.0.0.1:9000',
  ])
})

test('[FR-017] a WebSocket handshake keeps what its two ends agree on', () => {
  const lines = [
    'Connection',
    'keep-alive, Upgrade',
    'Upgrade',
    'websocket',
    'Sec-WebSocket-Key',
    'k',
    'Sec-WebSocket-Protocol',
    'p',
  ]
  const headers = composed(headOf(lines, true), { principal: ada })
  expect(valuesOf(headers, 'sec-websocket-key')).toEqual(['k'])
  expect(valuesOf(headers, 'sec-websocket-protocol')).toEqual(['p'])
  expect(valuesOf(headers, 'upgrade')).toEqual([])
  expect(valuesOf(headers, 'x-forwarded-user')).toEqual(['u_1'])
})

test('[FR-007] identity stands last and once, and Connection cannot nominate it away (GHSA-w9mr-28mw-j8hg)', () => {
  const lines = ['Connection', 'X-Forwarded-User, X-Postern-Assertion', 'X-Forwarded-User', FORGED]
  expect(composed(headOf(lines), { principal: ada, assertion: 'a.b.c' }).slice(-10)).toEqual([
    ...['X-Forwarded-User', 'u_1', 'X-Forwarded-Email', 'ada@example.com'],
    ...['X-Forwarded-Preferred-Username', 'ada@example.com', 'X-Forwarded-Groups', 'admin,editor'],
    ...['X-Postern-Assertion', 'a.b.c'],
  ])
})

test('[FR-007] one principal is written for each upstream in its own dialect, and for each verdict on unverified e-mail', () => {
  const unverified = { ...ada, emailVerified: false }
  const remote = { ...upstream, identity: DIALECTS.remote }
  for (let round = 0; round < 2; round += 1) {
    const plain = composed(headOf([]), { principal: unverified })
    expect(valuesOf(plain, 'x-forwarded-email')).toEqual([])
    expect(valuesOf(plain, 'x-forwarded-preferred-username')).toEqual(['u_1'])
    expect(valuesOf(composed(headOf([]), { principal: unverified, upstream: remote }), 'remote-user')).toEqual(['u_1'])
    const trusting = { ...snapshot, allowUnverifiedEmail: true }
    const shown = composed(headOf([]), { principal: unverified, snapshot: trusting })
    expect(valuesOf(shown, 'x-forwarded-email')).toEqual(['ada@example.com'])
  }
})

test('[FR-007] a group that an upstream would read as two is left out, and counted for the record', () => {
  const found = upstreamHeaders(
    snapshot,
    route,
    upstream,
    headOf([]),
    { ...ada, roles: ['a,admin', 'editor'] },
    null,
    ORIGIN,
  )
  expect(found).toMatchObject({ droppedGroups: 1 })
  if (!(found instanceof Refusal)) expect(valuesOf(found.headers, 'x-forwarded-groups')).toEqual(['editor'])
})

test('[FR-007] identity that cannot be written refuses the request', () => {
  const crowd = { ...ada, roles: Array.from({ length: 1000 }, (_, at) => `department-${at}`) }
  for (let round = 0; round < 2; round += 1) {
    expect(upstreamHeaders(snapshot, route, upstream, headOf([]), crowd, null, ORIGIN)).toMatchObject({
      reason: 'identity.unwritable',
    })
  }
})

test('[FR-007] whoever somebody claims to be, no line is broken and no field is forged', () => {
  const text = fc.oneof(fc.constantFrom('a\r\nX-Evil: 1', 'x\0', 'é', 'a,b', '%0d%0a'), fc.string({ unit: 'binary' }))
  const claims = fc.record({
    subject: text,
    email: text,
    name: text,
    sessionId: text,
    roles: fc.array(text),
    scopes: fc.array(text),
  })
  const map = compileIdentity(
    Object.fromEntries(IDENTITY_CLAIMS.map((claim) => [`X-${claim}`, { claim, separator: null }])),
  )
  fc.assert(
    fc.property(claims, fc.boolean(), (claimed, emailVerified) => {
      const principal = { ...ada, ...claimed, emailVerified }
      const found = upstreamHeaders(
        snapshot,
        route,
        { ...upstream, identity: map },
        headOf([]),
        principal,
        null,
        ORIGIN,
      )
      if (found instanceof Refusal) return
      for (const line of found.headers) expect(line).toMatch(/^[!-~](?:[ -~]*[!-~])?$/)
    }),
    { numRuns: 2000 },
  )
})

test('[FR-043] a route takes out, sets and adds lines of a request, whatever alias a client sends them by', () => {
  const edits: HeaderEdits = {
    remove: new Set(['cookie', 'x-debug', 'x-site']),
    set: ['X-Site', 'books'],
    add: ['X-Tag', 'b', 'X-Broken', 'a\r\nb: c'],
  }
  const edited = { allowRequestHeaders: new Set(['x_site', 'x_tag']), requestEdits: edits } as unknown as Route
  const lines = ['X-Debug', FORGED, 'x-site', FORGED, 'X_Site', FORGED, 'Cookie', 'a=1', 'X-Tag', 'a']
  const headers = composed(headOf([...lines, 'Connection', 'x-site']), { route: edited, principal: ada })
  expect(headers.join('\n')).not.toContain(FORGED)
  expect(valuesOf(headers, 'cookie')).toEqual([])
  expect(valuesOf(headers, 'x-site')).toEqual(['books'])
  expect(valuesOf(headers, 'x-tag')).toEqual(['a', 'b'])
  expect(headers).not.toContain('X-Broken')
  expect(headers.indexOf('X-Site')).toBeLessThan(headers.indexOf('X-Forwarded-User'))
})

test('[FR-044] where Authorization says who calls, a client’s own never gets there, whatever the route asks', () => {
  const asked = routeAllowing('authorization')
  const basic = { ...upstream, identity: DIALECTS.basic }
  const lines = ['Authorization', `Basic ${btoa(`${FORGED}:`)}`]
  for (const principal of [null, ada]) {
    const values = valuesOf(composed(headOf(lines), { route: asked, upstream: basic, principal }), 'authorization')
    expect(values).toEqual(principal === null ? [] : [`Basic ${btoa('ada@example.com:')}`])
  }
  expect(valuesOf(composed(headOf(lines), { route: asked }), 'authorization')).toEqual([lines[1]])
})
