/** Patterns with a host in front: what is a host, which authority meets which pattern, and what is the origin's own. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normalizeAuthority } from '../http/authority.ts'
import { aHead, aPattern, compiled, conflicts, find, OWN_HOST, outcome, table } from '../test/support/routes.ts'
import { parsePattern, shapeOf } from './pattern.ts'

describe('hosts in patterns', () => {
  const read = [
    ['/a', null],
    ['api.books.test/a', 'api.books.test'],
    ['*.books.test/a', '*.books.test'],
    ['api.books.test:8080/**', 'api.books.test:8080'],
    ['api.books.test:80/a', 'api.books.test'],
    ['books.test/a', null],
    ['localhost/a', 'localhost'],
    ['127.0.0.1:9000/a', '127.0.0.1:9000'],
    ['[::1]:9000/a', '[::1]:9000'],
    ['xn--bcher-kva.test/a', 'xn--bcher-kva.test'],
  ] as const
  for (const [text, host] of read) {
    test(`[FR-041] ${text} is of ${host ?? 'the origin'}`, () => expect(aPattern(text).host).toBe(host))
  }

  test('[FR-041] a host without a port has the origin’s, and a port the scheme implies is none', () => {
    const own = { scheme: 'https', authority: 'books.test:8443' } as const
    expect(parsePattern('api.books.test/a', own)).toMatchObject({ host: 'api.books.test:8443' })
    expect(parsePattern('api.books.test:443/a', own)).toMatchObject({ host: 'api.books.test' })
    expect(parsePattern('*.books.test/a', own)).toMatchObject({ host: '*.books.test:8443' })
    expect(parsePattern('books.test/a', own)).toMatchObject({ host: null })
  })

  const refused = [
    ['API.books.test/a', '`api.books.test`'],
    ['bücher.test/a', '`xn--bcher-kva.test`'],
    ['api.books.test./a', '`api.books.test`'],
    ['https://api.books.test/a', '`api.books.test`'],
    ['api.*.test/a', '`"*.example.com"`'],
    ['**.books.test/a', '`"*.example.com"`'],
    ['*api.books.test/a', '`"*.example.com"`'],
    ['*.127.0.0.1/a', '`/*.127.0.0.1`'],
    ['v1.0/a', '`/v1.0`'],
    ['a..b/c', '`/a..b`'],
    ['api.books.test:0/a', '`/api.books.test:0`'],
    ['api.books.test:99999/a', '`/api.books.test:99999`'],
    ['api.books.test', '`api.books.test/**`'],
    ['books', '`/books`'],
    ['api/books', '`/api/books`'],
    ['a_b@c.test/x', '`/a_b@c.test`'],
  ] as const
  for (const [text, cure] of refused) {
    test(`[FR-041] ${text} is refused, and the cure names ${cure}`, () => {
      const error = parsePattern(text, OWN_HOST)
      expect(error).toHaveProperty('message')
      expect(error).toHaveProperty('cure', expect.stringContaining(cure))
    })
  }
})

describe('which authority meets which pattern', () => {
  const routes = table(
    '/**',
    '/a',
    'api.test/**',
    'api.test/v1/:id',
    '*.test/**',
    '*.test/a',
    'api.test/a',
    '*.shop.test/x',
  )
  const wins = [
    ['books.test', '/a', '/a'],
    ['books.test', '/b', '/**'],
    ['api.test', '/a', 'api.test/a'],
    ['api.test', '/v1/7', 'api.test/v1/:id'],
    ['other.test', '/a', '*.test/a'],
    ['other.test', '/v1/7', '*.test/**'],
    ['my.shop.test', '/x', '*.shop.test/x'],
  ] as const
  for (const [authority, path, pattern] of wins) {
    test(`[FR-041] ${authority}${path} meets ${pattern}`, () => {
      expect(find(routes, path, authority)?.route.id).toBe(pattern)
      expect(routes.isServed(authority)).toBe(true)
    })
  }

  test('[FR-041] a pattern without a host is of the origin alone', () => {
    const few = table('/**', 'api.test/x')
    expect(find(few, '/y', 'api.test')).toBeNull()
    expect(find(few, '/x', 'books.test')?.route.id).toBe('/**')
  })

  const unserved = [
    ['a.b.test', 'an asterisk is exactly one label'],
    ['test', 'the suffix alone is another host'],
    ['.test', 'an empty label is none'],
    ['other.test:81', 'another port is another host'],
    ['x".test', 'what is no label never gets into a header field'],
    ['x,y.test', 'what is no label never gets into a header field'],
    ['-x.test', 'what is no label never gets into a header field'],
    [`${'x'.repeat(64)}.test`, 'a label has 63 characters at most'],
    ['other.example', 'nobody named it'],
  ] as const
  for (const [authority, because] of unserved) {
    test(`[FR-041] ${authority} is not served: ${because}`, () => {
      expect(routes.isServed(authority)).toBe(false)
      expect(find(routes, '/a', authority)).toBeNull()
    })
  }

  test('[FR-041] our own paths are the origin’s: on another host they are like any other', () => {
    const all = table('/**', 'api.test/**')
    expect(outcome(all, aHead('/api/auth/ok'))).toBe('own')
    expect(outcome(all, aHead('/api/auth/ok', {}, 'api.test'))).toBe('api.test/**')
    expect(outcome(all, aHead('/API/auth/ok'))).toBe('target.ambiguous')
    expect(outcome(all, aHead('/API/auth/ok', {}, 'api.test'))).toBe('api.test/**')
  })
})

describe('overlaps of hosts', () => {
  const clashes = [
    ['*.test/a', '/**', '/a'],
    ['*.test/a/:x', 'api.test/a/**', 'api.test/a/*'],
    ['*.test/a/:x', '*.test/:y/b', '"*.test/a/b"'],
    ['*.test/:x/b', '/a/:y', '/a/b'],
  ] as const
  for (const [one, other, meeting] of clashes) {
    test(`[FR-041] ${one} and ${other} clash, and the error prints ${meeting}`, () => {
      const found = conflicts(one, other)
      expect(found).toHaveLength(1)
      const printed = /\n {2}(\S+): /.exec(found[0]!.cure)?.[1]
      expect(printed).toBe(meeting)
      expect(conflicts(one, other, printed!.replaceAll('"', ''))).toEqual([])
    })
  }

  test('[FR-041] a host that is named twice in two spellings is one host', () => {
    expect(conflicts('/a', 'books.test/a')[0]?.message).toContain('matches the same paths')
    expect(conflicts('api.test/a', 'api.test:80/a')[0]?.message).toContain('matches the same paths')
  })

  const segment = fc.constantFrom('a', 'b', ':x', '*')
  const anyPattern = fc
    .tuple(fc.constantFrom('', '', 'api.test', '*.test'), fc.array(segment, { maxLength: 3 }), fc.boolean())
    .map(([host, segments, isTail]) => {
      const path = segments.map((text, at) => `/${text === ':x' ? `:x${at}` : text}`).join('')
      return `${host}${path === '' && !isTail ? '/' : path}${isTail ? '/**' : ''}`
    })
  const anyRequest = fc.tuple(
    fc.constantFrom('books.test', 'api.test', 'other.test', 'a.b.test'),
    fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 4 }).map((parts) => `/${parts.join('/')}`),
  )
  const keyOf = (text: string) => `${aPattern(text).host}${shapeOf(aPattern(text))}`

  test('[FR-041] what is found is the one match within all others, and no order of the file changes it', () => {
    let compared = 0
    fc.assert(
      fc.property(
        fc.uniqueArray(anyPattern, { maxLength: 7, selector: keyOf }),
        fc.array(anyRequest, { minLength: 4, maxLength: 8 }),
        fc.infiniteStream(fc.nat()),
        (texts, requests, weights) => {
          const routes = compiled(...texts)
          const shuffled = texts.toSorted(() => (weights.next().value % 2) * 2 - 1)
          const again = compiled(...shuffled)
          expect('conflicts' in again).toBe('conflicts' in routes)
          if ('conflicts' in routes || 'conflicts' in again) return
          for (const [authority, path] of requests) {
            const matching = texts.filter((text) => matches(text, authority, path))
            const found = find(routes, path, authority)?.route.id ?? null
            expect(found === null).toBe(matching.length === 0)
            for (const other of matching) expect(isWithin(found!, other)).toBe(true)
            expect(find(again, path, authority)?.route.id ?? null).toBe(found)
            if (matching.length > 1) compared += 1
          }
        },
      ),
      { numRuns: 3000 },
    )
    expect(compared).toBeGreaterThan(300)
  })

  test('[FR-041] two patterns clash exactly where both match and neither is within the other', () => {
    fc.assert(
      fc.property(anyPattern, anyPattern, (one, other) => {
        fc.pre(keyOf(one) !== keyOf(other))
        const samples = samplesOf(one).concat(samplesOf(other))
        const isMet = samples.some(([host, path]) => matches(one, host, path) && matches(other, host, path))
        const isNested = isWithin(one, other) || isWithin(other, one)
        if (isMet && !isNested) expect(conflicts(one, other)).toHaveLength(1)
        if (isNested) expect(conflicts(one, other)).toEqual([])
      }),
      { numRuns: 3000 },
    )
  })

  /** The definition, written as a regular expression: slow and obviously right. */
  function matches(text: string, authority: string, path: string): boolean {
    const slash = text.indexOf('/')
    const host = slash === 0 ? OWN_HOST.authority : text.slice(0, slash)
    const isHost = new RegExp(`^${host.replaceAll('.', '\\.').replace('*', '[a-z]+')}$`)
    const body = text
      .slice(slash)
      .replace(/\/\*\*$/, '(?:/.*)?')
      .replace(/:\w+|(?<=\/)\*(?=\/|$|\()/g, '[^/]+')
    return isHost.test(normalizeAuthority(authority, 'http')) && new RegExp(`^${body}$`).test(path)
  }

  function samplesOf(text: string): [string, string][] {
    const slash = text.indexOf('/')
    const hosts = text.startsWith('*') ? ['books.test', 'api.test', 'zzz.test'] : [text.slice(0, slash) || 'books.test']
    const fills = ['a', 'b', 'z']
    const paths = fills.flatMap((first) =>
      fills.flatMap((second) => {
        let at = 0
        const path = text
          .slice(slash)
          .replace(/\/\*\*$/, '')
          .replace(/:\w+|\*/g, () => (at++ === 0 ? first : second))
        if (!text.endsWith('/**')) return [path]
        return [path || '/', `${path}/q`, `${path}/a`, `${path}/b`, `${path}/a/b`, `${path}/b/a`, `${path}/q/r/s`]
      }),
    )
    return hosts.flatMap((host) => paths.map((path): [string, string] => [host, path]))
  }

  function isWithin(narrow: string, wide: string): boolean {
    return samplesOf(narrow).every(([host, path]) => matches(wide, host, path))
  }
})

test('[FR-041] ten thousand hosts are as quick to tell apart as ten', () => {
  const routes = table('/**', '*.tenant.test/**', ...Array.from({ length: 10_000 }, (_, at) => `t${at}.tenant.test/**`))
  expect(find(routes, '/x', 't9999.tenant.test')?.route.id).toBe('t9999.tenant.test/**')
  expect(find(routes, '/x', 'u.tenant.test')?.route.id).toBe('*.tenant.test/**')
})
