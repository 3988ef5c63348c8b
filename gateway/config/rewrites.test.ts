/** Rewrites and hosts are no way round another route's guard: what is refused when the policy loads, and that nothing is missed. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { swapPrefix } from '../http/prefix.ts'
import { readingsOf } from '../http/target.ts'
import { Refusal } from '../model.ts'
import { matchRoute, OWN } from '../route/match.ts'
import type { Route } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { aHead } from '../test/support/routes.ts'
import { compile } from './compile.ts'
import { formatIssues } from './issues.ts'
import { GatewayConfig } from './schema.ts'
import { compareAccess } from './strictness.ts'

type Routes = Readonly<Record<string, Readonly<Record<string, unknown>>>>

function compiled(routes: Routes, upstreams: unknown = { up: 'http://127.0.0.1:9000' }) {
  return compile(GatewayConfig.parse({ version: 1, origin: 'http://books.test', upstreams, routes }), 'v')
}

function problems(routes: Routes, upstreams?: unknown): string {
  const result = compiled(routes, upstreams)
  return 'issues' in result ? formatIssues(result.issues) : ''
}

const admin = { to: 'up', access: { role: 'admin' } }
const open = { to: 'up', access: 'public' }

describe('what a rewrite may say', () => {
  const refused = [
    [{ '/api/**': { ...open, stripPrefix: '/v1' } }, 'does not begin with `/v1`'],
    [{ '/:v/api': { ...open, stripPrefix: '/:v' } }, ''],
    [{ '/api/:id': { ...open, stripPrefix: '/api/x' } }, 'does not begin with `/api/x`'],
    [{ '/a': { ...open, stripPrefix: '/a/b' } }, 'does not begin with `/a/b`'],
    [{ '/@me/**': { ...open, stripPrefix: '/%7Eme' } }, 'write it as requests are compared: `/~me`'],
    [{ '/a/**': { ...open, addPrefix: '/..' } }, 'no path may hold it'],
    [{ '/a/**': { ...open, addPrefix: '/x%2Fy' } }, 'no path may hold it'],
    [{ '/a/**': { ...open, addPrefix: '/x;y' } }, 'servers read differently'],
    [{ '/a/**': { ...open, addPrefix: '/x%2541' } }, 'servers read differently'],
  ] as const
  for (const [routes, message] of refused) {
    test(`[FR-041] ${JSON.stringify(routes)} is refused`, () => {
      if (message === '') expect(() => compiled(routes as Routes)).toThrow()
      else expect(problems(routes as Routes)).toContain(message)
    })
  }

  test('[FR-041] one that begins as its pattern does is fine', () => {
    expect(problems({ '/api/v1/**': { ...open, stripPrefix: '/api', addPrefix: '/V2' } })).toBe('')
    expect(problems({ '/%40me/**': { ...open, stripPrefix: '/%40me' } })).toBe('')
  })
})

describe('two ways to one path of an upstream', () => {
  test('[FR-041] the looser way is named, with the line of the stricter and the cure', () => {
    const found = problems({ '/admin/**': admin, '/tools/**': { ...open, stripPrefix: '/tools' } })
    expect(found).toContain(
      '`/tools/**` reaches paths of `up` that `/admin/**` guards more strictly: `/admin/**` there',
    )
    expect(found).toContain('say `alias: true` on `/tools/**`')
  })

  test('[FR-041] a host is another way too', () => {
    const routes = { '/admin/**': admin, 'api.test/**': open }
    expect(problems(routes)).toContain('`api.test/**` reaches paths of `up`')
    expect(problems({ ...routes, 'api.test/**': { ...open, alias: true } })).toBe('')
    expect(problems({ ...routes, '/admin/**': { ...admin, alias: true } })).toContain('on `api.test/**`')
    expect(problems({ ...routes, 'api.test/admin/**': admin })).toBe('')
    expect(problems({ ...routes, 'api.test/admin/**': { access: 'deny' } })).toBe('')
  })

  test('[FR-041] each of many hosts alike says for itself that it is meant', () => {
    const meant = { ...open, alias: true }
    expect(problems({ '/admin/**': admin, 'a.test/**': meant, 'b.test/**': meant })).toBe('')
    expect(problems({ '/admin/**': admin, 'a.test/**': meant, 'b.test/**': open })).toContain('on `b.test/**`')
  })

  test('[FR-041] where neither is the looser, either may say so', () => {
    const routes = { '/a': { to: 'up', access: { role: 'x' } }, 'api.test/a': { to: 'up', access: { scope: 'y' } } }
    expect(problems(routes)).toContain('guards in another way')
    expect(problems({ ...routes, '/a': { ...routes['/a'], alias: true } })).toBe('')
    expect(problems({ ...routes, 'api.test/a': { ...routes['api.test/a'], alias: true } })).toBe('')
  })

  const fine = [
    [{ '/**': open, '/admin/**': admin, '/admin/x': open }, 'matching tells routes of one host apart'],
    [{ '/a/**': { ...open, stripPrefix: '/a' }, '/a/b/**': { ...admin, stripPrefix: '/a' } }, 'one rewrite too'],
    [{ '/a/**': admin, 'api.test/**': { to: 'other', access: 'public' } }, 'another upstream is another place'],
    [{ '/a/**': admin, 'api.test/a/**': { to: 'up', access: { role: ['admin'] } } }, 'the same is asked in both'],
    [{ '/u/:user': each(), 'api.test/u/:user': each() }, 'the condition reads the same parameter at the same place'],
  ] as const
  for (const [routes, because] of fine) {
    test(`[FR-041] ${Object.keys(routes).join(' and ')} are fine: ${because}`, () => {
      expect(problems(routes, { up: 'http://127.0.0.1:9000', other: 'http://127.0.0.1:9001' })).toBe('')
    })
  }

  function each(more: object = {}) {
    return { to: 'up', access: { when: 'params.user == user.id' }, ...more }
  }

  test('[FR-041] a condition is not the same where its parameter stands elsewhere, or where it reads the path', () => {
    expect(problems({ '/u/:user/:x': each(), 'api.test/u/:x/:user': each() })).toContain('in another way')
    const path = { to: 'up', access: { when: 'request.path == "/a/b"' } }
    expect(problems({ '/a/**': path, '/c/**': { ...path, stripPrefix: '/c' } })).toContain('in another way')
  })

  test('[FR-041] a condition on the host is not the same on another host, though it is written alike', () => {
    const here = { to: 'up', access: { when: 'request.host == "a.test"' } }
    expect(problems({ 'a.test/**': here, 'b.test/**': here })).toContain('in another way')
  })

  test('[FR-041] letters are folded where the upstream may, and not where it reads paths literally', () => {
    const routes = { '/admin/**': admin, 'api.test/Admin/**': open }
    expect(problems(routes)).toContain('reaches paths')
    expect(problems(routes, { up: { url: 'http://127.0.0.1:9000', paths: 'exact' } })).toBe('')
  })

  test('[FR-041] two upstreams of one server are meant, so it is a warning', () => {
    const routes = { '/admin/**': admin, 'api.test/**': { to: 'other', access: 'public' } }
    const result = compiled(routes, {
      up: 'http://127.0.0.1:9000',
      other: { url: ['http://127.0.0.1:1', 'http://127.0.0.1:9000'] },
    })
    expect('warnings' in result && formatIssues(result.warnings)).toContain('reaches paths of `http://127.0.0.1:9000`')
  })
})

test('[FR-041] whatever a rewrite puts together, the canonicalizer judges it as a whole', () => {
  expect(swapPrefix('/a/x', { strip: '/a', add: '/v2' })).toBe('/v2/x')
  for (const add of ['/..', '/.', '/v2/%2e%2e', '/v%5c', '/v#', '/%61', '/']) {
    expect(swapPrefix('/a/x', { strip: '/a', add }), add).toBeNull()
  }
})

const segment = fc.constantFrom('a', 'b', ':x', '*')
const pattern = fc
  .tuple(fc.constantFrom('', '', 'api.test', '*.test'), fc.array(segment, { maxLength: 3 }), fc.boolean())
  .map(([host, segments, isTail]) => {
    const path = segments.map((text, at) => `/${text === ':x' ? `:x${at}` : text}`).join('')
    return `${host}${path === '' && !isTail ? '/' : path}${isTail ? '/**' : ''}`
  })
const access = fc.constantFrom<unknown>(
  'public',
  'optional',
  'login',
  'deny',
  { role: 'admin' },
  { role: ['admin', 'editor'] },
  { read: 'public', write: 'login' },
  { when: 'params.x1 == user.id' },
)
const route = fc.record(
  {
    access,
    stripPrefix: fc.constantFrom('/a', '/a/b', '/b'),
    addPrefix: fc.constantFrom('/a', '/b', '/b/a'),
    alias: fc.constant(true),
  },
  { requiredKeys: ['access'] },
)
const hosts = ['books.test', 'api.test', 'other.test']
const paths = ['', 'a', 'b', 'c'].flatMap((one) =>
  ['', '/', '/a', '/b', '/c'].flatMap((two) => ['', '/a', '/b', '/'].map((three) => `/${one}${two}${three}`)),
)

test('[FR-041] in a policy that loads, whatever reaches one path of an upstream is guarded alike, or the looser says it is meant', () => {
  let loaded = 0
  let refused = 0
  let real = 0
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(pattern, route), { minLength: 2, maxLength: 4, selector: ([text]) => text }),
      (list) => {
        const routes = Object.fromEntries(
          list.map(([text, config]) => {
            const path = text.slice(text.indexOf('/'))
            const { stripPrefix, ...rest } = config
            const isPrefix = stripPrefix !== undefined && `${path}/`.startsWith(`${stripPrefix}/`)
            const isConditional = JSON.stringify(config.access).includes('params') && !text.includes(':x1')
            return [
              text,
              {
                to: 'up',
                ...rest,
                ...(isPrefix ? { stripPrefix } : {}),
                ...(isConditional ? { access: 'login' } : {}),
              },
            ]
          }),
        )
        const result = compiled(routes)
        const aliases =
          'issues' in result ? result.issues.filter(({ message }) => message.includes('reaches paths')) : []
        if ('issues' in result && aliases.length !== result.issues.length) return
        if ('issues' in result) {
          refused += 1
          const allowed = compiled(
            Object.fromEntries(Object.entries(routes).map(([text, one]) => [text, { ...one, alias: true }])),
          )
          if (!('issues' in allowed) && collisions(allowed.snapshot, routes).length > 0) real += 1
          return
        }
        loaded += 1
        expect(collisions(result.snapshot, routes)).toEqual([])
      },
    ),
    { numRuns: 3000 },
  )
  expect(loaded).toBeGreaterThan(500)
  expect(refused).toBeGreaterThan(50)
  // What is refused is nearly always a way round indeed.
  expect(real / refused).toBeGreaterThan(0.7)
})

/**
 * By trying: pairs of routes by which a path of the upstream is reached, in some reading of it, that are guarded differently and
 * do not say `alias: true` where they must.
 */
