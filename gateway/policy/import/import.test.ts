/** Imports of other gateways' rules: never wider than the source, and what cannot be said is denied and listed. */

import { describe, expect, test } from 'vitest'
import { carried } from '../../test/support/policy-text.ts'
import { importAuthelia } from './authelia.ts'
import { importOathkeeper } from './oathkeeper.ts'
import { importOauth2Proxy } from './oauth2-proxy.ts'
import { stricter } from './overlaps.ts'
import type { ImportTarget } from './policy.ts'
import { patternsOf } from './regex.ts'

const HERE: ImportTarget = { origin: 'http://books.test', upstream: 'http://127.0.0.1:9000' }

describe('regular expressions', () => {
  const rows: readonly (readonly [regex: string, anchoring: 'start' | 'whole', patterns: readonly string[] | null])[] =
    [
      ['^/health$', 'start', ['/health']],
      ['^/a/.*', 'start', ['/a/*/**']],
      ['^/a/', 'start', ['/a/*/**']],
      ['^/', 'start', ['/**']],
      ['^/a\\.txt$', 'start', ['/a.txt']],
      ['^/(a|b)$', 'start', ['/a', '/b']],
      ['^/a/[^/]+/b$', 'start', ['/a/*/b']],
      ['^/api([/?].*)?$', 'start', ['/api/**']],
      ['/a/.*', 'whole', ['/a/*/**']],
      ['/a', 'whole', ['/a']],
      ['^/public', 'start', null],
      ['/public/', 'start', null],
      ['^/a.txt$', 'start', null],
      ['^/a/\\d+$', 'start', null],
      ['^/api([/?].*)?', 'start', null],
      ['^/(a|b', 'start', null],
      ['(?i)^/a$', 'start', null],
      ['^/a(/b)?$', 'start', null],
      ['^/a/.*/b$', 'start', null],
    ]
  for (const [regex, anchoring, patterns] of rows) {
    test(`[FR-049] ${regex} is ${patterns === null ? 'not said by patterns' : patterns.join(' ')}`, () => {
      expect(patternsOf(regex, anchoring)?.map(({ exact }) => exact) ?? null).toEqual(patterns)
    })
  }
})

describe('oauth2-proxy', () => {
  const of = (text: string) => carried(importOauth2Proxy(text, { origin: 'http://books.test', upstream: null }))

  test('[FR-049] upstreams, open routes and who may come in', async () => {
    const { routes, losses } = await of(`
upstreams = ["http://127.0.0.1:8000/", "http://127.0.0.1:8001/api/"] # two
email_domains = [ "*" ]
skip_auth_routes = [
  "GET=^/health$",
  "^/static/.*",
  "^/open",
  "POST!=^/x$",
]
client_secret = "very-secret"
cookie_secret = 'more-secret'
pass_access_token = true
`)
    expect(routes).toEqual({
      '/**': { with: ['session'] },
      '/api/**': { with: ['session'] },
      '/health': { read: { with: ['session'] }, write: { with: ['session'] }, GET: 'public' },
      '/static/*/**': 'public',
    })
    expect(losses.join('\n')).toMatch(/\^\/open: it cannot be said[\s\S]*POST!=[\s\S]*pass_access_token/)
    expect(losses.join('\n')).not.toContain('secret')
  })

  const shut: readonly (readonly [string, string])[] = [
    ['authenticated_emails_file = "/etc/emails"\nemail_domains = ["*"]', 'said elsewhere'],
    ['github_org = "acme"\nemail_domains = "*"', 'said elsewhere'],
    ['', 'none is named'],
  ]
  for (const [text, because] of shut) {
    test(`[FR-049] everything is denied where ${because}: ${JSON.stringify(text)}`, async () => {
      const { routes, losses } = await of(text)
      expect(routes).toEqual({ '/**': 'deny' })
      expect(losses.join()).toContain(because)
    })
  }

  test('[FR-049] flags, domains and bearer tokens', async () => {
    const { routes, config } = await of(`
--upstream=http://127.0.0.1:8000
--email-domain=example.com
--skip-jwt-bearer-tokens=true
--oidc-issuer-url=https://id.test
--client-id=books
--allowed-group=staff
`)
    expect(routes['/**']).toEqual({
      with: ['session', 'token'],
      when: 'user.email.endsWith("@example.com")',
      group: ['staff'],
    })
    expect(config.tokens).toMatchObject({ issuer1: { issuer: 'https://id.test', audience: ['books'] } })
  })
})

