/** What gets past the gate, what does not, and why. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileNetworks } from '../http/address.ts'
import { type RawHead, Refusal, type RequestHead } from '../model.ts'
import type { Reason } from '../problem/catalogue.ts'
import type { AdmissionRules } from '../snapshot.ts'
import { admit } from './admit.ts'

const HOST = ['Host', 'books.example'] as const

const rules: AdmissionRules = {
  scheme: 'https',
  authority: 'books.example',
  isEncodedSlashAdmitted: false,
  isServed: (authority: string) => ['books.example', 'admin.example:8443'].includes(authority),
  isTrusted: compileNetworks(['10.0.0.0/8', '2001:db8:ffff::/48']),
  sessionCookieName: '__Host-postern.session',
  apiKeyHeader: null,
  allowHeaderNames: new Set(['x_custom']),
  targetBytesMax: 256,
}

function raw(change: Partial<RawHead>): RawHead {
  return {
    requestId: 'r1',
    receivedAtMs: 1,
    method: 'GET',
    target: '/',
    httpVersion: '1.1',
    headers: HOST,
    peerAddress: '192.0.2.1',
    isUpgrade: false,
    ...change,
  }
}

function admitted(change: Partial<RawHead>): RequestHead {
  const head = admit(rules, raw(change))
  if (head instanceof Refusal) throw new Error(`refused: ${head.reason}`)
  return head
}

function reasonOf(change: Partial<RawHead>): Reason | null {
  const head = admit(rules, raw(change))
  return head instanceof Refusal ? head.reason : null
}

function fields(...lines: string[]): Partial<RawHead> {
  return { headers: [...HOST, ...lines] }
}

type Row = readonly [Partial<RawHead>, Reason, string]

const hosts: readonly Row[] = [
  [{ headers: [] }, 'head.missing-host', 'without Host nobody knows whom the request is for'],
  [{ headers: ['Host', ''] }, 'head.missing-host', 'an empty Host is none'],
  [{ headers: [], httpVersion: '1.0' }, 'head.missing-host', 'HTTP/1.0 is no way around it'],
  [{ headers: [], target: 'https://books.example/' }, 'head.missing-host', 'absolute-form neither'],
  [{ headers: [...HOST, ...HOST] }, 'head.duplicate-host', 'two equal ones are two'],
  [{ headers: ['host', 'books.example', 'HOST', 'evil.example'] }, 'head.duplicate-host', 'in any case'],
  [{ headers: ['Host', ''].concat(HOST) }, 'head.duplicate-host', 'an empty one counts'],
  [{ headers: ['Host', 'evil.example'] }, 'authority.unknown', 'only declared hosts are served'],
  [{ headers: ['Host', 'books.example:80'] }, 'authority.unknown', 'another port is another origin'],
  [{ headers: ['Host', 'books.example.'] }, 'authority.unknown', 'a trailing dot is another name'],
  [{ headers: ['Host', 'x@books.example'] }, 'authority.unknown', 'user information is not part of a host'],
  [{ headers: ['Host', 'books.example,evil.example'] }, 'authority.unknown', 'a joined duplicate is nobody'],
  [{ headers: ['Host', 'books.example/x'] }, 'authority.unknown', 'a path in Host'],
  [{ headers: ['Host', ' books.example'] }, 'authority.unknown', 'blanks belong to the parser'],
]

const targets: readonly Row[] = [
  [{ target: 'http://books.example/' }, 'target.authority-differs', 'another scheme is another origin'],
  [
    { target: 'https://evil.example/' },
    'target.authority-differs',
    'the target overrules Host (RFC 9112 §3.2.2) for some',
  ],
  [{ target: 'https://u@books.example/' }, 'target.authority-differs', 'user information never belongs on the wire'],
  [{ target: 'https://books.example\\@evil.example/' }, 'target.authority-differs', 'a host is compared whole'],
  [{ target: 'https:///x' }, 'target.malformed', 'no authority'],
  [{ target: 'ftp://books.example/' }, 'target.malformed', 'no scheme of ours'],
  [{ target: 'https://books.example/a/../b' }, 'target.dot-segment', 'absolute-form passes the same canonicalizer'],
  [{ target: 'https://books.example/a#b' }, 'target.fragment', 'absolute-form with a fragment'],
  [{ target: 'https://books.example/a\r\nX: y' }, 'target.control', 'absolute-form with a line break'],
  [{ target: 'books.example:443' }, 'target.malformed', 'authority-form is for CONNECT'],
  [{ target: '*' }, 'target.malformed', 'asterisk-form is for OPTIONS'],
  [{ target: '*', method: 'OPTIONS' }, 'method.refused', 'no one policy answers for the whole server'],
  [{ target: '' }, 'target.malformed', 'nothing'],
  [{ target: `/${'a'.repeat(256)}` }, 'target.too-long', 'one byte over the limit'],
]

const methods: readonly Row[] = [
  ...['CONNECT', 'TRACE', 'TRACK'].map(
    (method): Row => [{ method }, 'method.refused', `${method} is never for a gateway`],
  ),
  ...['get', 'Get', 'pOST', '', 'GET ', 'G\tT', 'GÉT', '-GET', 'A'.repeat(33), 'GET\r\nX: y'].map(
    (method): Row => [{ method }, 'method.refused', 'methods are case-sensitive tokens (RFC 9110 §9.1)'],
  ),
]

const framing: readonly Row[] = [
  [fields('Content-Length', '1', 'Transfer-Encoding', 'chunked'), 'head.framing', 'a length beside a coding (CL.TE)'],
  [
    fields('Transfer-Encoding', 'chunked', 'Content-Length', '0'),
    'head.framing',
    'in the other order, and zero (TE.CL)',
  ],
  [fields('Content-Length', '1', 'content-length', '2'), 'head.framing', 'two lengths'],
  [fields('Content-Length', '1', 'CONTENT-LENGTH', '1'), 'head.framing', 'two equal lengths (CVE-2026-1525)'],
  [fields('Content-Length', '1, 1'), 'head.framing', 'two lengths joined'],
  [fields('Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'), 'head.framing', 'two codings'],
  [fields('Transfer-Encoding', 'chunked, identity'), 'head.framing', 'a coding after chunked'],
  [fields('Transfer-Encoding', 'gzip, chunked'), 'head.framing', 'a coding before chunked'],
  [fields('Transfer-Encoding', 'identity'), 'head.framing', 'a coding that is none'],
  [fields('Transfer-Encoding', 'xchunked'), 'head.framing', 'nearly chunked'],
  [fields('Transfer-Encoding', 'chunked '), 'head.framing', 'with a blank'],
  [fields('Transfer-Encoding', ''), 'head.framing', 'an empty coding'],
  [
    { ...fields('Transfer-Encoding', 'chunked'), httpVersion: '1.0' },
    'head.framing',
    'HTTP/1.0 knows no codings (CVE-2026-2835)',
  ],
  ...['', '+1', '-1', ' 1', '1 ', '0x1', '1.0', '1e3', '１', '9'.repeat(16)].map(
    (length): Row => [
      fields('Content-Length', length),
      length === '１' ? 'head.malformed' : 'head.framing',
      'a length is digits',
    ],
  ),
  [{ ...fields('Content-Length', '5'), isUpgrade: true }, 'head.framing', 'an upgrade with a body (CVE-2026-2833)'],
  [{ ...fields('Transfer-Encoding', 'chunked'), isUpgrade: true }, 'head.framing', 'an upgrade with a chunked body'],
  [{ isUpgrade: true, method: 'POST' }, 'head.malformed', 'a WebSocket begins with GET (RFC 6455 §4.1)'],
  [{ isUpgrade: true, httpVersion: '1.0' }, 'head.malformed', 'HTTP/1.0 has no upgrade'],
  [fields('Expect', '200-ok'), 'expect.unknown', 'no other expectation is defined'],
]

const lines: readonly Row[] = [
  [fields('', 'x'), 'head.malformed', 'a field without a name'],
  [fields('Transfer-Encoding ', 'chunked'), 'head.malformed', 'a blank before the colon (RFC 9112 §5.1)'],
  [fields(' X', 'y'), 'head.malformed', 'a folded line taken for a field'],
  [fields('X\r\nY', 'z'), 'head.malformed', 'a line break in a name'],
  [fields('X', 'a\r\n b'), 'head.malformed', 'obsolete folding (RFC 9112 §5.2)'],
  [fields('X', 'a\rb'), 'head.malformed', 'a bare CR'],
  [fields('X', 'a\nb'), 'head.malformed', 'a bare LF'],
  [fields('X', 'a\0b'), 'head.malformed', 'NUL'],
  [fields('X', 'a\u007f'), 'head.malformed', 'DEL'],
  [fields('X_Dropped', 'a\nb'), 'head.malformed', 'even in a field that would be dropped'],
  [fields('X', '\u0130'), 'head.malformed', 'wider than a byte'],
  [{ headers: [...HOST, 'X'] }, 'head.malformed', 'a name without a value'],
  [fields('Origin', 'https://a', 'Origin', 'https://b'), 'head.malformed', 'CSRF is judged by one Origin'],
  [fields('Sec-Fetch-Site', 'same-origin', 'Sec-Fetch-Site', 'cross-site'), 'head.malformed', 'and by one site'],
  [fields(...Array.from({ length: 512 }, () => 'x')), 'head.too-large', 'more lines than any browser sends'],
  [fields('X', 'x'.repeat(65_536)), 'head.too-large', 'more bytes than any backend takes'],
]

const credentials: readonly Row[] = [
  [fields('Authorization', 'Bearer a', 'authorization', 'Bearer b'), 'credential.duplicate', 'two readers, two users'],
  [fields('Authorization', '', 'Authorization', 'Bearer b'), 'credential.duplicate', 'an empty one counts'],
  [fields('X-API-Key', 'a', 'x-api-key', 'a'), 'credential.duplicate', 'two keys'],
  [
    fields('Cookie', '__Host-postern.session=a; __Host-postern.session=b'),
    'credential.duplicate',
    'two sessions in one line',
  ],
  [
    fields('Cookie', '__Host-postern.session=a', 'cookie', 'x=1;__Host-postern.session =a'),
    'credential.duplicate',
    'in two lines',
  ],
  [
    fields('Cookie', '__Host-postern.session=; __Host-postern.session=b'),
    'credential.duplicate',
    'an empty one counts',
  ],
]

for (const [id, rows] of Object.entries({
  'FR-004': [...hosts, ...methods, ...framing, ...lines],
  'FR-003': targets,
  'FR-011': credentials,
})) {
  for (const [change, reason, because] of rows) {
    const { headers = [], ...rest } = change
    const shown = `${JSON.stringify(rest)} ${JSON.stringify(headers).slice(0, 90)}`
    test(`[${id}] ${shown} is refused as ${reason}: ${because}`, () => expect(reasonOf(change)).toBe(reason))
  }
}

test('[FR-004] a host is compared without case and without the port its scheme implies', () => {
  for (const host of ['books.example', 'BOOKS.Example', 'books.example:443']) {
    expect(admitted({ headers: ['host', host] }).target).toMatchObject({ scheme: 'https', authority: 'books.example' })
  }
  expect(admitted({ headers: ['Host', 'Admin.example:8443'] }).target.authority).toBe('admin.example:8443')
})

test('[FR-003] absolute-form of our own host is read as its path', () => {
  expect(admitted({ target: 'HTTPS://Books.example:443/a?b' }).target).toMatchObject({ path: '/a', query: '?b' })
  expect(admitted({ target: 'https://books.example' }).target).toMatchObject({ path: '/', query: '' })
  expect(admitted({ target: 'https://books.example?b' }).target).toMatchObject({ path: '/', query: '?b' })
})

test('[FR-003] an admitted target carries the other readings of its path', () => {
  expect(admitted({ target: '//a' }).target.readings).toEqual(['/a'])
})

test('[FR-004] other methods of the registry are the policy’s to judge', () => {
  for (const method of ['PROPFIND', 'M-SEARCH', 'QUERY', 'OPTIONS']) expect(admitted({ method }).method).toBe(method)
})

test('[FR-004] names that servers fold into others are dropped and counted, those a route admits are kept', () => {
  const head = admitted(
    fields('X_Forwarded_User', 'root', 'A', '1', 'X.Forwarded.User', 'root', '__proto__', '{}', 'X_Custom', '2'),
  )
  expect(head.headers).toEqual([...HOST, 'A', '1', 'X_Custom', '2'])
  expect(head.names).toEqual(['host', 'a', 'x_custom'])
  expect(head.droppedHeaders).toBe(3)
})

test('[FR-004] a dropped alias frames and proves nothing', () => {
  const head = admitted(fields('Transfer_Encoding', 'chunked', 'Content.Length', '5', 'X_API_Key', 'a'))
  expect(head).toMatchObject({ bodyBytes: 0, droppedHeaders: 3 })
})

test('[FR-004] field lines that are all kept are not copied, and keep spelling, order and duplicates', () => {
  const headers = [...HOST, 'X-A', '1', 'x-a', '2']
  expect(admitted({ headers }).headers).toBe(headers)
})

test('[FR-004] a body is as long as its length says, or chunked', () => {
  expect(admitted({}).bodyBytes).toBe(0)
  expect(admitted({ method: 'POST', ...fields('Content-Length', '12') }).bodyBytes).toBe(12)
  expect(admitted({ method: 'POST', ...fields('Transfer-Encoding', 'Chunked') }).bodyBytes).toBe(-1)
  expect(admitted(fields('Expect', '100-Continue')).bodyBytes).toBe(0)
})

test('[FR-011] what proves and what guards is picked out as presented', () => {
  const head = admitted(
    fields(
      'authorization',
      'Bearer a.b',
      'Cookie',
      'x=1',
      'Cookie',
      '__Host-postern.session=t.s%3D; y=2',
      'Origin',
      'null',
      'Sec-Fetch-Site',
      'none',
    ),
  )
  expect(head).toMatchObject({
    authorization: 'Bearer a.b',
    sessionCookie: 't.s%3D',
    origin: 'null',
    fetchSite: 'none',
  })
  const other = admitted(fields('Cookie', '__host-postern.session=a; postern.session=b; __Host-postern.sessionx=c'))
  expect(other.sessionCookie).toBeNull()
})

const chains = [
  ['192.0.2.1', ['X-Forwarded-For', '203.0.113.9'], '192.0.2.1', 'a stranger is not believed'],
  ['::ffff:192.0.2.1', [], '192.0.2.1', 'IPv4 inside IPv6 is IPv4'],
  ['10.0.0.1', [], '10.0.0.1', 'a proxy that says nothing speaks for itself'],
  ['10.0.0.1', ['X-Forwarded-For', '203.0.113.9'], '203.0.113.9', 'a trusted proxy is believed'],
  ['::ffff:10.0.0.1', ['X-Forwarded-For', '::ffff:203.0.113.9'], '203.0.113.9', 'in either family'],
  ['10.0.0.1', ['X-Forwarded-For', '1.1.1.1, 203.0.113.9'], '203.0.113.9', 'what a stranger prepended is not believed'],
  [
    '10.0.0.1',
    ['X-Forwarded-For', '203.0.113.9, 10.0.0.2,10.9.9.9'],
    '203.0.113.9',
    'trusted proxies are walked through',
  ],
  [
    '10.0.0.1',
    ['X-Forwarded-For', '1.1.1.1', 'x-forwarded-for', '203.0.113.9'],
    '203.0.113.9',
    'the last line is nearest',
  ],
  [
    '10.0.0.1',
    ['X-Forwarded-For', '203.0.113.9, evil, 10.0.0.2'],
    '10.0.0.2',
    'no address ends the walk at the last good one',
  ],
  ['10.0.0.1', ['X-Forwarded-For', '203.0.113.9,'], '10.0.0.1', 'an empty member too'],
  ['10.0.0.1', ['X-Forwarded-For', ''], '10.0.0.1', 'an empty field too'],
  ['10.0.0.1', ['X-Forwarded-For', '10.0.0.3, 10.0.0.2'], '10.0.0.3', 'a client inside the trusted network'],
  ['10.0.0.1', ['X-Forwarded-For', '[2001:db8::7]:443'], '2001:db8::7', 'with a port'],
  ['10.0.0.1', ['X_Forwarded_For', '203.0.113.9'], '10.0.0.1', 'an alias says nothing'],
  [
    '2001:db8:ffff::1',
    ['Forwarded', 'for=203.0.113.9', 'X-Real-IP', '203.0.113.9'],
    '2001:db8:ffff::1',
    'one field is believed',
  ],
  ['', ['X-Forwarded-For', '203.0.113.9'], 'unknown', 'a socket without an address is a stranger'],
] as const
for (const [peerAddress, sent, client, because] of chains) {
  test(`[FR-005] from ${peerAddress || 'nowhere'} with ${sent.join(': ') || 'nothing'} the client is ${client}: ${because}`, () => {
    expect(admitted({ peerAddress, ...fields(...sent) }).clientAddress).toBe(client)
  })
}

test('[FR-005] a chain of trusted hops is walked only so far', () => {
  const head = admitted({
    peerAddress: '10.0.0.1',
    ...fields('X-Forwarded-For', `203.0.113.9,${'10.0.0.2,'.repeat(99)}10.0.0.3`),
  })
  expect(head).toMatchObject({ clientAddress: '10.0.0.2', peerAddress: '10.0.0.1' })
})

test('[FR-019] a browser moving to a page is a navigation', () => {
  expect(admitted(fields('Sec-Fetch-Mode', 'navigate')).isNavigation).toBe(true)
  expect(admitted(fields('Sec-Fetch-Mode', 'cors', 'Accept', 'text/html')).isNavigation).toBe(false)
  expect(admitted(fields('Accept', 'text/html', 'Accept', '*/*')).isNavigation).toBe(true)
  expect(admitted({ method: 'POST', ...fields('Accept', 'text/html') }).isNavigation).toBe(false)
  expect(admitted({ isUpgrade: true, ...fields('Sec-Fetch-Mode', 'navigate') }).isNavigation).toBe(false)
  expect(admitted({}).isNavigation).toBe(false)
})

