/** The route table from outside: what wins, what clashes, and which odd spellings are let through. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseTarget } from '../http/target.ts'
import { type Access, Refusal, type RequestHead, type Route, type Upstream } from '../model.ts'
import type { RouteTable } from '../snapshot.ts'
import { compileRoutes, type RouteConflict } from './compile.ts'
import { matchRoute, OWN } from './match.ts'
import { type Pattern, parsePattern, shapeOf } from './pattern.ts'

const LOGIN: Access = { kind: 'login' }

function aPattern(text: string): Pattern {
  const pattern = parsePattern(text)
  if ('message' in pattern) throw new Error(`${text}: ${pattern.message}`)
  return pattern
}

function aRoute(text: string, more: Partial<Route> = {}): Route {
  return {
    id: text,
    place: 'gateway.yaml:1',
    access: new Map([['*', LOGIN]]),
    upstream: null,
    bodyBytesMax: 1,
    timeoutMs: 1,
    allowRequestHeaders: new Set(),
    allowResponseHeaders: new Set(),
    isServiceWorkerAllowed: false,
    isSharedCacheAllowed: false,
    ...more,
  }
}

const EXACT: Upstream = {
  id: 'exact',
  origin: 'http://127.0.0.1:1',
  identity: { preset: 'none', fields: [], groupSeparator: ',' },
  isAsserted: false,
  isPathExact: true,
  host: 'public',
}

function compiled(...texts: readonly string[]) {
  return compileRoutes(texts.map((text) => ({ pattern: aPattern(text), route: aRoute(text) })))
}

function table(...texts: readonly string[]): RouteTable {
  const routes = compiled(...texts)
  if ('conflicts' in routes) throw new Error(routes.conflicts[0]!.message)
  return routes
}

function conflicts(...texts: readonly string[]): readonly RouteConflict[] {
  const routes = compiled(...texts)
  return 'conflicts' in routes ? routes.conflicts : []
}

function aHead(text: string, more: Partial<RequestHead> = {}): RequestHead {
  const target = parseTarget(text)
  if (target instanceof Refusal) throw new Error(`${text}: ${target.reason}`)
  return {
    requestId: 'r',
    receivedAtMs: 0,
    method: 'GET',
    target: { scheme: 'http', authority: 'localhost', ...target },
    httpVersion: '1.1',
    headers: [],
    names: [],
    droppedHeaders: 0,
    clientAddress: '127.0.0.1',
    isPeerTrusted: false,
    isUpgrade: false,
    isNavigation: false,
    bodyBytes: 0,
    authorization: null,
    sessionCookie: null,
    apiKey: null,
    origin: null,
    fetchSite: null,
    ...more,
  }
}

function outcome(routes: RouteTable, head: RequestHead): string {
  const match = matchRoute(routes, head)
  if (match === OWN) return 'own'
  return match instanceof Refusal ? match.reason : match.route.id
}

describe('patterns', () => {
  const met = [
    ['/a', '/a', {}],
    ['/:x', '/a', { x: 'a' }],
    ['/a/*/c', '/a/b/c', {}],
    ['/a/**', '/a', {}],
    ['/a/**', '/a/b/c', {}],
    ['/**', '/', {}],
    ['/', '/', {}],
    ['/u/:user/**', '/u/me/x/y', { user: 'me' }],
    ['/u/:user', '/u/a%40b', { user: 'a@b' }],
    ['/@me', '/%40me', {}],
    ['/caf%C3%A9', '/caf%c3%a9', {}],
  ] as const
  for (const [pattern, path, params] of met) {
    test(`[FR-013] ${pattern} matches ${path}`, () => {
      expect({ ...table(pattern).find(path)?.params }).toEqual(params)
      expect(table(pattern).find(path)?.route.id).toBe(pattern)
    })
  }

  const missed = [
    ['/a', '/a/', 'a trailing slash is another path'],
    ['/a', '/ab', 'a literal is a whole segment'],
    ['/:x', '/', 'a parameter is never empty'],
    ['/a/:x', '/a/', 'a parameter is never empty'],
    ['/a/**', '/ab', 'the prefix ends at a slash'],
    ['/a/*', '/a/b/c', 'an asterisk is one segment'],
    ['/%252a', '/*', 'an escape is decoded once'],
  ] as const
  for (const [pattern, path, because] of missed) {
    test(`[FR-013] ${pattern} does not match ${path}: ${because}`, () => {
      expect(table(pattern).find(path)).toBeNull()
    })
  }

  const refused = [
    'a',
    '/a*',
    '/a/**/b',
    '/:',
    '/:1',
    '/:a/:a',
    '/{id}',
    '/%7E',
    '/a?b',
    '/a#b',
    '/a/../b',
    '/a b',
    '/é',
    '/:__proto__',
  ]
  for (const text of refused) {
    test(`[FR-014] ${text} is not a pattern, and the error has a cure`, () => {
      const error = parsePattern(text)
      expect(error).toHaveProperty('message')
      expect(error).toHaveProperty('cure', expect.stringMatching(/./))
    })
  }

  for (const text of ['/a//b', '/a/', '/a;b', '/a.', '/a%25b', '/a%20']) {
    test(`[FR-013] ${text} is peculiar: a lenient server reads another path`, () => {
      expect(aPattern(text).isPeculiar).toBe(true)
    })
  }

  test('[FR-013] upper case alone is not peculiar', () => {
    expect(aPattern('/Docs/:Id/**').isPeculiar).toBe(false)
  })
})