function collisions({ routes: found }: Snapshot, routes: Routes): string[] {
  const reachedBy = new Map<string, Set<Route>>()
  for (const host of hosts) {
    for (const path of paths) {
      const match = matchRoute(found, aHead(path, {}, host))
      if (match instanceof Refusal || match === OWN) continue
      const reached = match.route.prefixSwap === null ? path : swapPrefix(path, match.route.prefixSwap)
      if (reached === null) continue
      for (const reading of [reached, ...readingsOf(reached)]) {
        reachedBy.set(reading, (reachedBy.get(reading) ?? new Set()).add(match.route))
      }
    }
  }
  const bad = new Set<string>()
  for (const [reached, through] of reachedBy) {
    for (const one of through) {
      for (const other of through) {
        if (one === other) continue
        const verdict = compareAccess(one.access, other.access, true)
        const isOneAlias = routes[one.id]!.alias === true
        const isOtherAlias = routes[other.id]!.alias === true
        const isExcused =
          verdict === 'same' ||
          (verdict === 'looser' ? isOneAlias : verdict === 'stricter' ? isOtherAlias : isOneAlias || isOtherAlias)
        if (!isExcused) bad.add(`${reached} by ${one.id} and ${other.id}`)
      }
    }
  }
  return [...bad]
}