const name = fc.oneof(
  fc.constantFrom(
    'Host',
    'Cookie',
    'Authorization',
    'Content-Length',
    'Transfer-Encoding',
    'X-Forwarded-For',
    'x_a',
    'Expect',
    '__proto__',
  ),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
const value = fc.oneof(
  fc.constantFrom('books.example', 'chunked', '1', '10.0.0.2, x', '__Host-postern.session=a'),
  fc.string({ unit: 'binary', maxLength: 20 }),
)

test('[FR-004] no head whatever makes the gate throw, and nothing it admits could break a line', () => {
  const anything = fc.record({
    method: fc.oneof(fc.constantFrom('GET', 'POST', 'TRACE'), fc.string({ unit: 'binary', maxLength: 8 })),
    target: fc.string({ unit: 'binary' }).map((text) => `/${text}`),
    headers: fc.array(fc.tuple(name, value), { maxLength: 6 }).map((pairs) => [...HOST, ...pairs.flat()]),
    peerAddress: fc.oneof(fc.constantFrom('10.0.0.1', '::1'), fc.string()),
    httpVersion: fc.constantFrom('1.0', '1.1', '2.0'),
    isUpgrade: fc.boolean(),
  } as const)
  fc.assert(
    fc.property(anything, (change) => {
      const head = admit(rules, raw(change))
      if (head instanceof Refusal) return
      const { path, query, authority } = head.target
      for (const text of [path, query, authority, head.method, head.clientAddress, ...head.headers]) {
        expect(text).not.toMatch(/[\r\n\0]/)
      }
      expect(head.names).toHaveLength(head.headers.length / 2)
      for (const [at, lower] of head.names.entries()) expect(head.headers[2 * at]!.toLowerCase()).toBe(lower)
    }),
    { numRuns: 3000 },
  )
})

test('[FR-004] another host is told which one is served, and nothing of its own is echoed', () => {
  const refusal = admit(rules, raw({ headers: ['Host', '<script>.example'] }))
  expect(refusal).toMatchObject({
    reason: 'authority.unknown',
    detail: 'This host is not served here; the gateway is at https://books.example.',
  })
})

const asksFor = (method: string) => ['Origin', 'https://app.example.com', 'Access-Control-Request-Method', method]
const preflights: readonly (readonly [Partial<RawHead>, string | null, string])[] = [
  [{ method: 'OPTIONS', ...fields(...asksFor('PUT')) }, 'PUT', 'a preflight'],
  [{ method: 'OPTIONS', ...fields(...asksFor('TRACE')) }, null, 'of a method that is never relayed'],
  [{ method: 'OPTIONS', ...fields(...asksFor('put')) }, null, 'of what is no method here'],
  [{ method: 'OPTIONS', ...fields('Access-Control-Request-Method', 'PUT') }, null, 'without an origin'],
  [{ method: 'OPTIONS', ...fields('Origin', 'https://app.example.com') }, null, 'that asks for nothing'],
  [{ method: 'GET', ...fields(...asksFor('PUT')) }, null, 'of another method than OPTIONS'],
]
for (const [change, method, because] of preflights) {
  test(`[FR-043] ${because}: ${method ?? 'an ordinary request'}`, () => {
    expect(admitted(change).preflightFor).toBe(method)
  })
}

test('[FR-043] a preflight that asks for two methods is refused, for either could be judged', () => {
  const change = fields(...asksFor('GET'), 'access-control-request-method', 'DELETE')
  expect(reasonOf({ method: 'OPTIONS', ...change })).toBe('head.malformed')
})