describe('specificity', () => {
  const patterns = [
    '/**',
    '/api/**',
    '/api/*',
    '/api/books',
    '/api/:x/**',
    '/api/books/:id',
    '/api/books/new',
    '/:x/books',
  ]
  const wins = [
    ['/', '/**'],
    ['/api', '/api/**'],
    ['/api/x', '/api/*'],
    ['/api/books', '/api/books'],
    ['/api/books/1', '/api/books/:id'],
    ['/api/books/new', '/api/books/new'],
    ['/api/books/1/2', '/api/:x/**'],
    ['/v1/books', '/:x/books'],
    ['/v1/books/2', '/**'],
  ] as const
  for (const [path, pattern] of wins) {
    test(`[FR-013] ${path} meets ${pattern}, whatever the order of the file`, () => {
      expect(table(...patterns).find(path)?.route.id).toBe(pattern)
      expect(table(...patterns.toReversed()).find(path)?.route.id).toBe(pattern)
    })
  }

  const clashes = [
    ['/a/:x/c', '/a/b/:y', '/a/b/c'],
    ['/:x', '/a/**', '/a'],
    ['/:x/b/**', '/a/:y', '/a/b'],
    ['/:x/b/**', '/a/:y/**', null],
    ['/a/:x/:y', '/:z/b/**', '/a/b/*'],
    ['/:x/%40', '/a/:y', '/a/@'],
    ['/a/*/%2A', '/*/b/:y', '/a/b/%2A'],
  ] as const
  for (const [one, other, meeting] of clashes) {
    test(`[FR-014] ${one} and ${other} clash, and the error prints ${meeting ?? 'their intersection'}`, () => {
      const found = conflicts(one, other)
      expect(found).toHaveLength(1)
      const printed = /\n {2}(\S+): /.exec(found[0]!.cure)?.[1]
      expect(printed).toBe(meeting ?? '/a/b/**')
      expect(conflicts(one, other, printed!)).toEqual([])
      expect(table(one, other, printed!).find(printed!.replace('/**', '').replace('*', 'q'))?.route.id).toBe(printed)
    })
  }

  test('[FR-014] the same paths twice is an error, whatever the names', () => {
    expect(conflicts('/a/:x', '/a/*')[0]?.message).toContain('matches the same paths')
  })

  test('[FR-014] patterns that differ in case only are an error', () => {
    expect(conflicts('/Docs/**', '/docs/**')[0]?.cure).toContain('paths: exact')
  })

  test('[FR-013] ten thousand routes compile without comparing each with each', () => {
    const texts = Array.from({ length: 10_000 }, (_, at) => `/t${at % 100}/:x/r${at}/**`)
    const routes = table('/**', ...texts)
    expect(routes.find('/t7/anything/r107/deep')?.route.id).toBe('/t7/:x/r107/**')
    expect(routes.find('/t7/anything/r108')?.route.id).toBe('/**')
  })

  const segment = fc.constantFrom('a', 'b', ':x', '*')
  const anyPattern = fc
    .tuple(fc.array(segment, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(
      ([segments, isTail]) =>
        `/${segments.map((text, at) => (text === ':x' ? `:x${at}` : text)).join('/')}${isTail ? '/**' : ''}`,
    )
  const anyPath = fc
    .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 })
    .map((parts) => `/${parts.join('/')}`)

  test('[FR-013] what is found is the one match that is within all the others', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(anyPattern, { maxLength: 6, selector: (text) => shapeOf(aPattern(text)) }),
        anyPath,
        (texts, path) => {
          const routes = compiled(...texts)
          fc.pre(!('conflicts' in routes))
          const matching = texts.filter((text) => matches(text, path))
          const found = routes.find(path)?.route.id ?? null
          expect(found === null).toBe(matching.length === 0)
          for (const other of matching) expect(isWithin(found!, other)).toBe(true)
        },
      ),
      { numRuns: 2000 },
    )
  })

  /** The definition, written as a regular expression: slow and obviously right. */
  function matches(text: string, path: string): boolean {
    const body = text.replace(/\/\*\*$/, '(?:/.*)?').replace(/:\w+|(?<=\/)\*(?=\/|$|\()/g, '[^/]+')
    return new RegExp(`^${body}$`).test(path)
  }

  /** Every path of `narrow`, sampled by its own segments, is a path of `wide`. */
  function isWithin(narrow: string, wide: string): boolean {
    const samples = ['a', 'b', 'z'].flatMap((fill) => {
      const path = narrow.replace(/\/\*\*$/, '').replace(/:\w+|\*/g, fill)
      return narrow.endsWith('/**') ? [path, `${path}/q`, `${path}/q/r`] : [path]
    })
    return samples.every((path) => matches(wide, path))
  }
})