describe('Oathkeeper', () => {
  const rule = (url: string, more: object = {}) => ({
    id: url,
    match: { url, methods: ['GET'] },
    authenticators: [{ handler: 'jwt' }],
    authorizer: { handler: 'allow' },
    upstream: { url: 'http://127.0.0.1:8000' },
    ...more,
  })
  const of = (...rules: readonly object[]) =>
    carried(importOathkeeper(rules, { origin: 'http://books.test', upstream: null }))

  test('[FR-049] rules are lines', async () => {
    const { routes } = await of(
      rule('http://books.test/a/<.*>'),
      rule('<https|http>://books.test/b', {
        authenticators: [{ handler: 'cookie_session' }, { handler: 'anonymous' }],
      }),
      rule('http://books.test/c', { authenticators: [{ handler: 'noop' }] }),
      rule('http://books.test/d', { authenticators: [{ handler: 'jwt', config: { required_scope: ['x', 'y'] } }] }),
      rule('http://api.test/e', { authorizer: { handler: 'deny' } }),
    )
    expect(routes).toEqual({
      '/a/*/**': { GET: { with: ['token'] } },
      '/b': { GET: 'optional' },
      '/c': { GET: 'public' },
      '/d': { GET: { with: ['token'], scope: ['x'], any: [{ scope: ['y'] }] } },
      'api.test/e': 'deny',
    })
  })

  const denied: readonly (readonly [string, object])[] = [
    ['keto', { authorizer: { handler: 'keto_engine_acp_ory' } }],
    ['remote', { authorizer: { handler: 'remote_json' } }],
    ['unauthorized', { authenticators: [{ handler: 'unauthorized' }, { handler: 'noop' }] }],
    ['bearer_token', { authenticators: [{ handler: 'bearer_token' }] }],
    ['no authorizer', { authorizer: undefined }],
  ]
  for (const [name, more] of denied) {
    test(`[FR-049] ${name} lets nobody in`, async () => {
      expect((await of(rule('http://books.test/a', more))).routes).toEqual({ '/a': 'deny' })
    })
  }

  test('[FR-049] what cannot be said is left out, and what two rules match is denied as it is there', async () => {
    const { routes, losses } = await of(
      rule('http://books.test/<[0-9]+>', { authenticators: [{ handler: 'noop' }] }),
      rule('http://books.test/<.*>', { authenticators: [{ handler: 'noop' }] }),
      rule('http://books.test/admin/<.*>'),
    )
    expect(routes).toEqual({ '/**': { GET: 'public' }, '/admin/*/**': 'deny', '/admin/**': 'deny' })
    expect(losses.join()).toContain('cannot be said exactly')
  })
})

