/** Which route a request meets, and which odd spellings of a path are let through. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseTarget } from '../http/target.ts'
import { Refusal } from '../model.ts'
import type { Access } from '../rules.ts'
import { aHead, anUpstream, aRoute, outcome, requiring, table } from '../test/support/routes.ts'
import { matchRoute, OWN } from './match.ts'

describe('matching a request', () => {
  const routes = table('/**', '/api/**', '/api/admin/**', '/api/users/:user/tasks')

  const ambiguous = [
    ['//api/admin', 'slashes may be collapsed'],
    ['/api//admin', 'slashes may be collapsed'],
    ['/API/admin', 'case may be folded'],
    ['/api/admin;a=1/x', 'parameters may be dropped'],
    ['/api/admin./x', 'trailing dots may be trimmed'],
    ['/%2561pi/admin', 'escapes may be decoded twice'],
    ['/api/admin%3f/x', 'an encoded question mark may end the path, in either case of its digits'],
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
    // Where capitals are compared: `ſ` has the capital `S`, dotless `ı` has `I`, and `ß` has `SS`.
    for (const path of ['/acce%C5%BFs', '/acce%C3%9F', '/acce%E1%BA%9E']) {
      expect(outcome(table('/**', '/access/**'), aHead(path)), path).toBe('target.ambiguous')
    }
    expect(outcome(table('/**', '/adm%C4%B1n'), aHead('/admin'))).toBe('target.ambiguous')
    expect(outcome(table('/**', '/stra%C3%9Fe/:x'), aHead('/stra%C3%9Fe/%C3%9F'))).toBe('/stra%C3%9Fe/:x')
  })

  test('[FR-003] a pattern in upper case is not met around by lower case', () => {
    const mixed = table('/**', '/Docs/**')
    expect(outcome(mixed, aHead('/Docs/x'))).toBe('/Docs/**')
    expect(outcome(mixed, aHead('/docs/x'))).toBe('target.ambiguous')
    expect(outcome(mixed, aHead('/other'))).toBe('/**')
  })

  test('[FR-003] an upstream that reads paths literally gets any spelling', () => {
    const exact = table(aRoute('/**', { upstream: anUpstream({ isPathExact: true }) }), '/api/**')
    expect(outcome(exact, aHead('//api/x'))).toBe('/**')
    expect(outcome(exact, aHead('/api//x'))).toBe('/api/**')
  })

  test('[FR-003] where a condition reads parameters, all readings must yield the same ones', () => {
    const access = new Map<string, Access>([['*', requiring({ kind: 'when', source: 'true', condition: () => true })]])
    const route = aRoute('/u/:user/**', { access })
    const conditional = table(route)
    expect(outcome(conditional, aHead('/u/me/x'))).toBe(route.id)
    expect(outcome(conditional, aHead('/u/Me/x'))).toBe(route.id)
    expect(outcome(conditional, aHead('/u/me;x/x'))).toBe('target.ambiguous')
    expect(outcome(conditional, aHead('/u/me./x'))).toBe('target.ambiguous')
    expect(outcome(conditional, aHead('/u/me%2541/x'))).toBe('target.ambiguous')
    expect(outcome(conditional, aHead('/u//me/x'))).toBe('target.ambiguous')
  })

  test('[FR-015] what nobody listed and what is denied are refused in one way, in odd spellings too', () => {
    const denied = aRoute('/secret/**', { access: new Map<string, Access>([['*', { kind: 'deny' }]]) })
    const few = table(denied)
    expect(outcome(few, aHead('/secret/x'))).toBe('route.denied')
    expect(outcome(few, aHead('/SECRET/x'))).toBe('route.unlisted')
    expect(outcome(few, aHead('/other'))).toBe('route.unlisted')
  })

  test('[FR-015] access is by method: a name wins, then write, then the rest; an upgrade is a write', () => {
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((role): Access => {
      return requiring({ kind: 'role', anyOf: [role] })
    }) as [Access, Access, Access, Access]
    const access = new Map([
      ['GET', a],
      ['DELETE', b],
      ['write', c],
      ['websocket', d],
    ])
    const routes = table(aRoute('/x', { access }))
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