describe('which of two asks more', () => {
  const rows = [
    ['login', 'public', 'stricter'],
    ['login', 'optional', 'stricter'],
    ['optional', 'public', 'stricter'],
    ['deny', { role: 'a' }, 'stricter'],
    ['login', { with: ['session', 'token'] }, 'same'],
    ['login', { with: 'session' }, 'looser'],
    ['login', { with: ['session', 'token', 'key'] }, 'stricter'],
    ['optional', { with: ['session', 'key'] }, 'unknown'],
    [{ role: 'a' }, { role: ['a', 'b'] }, 'stricter'],
    [{ role: 'a' }, { role: 'b' }, 'unknown'],
    [{ role: 'a', scope: 's' }, { role: 'a' }, 'stricter'],
    [{ fresh: '5m' }, { fresh: '15m' }, 'stricter'],
    [{ mfa: true }, 'login', 'stricter'],
    [{ ip: '10.0.0.0/8' }, 'public', 'stricter'],
    [{ ip: '10.0.0.0/8' }, 'login', 'unknown'],
    [{ ip: ['10.0.0.0/8'] }, { ip: ['10.0.0.0/8', '192.168.0.0/16'] }, 'stricter'],
    [{ role: 'a' }, { any: [{ role: 'a' }, { role: 'b' }] }, 'stricter'],
    [{ any: [{ role: 'a' }] }, { any: [{ role: 'b' }, { role: 'a' }] }, 'stricter'],
    [{ not: { role: ['a', 'b'] } }, { not: { role: 'a' } }, 'stricter'],
    [{ claim: { d: 'x' } }, { claim: { e: 'x' } }, 'unknown'],
    [{ when: 'user.id == "a"' }, { when: 'user.id == "a"' }, 'same'],
    [{ when: 'user.id == "a"' }, { when: 'user.id == "b"' }, 'unknown'],
    [{ when: 'request.host == "a"' }, { when: 'request.host == "a"' }, 'unknown'],
    [{ GET: 'login' }, { read: 'login' }, 'same'],
    [{ GET: 'login' }, 'login', 'stricter'],
    [{ read: 'public', write: { role: 'a' } }, { read: 'login', write: 'login' }, 'unknown'],
    [{ read: 'public' }, 'public', 'stricter'],
  ] as const
  for (const [one, other, verdict] of rows) {
    test(`[FR-041] ${JSON.stringify(one)} is ${verdict} beside ${JSON.stringify(other)}`, () => {
      const tokens = { t: { issuer: 'https://t.test', audience: 'a', claims: { d: 'd', e: 'e' } } }
      const config = {
        ...{ version: 1, origin: 'http://books.test', upstreams: { up: 'http://127.0.0.1:9000' }, keys: {}, tokens },
        routes: { '/a': { to: 'up', access: one }, '/b': { to: 'up', access: other } },
      }
      const result = compile(GatewayConfig.parse(config), 'v')
      if ('issues' in result) throw new Error(formatIssues(result.issues))
      const accessOf = (path: string) => result.snapshot.routes.find('books.test', path)!.route.access
      expect(compareAccess(accessOf('/a'), accessOf('/b'), false)).toBe(verdict)
      const reverse = { same: 'same', unknown: 'unknown', looser: 'stricter', stricter: 'looser' } as const
      expect(compareAccess(accessOf('/b'), accessOf('/a'), false)).toBe(reverse[verdict])
    })
  }
})
