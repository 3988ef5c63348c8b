/** The small grammars: names, lists, cookies, authorities and what a client prefers. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { prefersHtml } from './accept.ts'
import { normalizeAuthority } from './authority.ts'
import { cookieValues, ownCookies, withoutOwnCookies } from './cookies.ts'
import { isFieldValue, readName } from './field-line.ts'
import { isReserved, RESERVED_NAMES, RESERVED_PREFIXES } from './field-names.ts'
import { firstValue, listMembers, valuesOf } from './header-list.ts'

test('[FR-004] a name is plain, peculiar or none at all', () => {
  expect(readName('X-Ok-1')).toEqual({ lower: 'x-ok-1', shape: 'plain' })
  for (const name of ['X_A', 'X.A', '__proto__', "a!#$%&'*+^`|~"]) expect(readName(name).shape, name).toBe('peculiar')
  for (const name of ['', 'a b', 'a:', 'Transfer-Encoding ', ' a', 'a\u00e9', 'a\r', 'a"', 'a/b', 'a\0']) {
    expect(readName(name).shape, name).toBe('invalid')
  }
  expect(readName('constructor').lower).toBe('constructor')
})

test('[FR-004] a value holds no control but a tab, and nothing wider than a byte', () => {
  for (const value of ['', 'a b', 'a\tb', 'caf\u00e9', '"x"']) expect(isFieldValue(value), value).toBe(true)
  for (const value of ['a\rb', 'a\nb', 'a\r\n b', 'a\0', '\u007f', '\u0001', '\u0100', '\u{1f511}']) {
    expect(isFieldValue(value), JSON.stringify(value)).toBe(false)
  }
})

test('[FR-005] the names of a convention are reserved in every spelling that some server folds into them', () => {
  const none = new Set<string>()
  for (const name of [...RESERVED_NAMES, ...RESERVED_PREFIXES.map((prefix) => `${prefix}anything`)]) {
    for (const alias of [name, name.replaceAll('-', '_'), name.replaceAll('-', '.'), name.replace('-', '_')]) {
      expect(isReserved(alias, none), alias).toBe(true)
    }
  }
  for (const name of [
    'x-custom',
    'accept',
    'content-type',
    'x-auth-token',
    'userx',
    '__proto__',
    'constructor',
    'x-request-id',
  ]) {
    expect(isReserved(name, none), name).toBe(false)
  }
  expect(isReserved('x_tenant', new Set(['x-tenant']))).toBe(true)
})

test('[FR-004] lists are split at commas outside quotes, and not at all when a quote stays open', () => {
  expect(listMembers('a, b ,,c')).toEqual(['a', 'b', 'c'])
  expect(listMembers('a="x,y", b="\\",", c')).toEqual(['a="x,y"', 'b="\\","', 'c'])
  expect(listMembers('a="x, b')).toBeNull()
  expect(listMembers('a="\\')).toBeNull()
  expect(listMembers('')).toEqual([])
})

test('[FR-004] fields are found by name in any case, all of them and in order', () => {
  const list = ['A', '1', 'b', '2', 'a', '3']
  expect(valuesOf(list, 'a')).toEqual(['1', '3'])
  expect(firstValue(list, 'b')).toBe('2')
  expect(firstValue(list, '1')).toBeNull()
})

test('[FR-009] a cookie is found by its exact name, wherever blanks stand', () => {
  expect(cookieValues('a=1; sid=x.y%3D; b=2', 'sid')).toEqual(['x.y%3D'])
  expect(cookieValues('sid=1;sid=2; sid = "3"', 'sid')).toEqual(['1', '2', '"3"'])
  expect(cookieValues('xsid=1; SID=2; sid; b=sid=3', 'sid')).toEqual([])
})

const own = ownCookies(['__Host-postern.', 'postern.'])
const cookies = [
  ['a=1; postern.session=x; b=2', 'a=1; b=2'],
  ['postern.session=x', null],
  ['a=1', 'a=1'],
  ['a=1;b = "2;  c=3', 'a=1;b = "2;  c=3'],
  ['__Host-postern.session=x; b=2', 'b=2'],
  ['__host-POSTERN.Session=x;b=2', 'b=2'],
  ['__Secure-postern.x=1; =postern.session=x; postern.session; b', 'b'],
  ['a=1; postern.session=x; b="q; postern.data=y; z"', 'a=1; b="q; z"'],
  ['xpostern.session=1; posternXsession=2', 'xpostern.session=1; posternXsession=2'],
] as const
for (const [value, rest] of cookies) {
  test(`[FR-005] of the cookies ${value} the upstream sees ${rest ?? 'none'}`, () => {
    expect(withoutOwnCookies(value, own)).toBe(rest)
  })
}

test('[FR-005] others keep their bytes when ours is taken out from among them', () => {
  const pair = fc.stringMatching(/^[a-o][a-z0-9=" ]{0,8}$/)
  fc.assert(
    fc.property(fc.array(pair, { minLength: 1 }), fc.nat(), (pairs, at) => {
      const with_ = pairs.toSpliced(at % (pairs.length + 1), 0, ' Postern.session=s')
      expect(withoutOwnCookies(with_.join(';'), own)).toBe(pairs.join(';').trim())
    }),
  )
})

test('[FR-005] without prefixes no cookie is ours', () => expect(ownCookies([]).is('a=1')).toBe(false))

test('[FR-004] an authority is lower case, and a port that its scheme implies is not written', () => {
  expect(normalizeAuthority('Books.Example:443', 'https')).toBe('books.example')
  expect(normalizeAuthority('books.example:443', 'http')).toBe('books.example:443')
  expect(normalizeAuthority('[::1]:80', 'http')).toBe('[::1]')
  expect(normalizeAuthority('a:81:80', 'http')).toBe('a:81:80')
})

const accepts = [
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', true, 'a browser'],
  ['*/*', false, 'curl names no type'],
  ['application/json, text/html', true, 'equally wanted'],
  ['application/json, text/html;q=0.9', false, 'a program that can also read HTML'],
  ['application/json;q=0.5, TEXT/HTML', true, 'types have no case'],
  ['text/html;q=0', false, 'not acceptable'],
  ['text/html;q=2', false, 'no weight'],
  ['application/json;profile="text/html"', false, 'a parameter is not a type'],
  ['', false, 'nothing said'],
] as const
for (const [accept, prefers, because] of accepts) {
  test(`[FR-019] Accept: ${accept} ${prefers ? 'prefers' : 'does not prefer'} a page: ${because}`, () => {
    expect(prefersHtml(accept)).toBe(prefers)
  })
}
