/** The canonicalizer: what it refuses, the one thing it changes, and what else a path could be read as. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Refusal } from '../model.ts'
import { type CanonicalTarget, parseTarget, readingsOf } from './target.ts'

const refused = [
  ['', 'target.malformed', 'a target is never empty'],
  ['api', 'target.malformed', 'a path begins with a slash'],
  ['*', 'target.malformed', 'only OPTIONS may ask about the server as a whole'],
  ['/a b', 'target.malformed', 'a blank ends the target for one parser and not for the next'],
  ['/caf\u00e9', 'target.malformed', 'bytes beyond ASCII are escaped on the wire'],
  ['/a?q=\u00e9', 'target.malformed', 'in the query too'],
  ['/a?b c', 'target.malformed', 'a blank in the query splits the request line as well'],
  ['/a\\b', 'target.malformed', 'browsers and Windows read a backslash as a slash'],
  ['/a\u0000', 'target.control', 'NUL ends a string in C'],
  ['/a\r\nX: y', 'target.control', 'a line break would begin another field'],
  ['/a?b\u0009c', 'target.control', 'no control in the query'],
  ['/a\u007f', 'target.control', 'DEL is a control'],
  ['/a%00', 'target.control', 'an escaped NUL is a NUL once decoded'],
  ['/a%0d%0aX:y', 'target.control', 'an escaped line break too'],
  ['/a%1F', 'target.control', 'every escaped control'],
  ['/a%7f', 'target.control', 'an escaped DEL too'],
  ['/a#/admin', 'target.fragment', 'a fragment never belongs on the wire (CVE-2021-32779)'],
  ['/a?b#c', 'target.fragment', 'in the query neither'],
  ['/%', 'target.malformed', 'an escape without digits'],
  ['/%4', 'target.malformed', 'an escape with one digit'],
  ['/%zz', 'target.malformed', 'an escape that is not hexadecimal'],
  ['/%u002e', 'target.malformed', 'an escape only IIS understands'],
  ['/%%34%31', 'target.malformed', 'an escape made of escapes'],
  ['/..', 'target.dot-segment', 'a dot segment shows a backend another path'],
  ['/.', 'target.dot-segment', 'the empty step too'],
  ['/a/../b', 'target.dot-segment', 'in the middle'],
  ['/a/./b', 'target.dot-segment', 'in the middle'],
  ['/a/..', 'target.dot-segment', 'at the end'],
  ['/a/..?x', 'target.dot-segment', 'before a query'],
  ['/a/%2e%2e/b', 'target.dot-segment', 'a dot is unreserved, so an escaped dot is a dot (RFC 3986 §6.2.2.2)'],
  ['/a/.%2E/b', 'target.dot-segment', 'half escaped'],
  ['/%2e', 'target.dot-segment', 'one escaped dot'],
  ['/a%2fb', 'target.encoded-separator', 'some servers decode before they split'],
  ['/a%2Fb', 'target.encoded-separator', 'in either case of its digits (CVE-2026-42272)'],
  ['/a%5cb', 'target.encoded-separator', 'a backslash is a slash to some'],
  ['/a%5C..%5Cb', 'target.encoded-separator', 'and climbs as one'],
  ['/..%2fapi/admin', 'target.encoded-separator', 'the one that was exploited (CVE-2026-34908)'],
  ['/%c0%af', 'target.malformed', 'an overlong slash (RFC 3629 §10)'],
  ['/%C0%AE%c0%ae/x', 'target.malformed', 'overlong dots'],
  ['/%e0%80%af', 'target.malformed', 'overlong in three bytes'],
  ['/%F0%80%80%AF', 'target.malformed', 'overlong in four'],
] as const

for (const [text, reason, because] of refused) {
  test(`[FR-003] ${JSON.stringify(text)} is refused as ${reason}: ${because}`, () => {
    const result = parseTarget(text)
    expect(result).toBeInstanceOf(Refusal)
    expect((result as Refusal).reason).toBe(reason)
  })
}

const kept = [
  ['/', '/', ''],
  ['/api/books?page=2', '/api/books', '?page=2'],
  ['/a?', '/a', '?'],
  ['/?x=../..%2f\\&y=%zz', '/', '?x=../..%2f\\&y=%zz'],
  ['/%61pi/%7Eada/%2D%5F', '/api/~ada/-_', ''],
  ['/caf%c3%a9/%20/%3b%40%25', '/caf%c3%a9/%20/%3b%40%25', ''],
  ["/a-._~!$&'()*+,;=:@[]|^{}<>", "/a-._~!$&'()*+,;=:@[]|^{}<>", ''],
  ['/a/...b/..c/d..e', '/a/...b/..c/d..e', ''],
  ['//x//y', '//x//y', ''],
  ['/a%2541', '/a%2541', ''],
] as const

for (const [text, path, query] of kept) {
  test(`[FR-003] ${text} is forwarded as ${path}${query}: unreserved escapes are decoded and nothing else is changed`, () => {
    expect(parseTarget(text)).toMatchObject({ path, query })
  })
}

const piece = fc.constantFrom(
  '/',
  '.',
  '..',
  '%2e',
  '%2f',
  '%25',
  '%41',
  '%7e',
  '%',
  ';',
  'a',
  'A',
  '//',
  '%20',
  '?',
  '%3F',
  '%c3%a9',
  '#',
  '\\',
)
const targets = fc.array(piece, { maxLength: 14 }).map((pieces) => `/${pieces.join('')}`)

test('[FR-003] what the canonicalizer yields it yields again', () => {
  fc.assert(
    fc.property(targets, (text) => {
      const once = parseTarget(text)
      if (once instanceof Refusal) return
      expect(parseTarget(once.path + once.query)).toEqual(once)
    }),
    { numRuns: 3000 },
  )
})

test('[FR-003] no text whatever makes the canonicalizer throw or yield a dot segment, a separator in disguise or a control', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        targets,
        fc.string({ unit: 'binary' }).map((text) => `/${text}`),
      ),
      (text) => {
        const target = parseTarget(text)
        if (target instanceof Refusal) return
        expect(target.path).toMatch(/^\/[\x21-\x7e]*$/)
        expect(target.path).not.toMatch(/\\|#|\?|%(?:2f|5c|2e|[01].|7f)/i)
        expect(target.path.split('/')).not.toContain('..')
        expect(target.path.split('/')).not.toContain('.')
      },
    ),
    { numRuns: 3000 },
  )
})

const unambiguous = [
  '/',
  `/${'%E4%BD%A0'.repeat(300)}`,
  '/api/books',
  '/a.b/c..d/.e',
  '/caf%C3%A9',
  '/a%40b',
  '/a%20b',
  '/100%',
  '/%2C',
  '/x~y_z-1',
]
for (const path of unambiguous) {
  test(`[FR-003] ${path} has one reading`, () => expect(readingsOf(path)).toEqual([]))
}

const ambiguous = [
  ['/API/x', ['/api/x']],
  ['/a/', ['/a']],
  ['//a', ['/a']],
  ['/a//b', ['/a/b']],
  ['/a;v=1/b', ['/a/b']],
  ['/a%3Bv=1/b', ['/a/b']],
  ['/a./b', ['/a/b']],
  ['/a%20/b', ['/a/b']],
  ['/a%20.%20/b', ['/a/b']],
  ['/%2561', ['/a']],
  ['/%252561', ['/%2561', '/a']],
  ['/a%2520b', ['/a%20b']],
  ['/100%25', []],
  ['/a%3Fb', ['/a']],
  ['/a%3fb', ['/a']],
  ['/a%23b', ['/a']],
  ['/A/', ['/A', '/a/', '/a']],
  ['/API;x//Auth./', ['/API//Auth./', '/API/Auth', '/api/auth', '/api;x/auth']],
] as const
for (const [path, others] of ambiguous) {
  test(`[FR-003] ${path} could be read as ${others.join(' ') || 'nothing else'}`, () => {
    expect(readingsOf(path)).toEqual(expect.arrayContaining([...others]))
    expect(readingsOf(path).length > 0).toBe(others.length > 0)
  })
}

const nowhere = [
  '/a/..;/b',
  '/a/..;x=1/b',
  '/a/.;/b',
  '/%252e%252e/b',
  '/a%252fb',
  '/a%255cb',
  '/a/.../b',
  '/a/..%20/b',
  '/a/%20',
  '/%25u002f',
  '/%2500',
  '/a/%2525252f',
]
for (const path of nowhere) {
  test(`[FR-003] ${path} has a reading that no route can meet`, () => expect(readingsOf(path)).toEqual(['']))
}

test('[FR-003] readings hold every reading of a reading', () => {
  fc.assert(
    fc.property(targets, (text) => {
      const target = parseTarget(text)
      if (target instanceof Refusal || target.readings.includes('')) return
      expect(target.readings).not.toContain(target.path)
      const known = new Set([target.path, ...target.readings])
      for (const reading of target.readings) {
        const again = parseTarget(reading) as CanonicalTarget
        expect(again.path).toBe(reading)
        for (const other of again.readings) expect(known).toContain(other)
      }
    }),
    { numRuns: 2000 },
  )
})

test('[FR-003] a path with more readings than anyone needs is read as nothing at all', () => {
  expect(readingsOf(`/A;x/%${'25'.repeat(60)}41//b./`)).toEqual([''])
  expect(readingsOf(`/${'a;/'.repeat(2000)}`)).toEqual([''])
})
