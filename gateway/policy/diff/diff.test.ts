/** The diff of two policies: what it says of single changes, that it says nothing of none, and that it leaves nothing out. */

import { describe, expect, test } from 'vitest'
import { policyOf } from '../../test/support/policy-text.ts'
import { diffPolicies, diffProposals } from './diff.ts'
import { diffText } from './words.ts'

const BASE = {
  version: 1,
  origin: 'http://books.test',
  upstreams: { web: 'http://127.0.0.1:9000', api: 'http://127.0.0.1:9001' },
}
type Routes = Record<string, unknown>

const policy = (routes: Routes, more: object = {}) => policyOf({ ...BASE, ...more, routes })
const rowsOf = (before: Routes, after: Routes) =>
  diffPolicies(policy(before), policy(after)).rows.map(({ change, what, methods, patterns }) => {
    return `${change} ${what} ${methods.join('+')} ${patterns.map(({ pattern }) => pattern).join(' ')}`
  })
const ask = (access: unknown) => ({ '/a': { to: 'api', access } })

describe('who gets in', () => {
  const rows: readonly (readonly [before: unknown, after: unknown, row: string])[] = [
    ['deny', 'public', 'opened access all methods /a'],
    ['public', 'login', 'closed access all methods /a'],
    ['login', 'optional', 'opened access all methods /a'],
    ['optional', 'login', 'closed access all methods /a'],
    [{ ip: '10.0.0.0/8' }, { ip: '10.0.0.0/8', with: ['session', 'token'] }, 'closed access all methods /a'],
    ['optional', 'public', 'opened access all methods /a'],
    [{ role: 'admin' }, { role: ['admin', 'editor'] }, 'opened access all methods /a'],
    [{ role: 'admin' }, { role: 'editor' }, 'changed access all methods /a'],
    [{ role: 'admin' }, { role: 'admin', mfa: true }, 'closed access all methods /a'],
    [{ fresh: '5m' }, { fresh: '15m' }, 'opened access all methods /a'],
    [{ ip: '10.0.0.0/8' }, { ip: '10.1.0.0/16' }, 'closed access all methods /a'],
    [{ role: 'admin' }, { any: [{ role: 'admin' }, { scope: 'all' }] }, 'opened access all methods /a'],
    [{ any: [{ role: 'a' }, { role: 'b' }] }, { role: ['a', 'b', 'c'] }, 'opened access all methods /a'],
    [{ not: { role: ['a', 'b'] } }, { not: { role: 'a' } }, 'opened access all methods /a'],
    [{ not: { role: 'a' } }, { not: { role: 'a', mfa: true } }, 'opened access all methods /a'],
    [{ when: 'user.id == "a"' }, { when: 'user.id == "b"' }, 'changed access all methods /a'],
    [{ role: 'a' }, { role: 'a', with: ['session', 'token', 'key'] }, 'opened access all methods /a'],
    [{ read: 'public' }, { read: 'public', write: 'login' }, 'opened access write /a'],
    [{ read: 'public', write: 'deny' }, 'public', 'opened access write /a'],
    [{ GET: 'public' }, { GET: 'login' }, 'closed access read /a'],
    ['login', { read: 'login', write: 'login', DELETE: { role: 'a' } }, 'closed access DELETE /a'],
    ['login', { write: 'login', read: 'login', PROPFIND: 'public' }, 'opened access PROPFIND /a'],
  ]
  for (const [before, after, row] of rows) {
    test(`[FR-048] ${JSON.stringify(before)} to ${JSON.stringify(after)}: ${row}`, () => {
      expect(rowsOf(ask(before), ask(after))).toEqual([row])
    })
  }

  const same: readonly (readonly [unknown, unknown])[] = [
    [{ role: ['a', 'b'] }, { role: ['b', 'a'] }],
    ['login', { with: ['token', 'session'] }],
    [{ read: 'login' }, { GET: 'login', HEAD: 'login', write: 'deny' }],
    ['public', { read: 'public', write: 'public' }],
    [{ email: 'Alice@Example.com' }, { email: 'alice@example.com' }],
    [{ any: [{ role: 'a' }, { mfa: true }] }, { any: [{ mfa: true }, { role: 'a' }] }],
  ]
  for (const [before, after] of same) {
    test(`[FR-048] ${JSON.stringify(before)} is ${JSON.stringify(after)}`, () => {
      expect(rowsOf(ask(before), ask(after))).toEqual([])
    })
  }
})