describe('matching a request', () => {
  const routes = table('/**', '/api/**', '/api/admin/**', '/api/users/:user/tasks')

  const ambiguous = [
    ['//api/admin', 'slashes may be collapsed'],
    ['/api//admin', 'slashes may be collapsed'],
    ['/API/admin', 'case may be folded'],
    ['/api/admin;a=1/x', 'parameters may be dropped'],
    ['/api/admin./x', 'trailing dots may be trimmed'],
    ['/%2561pi/admin', 'escapes may be decoded twice'],
    ['/api%3B/admin', 'an encoded semicolon may be a parameter'],
    ['/api/%252e%252e/x', 'a reading that leaves the tree meets nothing'],
    ['//api/auth/x', 'a reading is one of our own paths'],
    ['/API/AUTH/x', 'a reading is one of our own paths'],
    ['/_POSTERN/sign-in', 'a reading is one of our own paths'],
    ['/.well-known/jwks.json/', 'a reading is one of our own paths'],
  ] as const
  for (const [path, because] of ambiguous) {
    test(`[FR-003] ${path} is ambiguous: ${because}`, () => {
      expect(outcome(routes, aHead(path))).toBe('target.ambiguous')
    })
  }

  const plain = [
    ['/api/admin/x', '/api/admin/**'],
    ['/api/admin/X', '/api/admin/**'],
    ['/api/admin/a;b', '/api/admin/**'],
    ['/api/admin/', '/api/admin/**'],
    ['/api/users/AbC/tasks', '/api/users/:user/tasks'],
    ['/x//y', '/**'],
    ['/api/auth/ok', 'own'],
    ['/api/auth/ok/', 'own'],
    ['/_postern', 'own'],
    ['/.well-known/jwks.json', 'own'],
    ['/.well-known/jwks.jsonx', '/**'],
  ] as const
  for (const [path, expected] of plain) {
    test(`[FR-002] ${path} meets ${expected}: all its readings agree`, () => {
      expect(outcome(routes, aHead(path))).toBe(expected)
    })
  }

  test('[FR-003] a letter that folds into another in Unicode only does not hide a route', () => {
    expect(outcome(table('/**', '/key/**'), aHead('/%E2%84%AAey/x'))).toBe('target.ambiguous')
  })

  test('[FR-003] a pattern in upper case is not met around by lower case', () => {
    const mixed = table('/**', '/Docs/**')
    expect(outcome(mixed, aHead('/Docs/x'))).toBe('/Docs/**')
    expect(outcome(mixed, aHead('/docs/x'))).toBe('target.ambiguous')
    expect(outcome(mixed, aHead('/other'))).toBe('/**')
  })

  test('[FR-003] an upstream that reads paths literally gets any spelling', () => {
    const exact = compileRoutes([
      { pattern: aPattern('/**'), route: aRoute('/**', { upstream: EXACT }) },
      { pattern: aPattern('/api/**'), route: aRoute('/api/**') },
    ]) as RouteTable
    expect(outcome(exact, aHead('//api/x'))).toBe('/**')
    expect(outcome(exact, aHead('/api//x'))).toBe('/api/**')
  })

  test('[FR-003] where a condition reads parameters, all readings must yield the same ones', () => {
    const access = new Map<string, Access>([
      ['*', { kind: 'require', roles: [], scopes: [], emails: [], with: [], when: () => true }],
    ])
    const route = aRoute('/u/:user/**', { access })
    const conditional = compileRoutes([{ pattern: aPattern(route.id), route }]) as RouteTable
    expect(outcome(conditional, aHead('/u/me/x'))).toBe(route.id)
    expect(outcome(conditional, aHead('/u/Me/x'))).toBe(route.id)
    expect(outcome(conditional, aHead('/u/me;x/x'))).toBe('target.ambiguous')
    expect(outcome(conditional, aHead('/u/me./x'))).toBe('target.ambiguous')
    expect(outcome(conditional, aHead('/u/me%2541/x'))).toBe('target.ambiguous')
    expect(outcome(conditional, aHead('/u//me/x'))).toBe('target.ambiguous')
  })

  test('[FR-015] what nobody listed and what is denied are refused in one way, in odd spellings too', () => {
    const denied = aRoute('/secret/**', { access: new Map<string, Access>([['*', { kind: 'deny' }]]) })
    const few = compileRoutes([{ pattern: aPattern('/secret/**'), route: denied }]) as RouteTable
    expect(outcome(few, aHead('/secret/x'))).toBe('route.denied')
    expect(outcome(few, aHead('/SECRET/x'))).toBe('route.unlisted')
    expect(outcome(few, aHead('/other'))).toBe('route.unlisted')
  })

  test('[FR-015] access is by method: a name wins, then write, then the rest; an upgrade is a write', () => {
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((role): Access => {
      return { kind: 'require', roles: [role], scopes: [], emails: [], with: [], when: null }
    }) as [Access, Access, Access, Access]
    const access = new Map([
      ['GET', a],
      ['DELETE', b],
      ['write', c],
      ['websocket', d],
    ])
    const routes = compileRoutes([{ pattern: aPattern('/x'), route: aRoute('/x', { access }) }]) as RouteTable
    const accessOf = (method: string, isUpgrade = false) => {
      const match = matchRoute(routes, aHead('/x', { method, isUpgrade }))
      return match instanceof Refusal || match === OWN ? match : match.access
    }
    expect(accessOf('GET')).toBe(a)
    expect(accessOf('HEAD')).toBeNull()
    expect(accessOf('DELETE')).toBe(b)
    expect(accessOf('PROPFIND')).toBe(c)
    expect(accessOf('GET', true)).toBe(d)
  })

  test('[FR-003] no path a stranger sends makes matching throw', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('/', 'a', 'A', '%25', '%41', ';', '.', '%C3', '%c3%a9', 'api', 'admin', '%3B')),
        (parts) => {
          const target = parseTarget(`/${parts.join('')}`)
          fc.pre(!(target instanceof Refusal))
          const match = matchRoute(routes, aHead(target.path))
          expect(match).toBeDefined()
        },
      ),
    )
  })
})
