/** Patterns and the route table from outside: what is a pattern, what wins, and what clashes. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { aPattern, compiled, conflicts, find, OWN_HOST, table } from '../test/support/routes.ts'
import { parsePattern, shapeOf } from './pattern.ts'

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
      expect({ ...find(table(pattern), path)?.params }).toEqual(params)
      expect(find(table(pattern), path)?.route.id).toBe(pattern)
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
      expect(find(table(pattern), path)).toBeNull()
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
      const error = parsePattern(text, OWN_HOST)
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
      expect(find(table(...patterns), path)?.route.id).toBe(pattern)
      expect(find(table(...patterns.toReversed()), path)?.route.id).toBe(pattern)
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
    ['/*', '/!/**', '/!'],
    ['/*', '/%C3%A9/**', '/%C3%A9'],
  ] as const
  for (const [one, other, meeting] of clashes) {
    test(`[FR-014] ${one} and ${other} clash, and the error prints ${meeting ?? 'their intersection'}`, () => {
      const found = conflicts(one, other)
      expect(found).toHaveLength(1)
      const printed = /\n {2}(\S+): /.exec(found[0]!.cure)?.[1]
      expect(printed).toBe(meeting ?? '/a/b/**')
      expect(conflicts(one, other, printed!)).toEqual([])
      expect(find(table(one, other, printed!), printed!.replace('/**', '').replace('*', 'q'))?.route.id).toBe(printed)
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
    expect(find(routes, '/t7/anything/r107/deep')?.route.id).toBe('/t7/:x/r107/**')
    expect(find(routes, '/t7/anything/r108')?.route.id).toBe('/**')
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
          const found = find(routes, path)?.route.id ?? null
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
