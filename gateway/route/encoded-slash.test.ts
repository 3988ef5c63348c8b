/** `encodedSlash: keep`: `%2F` is data of one segment on the routes that say so, and 400 on all others, in every spelling. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileCondition } from '../authorize/when.ts'
import { parseTarget } from '../http/target.ts'
import { Refusal } from '../model.ts'
import type { Access } from '../rules.ts'
import { principalOf } from '../test/support/principal.ts'
import { aHead, anUpstream, aRoute, outcome, requiring, table } from '../test/support/routes.ts'
import { matchRoute } from './match.ts'

const keep = { isEncodedSlashKept: true }
const routes = table(
  '/**',
  aRoute('/projects/:id/**', keep),
  '/projects/:id/admin',
  aRoute('/closed/**', { ...keep, access: new Map<string, Access>([['*', { kind: 'deny' }]]) }),
)

const rows = [
  ['/projects/group%2Fproject', '/projects/:id/**'],
  ['/projects/group%2fproject/files', '/projects/:id/**'],
  ['/projects/group%2Fadmin', '/projects/:id/**', 'it separates nothing'],
  ['/projects%2Fx/admin', 'target.encoded-separator', 'it does not end `projects`'],
  ['/projects/a%2Fb/admin', 'target.encoded-separator', 'this route does not keep it'],
  ['/x%2Fy', 'target.encoded-separator', 'this route does not keep it'],
  ['//projects/a%2Fb', 'target.encoded-separator', 'this spelling meets another route'],
  ['/closed/a%2Fb', 'target.encoded-separator', 'a route that lets nobody in is none'],
  ['/api/auth/a%2Fb', 'target.encoded-separator', 'our own paths hold none'],
  ['/projects/a%252Fb', 'target.ambiguous', 'decoded twice it would be one'],
  ['/projects/a%2F%252e%252e%2Fb', 'target.ambiguous', 'decoded twice it would climb'],
  ['/projects/a%2Fb//c', '/projects/:id/**', 'collapsed it meets the same route'],
  ['/projects/a%2Fb;v=1', '/projects/:id/**', 'without parameters it meets the same route'],
  ['/PROJECTS/a%2Fb', 'target.encoded-separator', 'this spelling meets another route'],
] as const
for (const [path, expected, because] of rows) {
  test(`[FR-041] ${path} comes to ${expected}${because === undefined ? '' : `: ${because}`}`, () => {
    expect(outcome(routes, aHead(path))).toBe(expected)
  })
}

test('[FR-041] our own paths hold none, even where everything else keeps it', () => {
  const all = table(aRoute('/**', keep))
  expect(outcome(all, aHead('/api/auth/a%2Fb'))).toBe('target.encoded-separator')
  expect(outcome(all, aHead('/api%2Fauth/a'))).toBe('/**')
})

const climbing = [
  '/a%2F..%2Fb',
  '/a%2f../b',
  '/a/..%2Fb',
  '/..%2Fb',
  '/a%2F..',
  '/a%2F.%2Fb',
  '/a%2F..;x/b',
  '/a%2F..%3Bx/b',
  '/a%2F...%2Fb',
  '/a%2F..%20%2Fb',
  '/a%2F%20../b',
  '/a%2F%2e%2e%2Fb',
]
for (const path of climbing) {
  test(`[FR-041] ${path} hides a dot segment and is refused whatever the routes say`, () => {
    const target = parseTarget(path, true)
    expect(target).toBeInstanceOf(Refusal)
    expect((target as Refusal).reason).toBe('target.dot-segment')
  })
}

test('[FR-041] where no route keeps it, it is refused as it always was', () => {
  for (const path of ['/a%2Fb', '/a%2F..%2Fb', '/a%2f/../b', '/%2F']) {
    expect((parseTarget(path) as Refusal).reason).toBe('target.encoded-separator')
  }
  expect((parseTarget('/a%5Cb', true) as Refusal).reason).toBe('target.encoded-separator')
})

test('[FR-041] the parameter holds the slash, in either case of its digits, and the path is left as it came', () => {
  for (const path of ['/projects/a%2Fb', '/projects/a%2fb']) {
    const head = aHead(path)
    expect(head.target.path).toBe(path)
    expect({ ...(matchRoute(routes, head) as { params: object }).params }).toEqual({ id: 'a/b' })
  }
})

test('[FR-041] a condition on the parameter sees one value in every reading, or it is ambiguous', () => {
  const access = new Map([['*', requiring({ kind: 'when', source: 'true', condition: () => true })]])
  const conditional = table(aRoute('/p/:id/**', { ...keep, access }))
  expect(outcome(conditional, aHead('/p/a%2Fb/c'))).toBe('/p/:id/**')
  expect(outcome(conditional, aHead('/p/a%2Fb./c'))).toBe('target.ambiguous')
})

test('[FR-041] a condition on the path sees the slash encoded, in one spelling, and so never a segment that is not there', () => {
  const scope = {
    params: [],
    isPathExact: false,
    allowUnverifiedEmail: false,
    reservedNames: new Set<string>(),
    claims: [],
  }
  const found = (source: string, path: string) => {
    const condition = compileCondition(source, scope)
    if (typeof condition !== 'function') throw new Error(condition.error)
    return condition({ head: aHead(path), params: {} }, principalOf('ann'))
  }
  for (const path of ['/p/a%2Fb', '/p/a%2fb']) {
    expect(found('request.path.startsWith("/p/a/")', path)).toBe(false)
    expect(found('request.path == "/p/a%2Fb"', path)).toBe(true)
  }
  expect(found('request.path == "/1:run"', '/1%3Arun')).toBe(true)
})

test('[FR-041] an upstream that reads paths literally gets no encoded slash that its route does not keep', () => {
  const exact = table(aRoute('/**', { upstream: anUpstream({ isPathExact: true }) }))
  expect(outcome(exact, aHead('/a%2Fb'))).toBe('target.encoded-separator')
})

test('[FR-041] an encoded slash never separates: what is met is what the same path with a letter in its place meets', () => {
  const piece = fc.constantFrom('/', 'projects', 'a', 'admin', '%2F', '%2f', 'closed', ';', '//', '.', 'b')
  let kept = 0
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const path = `/${pieces.join('')}`
      const target = parseTarget(path, true)
      fc.pre(!(target instanceof Refusal) && /%2f/i.test(path))
      const met = outcome(routes, aHead(path))
      const plain = outcome(routes, aHead(path.replaceAll(/%2f/gi, 'z')))
      if (met.startsWith('target.')) return
      kept += 1
      expect(met).toBe('/projects/:id/**')
      expect(plain).toBe(met)
    }),
    { numRuns: 5000 },
  )
  expect(kept).toBeGreaterThan(5)
})