describe('which requests', () => {
  test('[FR-048] a new line under another is compared with what met those paths before', () => {
    const before = { '/**': { to: 'web', access: 'login' } }
    const after = { ...before, '/a/:id': { to: 'web', access: 'public' } }
    expect(rowsOf(before, after)).toEqual(['opened access all methods /a/*'])
    expect(rowsOf(after, before)).toEqual(['closed access all methods /a/*'])
  })

  test('[FR-048] a line that nothing meets is no change, whatever it says', () => {
    const before = {
      '/a/**': { to: 'web', access: 'login' },
      '/a/*/**': { to: 'web', access: 'public' },
      '/a': { to: 'web', access: 'public' },
    }
    const after = { ...before, '/a/**': { to: 'web', access: 'login', timeout: '1m' } }
    // What is left of /a/** is `/a/` and `/a//...`, where a segment is empty.
    expect(rowsOf(before, after)).toEqual(['changed timeout all methods /a/**'])
  })

  test('[FR-048] hosts are compared with hosts, and the origin may be named', () => {
    const own = { '/a': { to: 'web', access: 'login' } }
    const named = { 'books.test/a': { to: 'web', access: 'login' } }
    expect(rowsOf(own, named)).toEqual([])
    const wild = { ...own, '*.books.test/a': { to: 'web', access: 'public', alias: true } }
    expect(rowsOf(own, wild)).toEqual(['opened access all methods *.books.test/a'])
    const special = { ...wild, 'api.books.test/a': { to: 'web', access: 'login', alias: true } }
    expect(rowsOf(wild, special)).toEqual(['closed access all methods api.books.test/a'])
  })

  test('[FR-048] the worst stands first', () => {
    const before = {
      '/a': { to: 'web', access: 'public' },
      '/b': { to: 'web', access: 'login' },
      '/c': { to: 'web', access: 'login' },
    }
    const after = {
      '/a': { to: 'web', access: 'login' },
      '/b': { to: 'api', access: 'login' },
      '/c': { to: 'web', access: 'public' },
    }
    expect(rowsOf(before, after)).toEqual([
      'opened access all methods /c',
      'changed upstream all methods /b',
      'closed access all methods /a',
    ])
  })

  test('[FR-048] one change of many routes is one row', () => {
    const before = { '/a': { to: 'web', access: 'login' }, '/b': { to: 'web', access: 'login' } }
    const [row] = diffPolicies(policy(before), policy(before, { defaults: { body: '2MiB' } })).rows
    expect(row).toMatchObject({ change: 'changed', what: 'body', patterns: [{ pattern: '/a' }, { pattern: '/b' }] })
  })
})