describe('Authelia', () => {
  const of = (default_policy: string, ...rules: readonly object[]) =>
    carried(importAuthelia({ access_control: { default_policy, rules } }, HERE))

  test('[FR-049] the first rule that matches decides there, and each line says so here', async () => {
    const { routes } = await of(
      'deny',
      { domain: 'books.test', policy: 'bypass', resources: ['^/api([/?].*)?$'] },
      { domain: 'books.test', policy: 'deny', resources: ['^/api/admin([/?].*)?$'] },
      { domain: 'books.test', policy: 'two_factor', resources: ['^/admin/.*$'] },
      { domain: ['books.test', 'app.test'], policy: 'one_factor' },
    )
    expect(routes).toEqual({
      '/api/**': 'public',
      '/api/admin/**': 'public', // the first rule matches it too, and is the first
      '/admin/*/**': { mfa: true },
      '/admin/**': { mfa: true }, // `/admin/` is the rule's, `/admin` is not, and they are one line
      '/**': 'login',
      'app.test/**': 'login',
    })
  })

  test('[FR-049] groups, methods and networks', async () => {
    const { routes } = await of(
      'deny',
      { domain: 'a.test', policy: 'one_factor', subject: ['group:x', ['group:y']] },
      { domain: 'b.test', policy: 'one_factor', methods: ['GET'] },
      { domain: 'c.test', policy: 'bypass', networks: ['10.0.0.0/8'] },
    )
    expect(routes['a.test/**']).toEqual({ DELETE: { group: ['x', 'y'] }, ...allOf({ group: ['x', 'y'] }) })
    expect(routes['b.test/**']).toMatchObject({ GET: 'login', POST: 'deny' })
    expect(routes['c.test/**']).toMatchObject({ GET: { ip: ['10.0.0.0/8'] } })
  })
  const allOf = (access: object) =>
    Object.fromEntries(
      ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'WEBSOCKET'].map((method) => [method, access]),
    )

  const strict: readonly (readonly [because: string, rules: readonly object[], access: unknown])[] = [
    [
      'a resource nobody can say is denied everywhere',
      [{ policy: 'deny', resources: ['^/a\\d$'] }, { policy: 'bypass' }],
      'deny',
    ],
    [
      'a subject nobody can say keeps out whom it keeps out',
      [{ policy: 'two_factor', subject: 'user:al' }, { policy: 'one_factor' }],
      { mfa: true },
    ],
    [
      'a stricter rule for some, before a laxer one',
      [{ policy: 'two_factor', subject: 'group:x' }, { policy: 'one_factor' }],
      'deny',
    ],
    [
      'a denial for some, before others come in',
      [
        { policy: 'deny', subject: 'group:x' },
        { policy: 'one_factor', subject: 'group:y' },
      ],
      'deny',
    ],
    [
      'a query nobody sees opens nothing',
      [{ policy: 'bypass', query: [[{ key: 'a' }]] }, { policy: 'one_factor' }],
      'login',
    ],
    ['an odd domain may be this one', [{ domain: '{user}.test', policy: 'deny' }, { policy: 'bypass' }], 'deny'],
    [
      'an expression over domains may be this one',
      [{ domain_regex: '.*', policy: 'deny' }, { policy: 'bypass' }],
      'deny',
    ],
  ]
  for (const [because, rules, access] of strict) {
    test(`[FR-049] ${because}`, async () => {
      const named = rules.map((rule) =>
        'domain' in rule || 'domain_regex' in rule ? rule : { domain: 'books.test', ...rule },
      )
      expect((await of('deny', ...named)).routes['/**']).toEqual(access)
    })
  }

  test('[FR-049] a wildcard there is of any depth', async () => {
    const { routes } = await of(
      'bypass',
      { domain: '*.test', policy: 'deny' },
      { domain: 'x.y.test', policy: 'bypass' },
    )
    expect(routes['x.y.test/**']).toBe('deny')
  })
})

test('[FR-049] of two accesses the stricter is one that asks both', () => {
  expect(stricter('public', { role: 'a' })).toEqual({ role: 'a' })
  expect(stricter({ with: ['key', 'token'] }, 'login')).toEqual({ with: ['token'] })
  expect(stricter({ with: 'key' }, 'login')).toBe('deny')
  expect(stricter({ role: 'a' }, { scope: 'b' })).toEqual({
    role: 'a',
    any: [{ with: ['session', 'token'], scope: 'b' }],
  })
  expect(stricter({ any: [{ role: 'a' }] }, { any: [{ role: 'b' }] })).toBe('deny')
})
