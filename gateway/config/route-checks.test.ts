/** What is warned of among routes, and what is not: a warning that ordinary files raise is one that nobody reads. */

import { describe, expect, test } from 'vitest'
import { compile } from './compile.ts'
import { formatIssues } from './issues.ts'
import { GatewayConfig } from './schema.ts'

function warnings(more: Readonly<Record<string, unknown>>): string {
  const upstreams = { up: 'http://127.0.0.1:9000' }
  const result = compile(GatewayConfig.parse({ version: 1, origin: 'http://localhost:8080', upstreams, ...more }), 'v')
  if ('issues' in result) throw new Error(formatIssues(result.issues))
  return formatIssues(result.warnings.filter(({ path }) => path !== 'origin'))
}

const admin = { to: 'up', access: { role: 'admin' } }
const open = { to: 'up', access: 'public' }
const deny = { access: 'deny' }
const other = { up: 'http://127.0.0.1:9000', idle: 'http://127.0.0.1:9001' }
const exact = { up: { url: 'http://127.0.0.1:9000', paths: 'exact' } }
const people = { ann: { roles: ['editor'] } }
const ci = { ci: { issuer: 'https://ci.example.com', audience: 'x', roles: ['deployer'] } }
const away = { origin: 'http://books.example.com' }
const office = { routes: { '/a': { to: 'up', access: { any: [{ ip: '10.0.0.0/8' }, { role: 'admin' }] } } } }

describe('warned of', () => {
  const rows = [
    ['an upstream nobody uses', { upstreams: other, routes: { '/a': open } }, 'no route leads to `idle`'],
    [
      'a route that more specific ones take every path of',
      { routes: { '/a/**': open, '/a': open, '/a/*/**': open } },
      'no request reaches `/a/**`',
    ],
    [
      'the same in three steps',
      { routes: { '/a/**': open, '/a': open, '/a/*': open, '/a/*/*/**': open } },
      'no request reaches `/a/**`',
    ],
    ['a deny beneath a deny', { routes: { '/a/**': deny, '/a/b/**': deny } }, '`/a/b/**` changes nothing'],
    [
      'an open door beneath a guarded one',
      { routes: { '/admin/**': admin, '/admin/x/**': open } },
      '`/admin/x/**` is open to everybody beneath `/admin/**`',
    ],
    [
      'an open door two levels below, with a deny between',
      { routes: { '/admin/**': admin, '/admin/x/**': deny, '/admin/x/y': { to: 'up', access: 'optional' } } },
      '`/admin/x/y` is open to everybody beneath `/admin/**`',
    ],
    [
      'a method that is open beneath a prefix where it is not',
      { routes: { '/b/**': { to: 'up', access: { read: 'public', write: 'login' } }, '/b/c': open } },
      '{ POST: "/b/c", as: nobody, expect: allow }',
    ],
    [
      'an open door of one host beneath a wildcard that is guarded',
      { routes: { '*.x.test/admin/**': admin, 'a.x.test/admin/:id': { ...open, alias: true } } },
      '{ GET: "http://a.x.test:8080/admin/x", as: nobody, expect: allow }',
    ],
    [
      'a role nobody has',
      { people, routes: { '/a': { to: 'up', access: { role: 'editr' } } } },
      'did you mean `editor`?',
    ],
    [
      'a role nobody has, deep inside',
      { people, routes: { '/a': { to: 'up', access: { not: { any: [{ role: 'trainee' }] } } } } },
      'nobody has the role `trainee`',
    ],
    [
      'addresses that are all the proxy’s',
      { ...away, listen: '10.0.0.7:8080', ...office },
      'every client has the proxy’s address',
    ],
  ] as const
  for (const [what, policy, warning] of rows) {
    test(`[FR-041] ${what}`, () => expect(warnings(policy)).toContain(warning))
  }
})

describe('not warned of', () => {
  const rows = [
    ['a tail that still has paths of its own', { routes: { '/a/**': open, '/a': open, '/a/*': open } }],
    [
      'empty segments where they are told apart',
      { upstreams: exact, routes: { '/a/**': open, '/a': open, '/a/*/**': open } },
    ],
    ['a deny beneath what is open', { routes: { '/**': open, '/api/**': deny, '/api/health': open } }],
    ['a deny that stands where two meet', { routes: { '/a/:x': deny, '/:y/b': deny, '/a/b': deny, '/c': open } }],
    ['an open door beneath `/**`', { routes: { '/**': { to: 'up', access: 'login' }, '/welcome/**': open } }],
    ['a guarded door beneath an open one', { routes: { '/a/**': open, '/a/b': admin } }],
    [
      'an open door that a test of the file names',
      {
        routes: { '/admin/**': admin, '/admin/x/**': open },
        tests: [{ GET: 'http://localhost:8080/admin/x/y?z=1', as: 'nobody', expect: 'allow' }],
      },
    ],
    [
      'roles that anybody may have, where no people are named',
      { routes: { '/a': { to: 'up', access: { role: 'x' } } } },
    ],
    [
      'roles that people have or an issuer may confer',
      { people, tokens: ci, routes: { '/a': { to: 'up', access: { role: ['editor', 'deployer', 'admin', 'user'] } } } },
    ],
    ['addresses on this machine', office],
    ['addresses behind a proxy that is named', { ...away, listen: '10.0.0.7:8080', trust: ['10.0.0.0/8'], ...office }],
    ['addresses of clients that reach us themselves', { ...away, listen: '203.0.113.7:80', ...office }],
  ] as const
  for (const [what, policy] of rows) {
    test(`[FR-041] ${what}`, () => expect(warnings(policy)).toBe(''))
  }

  test('[FR-041] a test for somebody, or one that expects a refusal, opens no door', () => {
    const routes = { '/admin/**': admin, '/admin/x': open }
    for (const test of [
      { GET: '/admin/x', as: 'ann', expect: 'allow' },
      { GET: '/admin/x', as: 'nobody', expect: 401 },
    ]) {
      expect(warnings({ people: { ann: { roles: ['admin'] } }, routes, tests: [test] })).toContain('open to everybody')
    }
  })
})
