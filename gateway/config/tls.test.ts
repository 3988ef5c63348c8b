/** TLS, HTTP/2 and Unix sockets in a policy: what may stand together, and what the reader is told where it may not. */

import { expect, test } from 'vitest'
import { hostOf } from '../http/authority.ts'
import { formatIssues, readPolicy } from './parse.ts'
import { serverOrigin, unreachableFault } from './tls-checks.ts'

function read(upstreams: string, more = 'origin: http://localhost:8080') {
  const text = `version: 1\n${more}\nupstreams:\n${upstreams}\nroutes: { /**: { to: a, access: public } }\n`
  const sources = { file: 'p.yaml', readEnv: () => undefined, readFile: () => '', listFiles: () => [] }
  return readPolicy(text, sources, () => 'v')
}

function problemsOf(upstreams: string, more?: string): string {
  const found = read(upstreams, more)
  return 'issues' in found ? formatIssues(found.issues) : ''
}

const A = '  a: http://127.0.0.1:9000'
const TLS = 'tls: { certificate: a.pem, key: a.key }'

test('[FR-057] an https origin needs TLS of its own or the name of the proxy that ends it', () => {
  expect(problemsOf(A, 'origin: https://books.example.com')).toContain('or write `tls`, and no proxy is needed')
  expect(problemsOf(A, `origin: https://books.example.com\n${TLS}`)).toBe('')
})

const wrong = [
  ['TLS under an http origin', A, `origin: http://localhost:8080\n${TLS}`, 'write an https:// origin'],
  [
    'a version that is spoken no more',
    A,
    `origin: https://b.example
tls: { certificate: a, key: b, minVersion: 1.1 }`,
    'tls: { certificate: a, key: b, minVersion: 1.1 }',
  ],
  [
    'a key instead of its file',
    A,
    `origin: https://b.example\ntls: { certificate: a, key: "-----BEGIN X" }`,
    'holds no key itself',
  ],
  [
    'a certificate without a key',
    '  a: { url: "https://a.internal", tls: { certificate: a.pem } }',
    undefined,
    'belong together',
  ],
  [
    'TLS to http://',
    '  a: { url: "http://127.0.0.1:9000", tls: { ca: a.pem } }',
    undefined,
    '`tls` has no meaning for http://127.0.0.1:9000',
  ],
  [
    'TLS to a socket',
    '  a: { url: "unix:/run/a.sock", tls: { ca: a.pem } }',
    undefined,
    '`tls` has no meaning for unix:/run/a.sock',
  ],
  ['a socket of a relative path', '  a: "unix:run/a.sock"', undefined, 'unix:/run/books.sock'],
  ['a socket with too long a path', `  a: "unix:/${'x'.repeat(120)}"`, undefined, 'at most 103 characters'],
] as const
for (const [what, upstreams, more, problem] of wrong) {
  test(`[FR-056] ${what} is refused with a cure`, () => {
    const found = problemsOf(upstreams, more)
    expect(found).toContain(problem)
    expect(found).toMatch(/p\.yaml:\d+:\d+/)
  })
}

test('[FR-056] a socket is an upstream like others: nobody else reads what goes there', () => {
  const found = read('  a: unix:/run/a.sock')
  if ('issues' in found) throw new Error(formatIssues(found.issues))
  expect(found.snapshot.upstreams.get('a')!.servers).toEqual([{ origin: 'unix:/run/a.sock', weight: 1 }])
  expect(found.warnings.map(({ message }) => message).join()).not.toContain('in the clear')
  expect(hostOf('unix:/run/a.sock')).toBe('localhost')
  expect(hostOf(serverOrigin('http://A.internal:80/'))).toBe('a.internal')
})

test('[FR-056] what a Worker cannot reach, its policy may not name', () => {
  const faultOf = (upstreams: string) => {
    const found = read(upstreams)
    return 'issues' in found ? formatIssues(found.issues) : unreachableFault(found.config)
  }
  expect(faultOf(A)).toBeNull()
  expect(faultOf('  a: unix:/run/a.sock')).toContain('cannot open unix:/run/a.sock')
  expect(faultOf('  a: { url: "https://a.internal", tls: { ca: a.pem } }')).toContain('`upstreams.a.tls`')
})