describe('what else becomes of a request', () => {
  const route = { to: 'web', access: 'login' }
  const rows: readonly (readonly [part: string, changed: object])[] = [
    ['upstream', { to: 'api' }],
    ['rewrite', { addPrefix: '/v2' }],
    ['limit', { limit: '20/min per user' }],
    ['body', { body: '5MiB' }],
    ['timeout', { timeout: '5m' }],
    ['cors', { cors: { origins: ['https://app.test'] } }],
    ['request headers', { headers: { request: { set: { 'X-Site': 'a' } } } }],
    ['response headers', { headers: { response: { remove: ['X-Powered-By'] } } }],
    ['request headers let through', { allowRequestHeaders: ['Authorization'] }],
    ['response headers let through', { allowResponseHeaders: ['NEL'] }],
    ['encoded slashes', { encodedSlash: 'keep' }],
    ['service workers', { serviceWorker: 'allow' }],
    ['shared caches', { sharedCache: 'allow' }],
    ['proposed', { proposed: 'public' }],
  ]
  for (const [part, changed] of rows) {
    test(`[FR-048] ${part} is a row`, () => {
      expect(rowsOf({ '/a': route }, { '/a': { ...route, ...changed } })).toEqual([`changed ${part} all methods /a`])
    })
  }

  test('[FR-048] an upstream that is told of callers in another way is a row', () => {
    const after = {
      upstreams: { ...BASE.upstreams, web: { url: 'http://127.0.0.1:9000', identity: 'remote', assertion: false } },
    }
    const { rows } = diffPolicies(policy({ '/a': route }), policy({ '/a': route }, after))
    expect(rows.map(({ what }) => what)).toEqual(['assertion', 'identity'])
  })

  test('[FR-048] what a denied route would have done is no change', () => {
    expect(
      rowsOf({ '/a': { to: 'web', access: 'deny' } }, { '/a': { to: 'api', access: 'deny', timeout: '1m' } }),
    ).toEqual([])
    expect(rowsOf({ '/a': { access: 'deny' } }, {})).toEqual([])
  })

  test('[FR-048] a setting speaks for every request, and a secret is not shown', () => {
    const tokens = (secret: string) => ({
      trust: ['10.0.0.0/8'],
      tokens: {
        ci: {
          issuer: 'https://ci.test',
          audience: 'books',
          introspection: { url: 'https://ci.test/introspect', clientId: 'a', clientSecret: secret },
        },
      },
    })
    const env = (name: string) => `\${env:${name}}`
    const of = (name: string) => {
      const read = policyOf({ ...BASE, routes: ask('login') })
      const { tokens: ci, trust } = tokens(env(name))
      return { ...read, config: { ...read.config, trust, tokens: ci as unknown as typeof read.config.tokens } }
    }
    const { rows } = diffPolicies(policy(ask('login')), of('A'))
    expect(rows.map(({ what }) => what).sort()).toEqual(['tokens.ci', 'trust'])
    const secrets = diffPolicies(of('FIRST'), of('SECOND'))
    expect(secrets.rows.map(({ what }) => what)).toEqual(['tokens.ci.introspection.clientSecret'])
    expect(JSON.stringify([rows, secrets])).not.toMatch(/FIRST|SECOND|env:A/)
  })
})

test('[FR-048] parameters may change their names, unless a condition reads them', () => {
  const route = { to: 'web', access: 'login' }
  expect(rowsOf({ '/a/:x': route }, { '/a/:y': route })).toEqual([])
  const own = (name: string) => ({ to: 'web', access: { when: `params.${name} == user.id` } })
  expect(rowsOf({ '/a/:x/:y': own('x') }, { '/a/:y/:x': own('x') })).toEqual(['changed access all methods /a/*/*'])
})

test('[FR-048] a proposal is a change that is not made yet', () => {
  const { rows } = diffProposals(
    policy({ '/a': { to: 'web', access: 'login', proposed: { role: 'a' } }, '/b': { to: 'web', access: 'login' } }),
  )
  expect(rows).toMatchObject([{ change: 'closed', what: 'access', patterns: [{ pattern: '/a' }] }])
})

test('[FR-048] a person reads what was and what is, and where', () => {
  const { rows } = diffPolicies(policy(ask('login')), policy(ask('public')))
  const text = diffText({ rows }, (_style, words) => words)
  expect(text).toContain('opened   /a  all methods: access')
  expect(text).toContain('signed in, to api\n      -> anybody, to api')
  expect(text).toMatch(/gateway\.yaml:\d+/)
})

test('[FR-048] ten thousand routes are compared while somebody waits', () => {
  const routes = (access: string): Routes =>
    Object.fromEntries([
      ['/**', { to: 'web', access: 'login' }],
      ...Array.from({ length: 10_000 }, (_, at) => [
        `/team-${at % 100}/item-${at}/:id`,
        { to: 'api', access: at === 7 ? access : 'login' },
      ]),
    ])
  const [before, after] = [policy(routes('login')), policy(routes('public'))]
  expect(diffPolicies(before, after).rows).toMatchObject([
    { change: 'opened', patterns: [{ pattern: '/team-7/item-7/*' }] },
  ])
}, 60_000)
