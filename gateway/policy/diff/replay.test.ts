/** Replay: what the log knows is decided, and what it does not know is never guessed. */

import { describe, expect, test } from 'vitest'
import { policyOf } from '../../test/support/policy-text.ts'
import { replay } from './replay.ts'

const BASE = {
  version: 1,
  origin: 'http://books.test',
  keys: {},
  upstreams: { web: 'http://127.0.0.1:9000', api: 'http://127.0.0.1:9001' },
}
const policy = (access: unknown, more: object = {}) =>
  policyOf({ ...BASE, routes: { '/a/:id': { to: 'web', ...(access === null ? {} : { access }), ...more } } })

const RECORD = {
  level: 'info',
  requestId: 'r-1',
  at: '2026-11-21T10:00:00.000Z',
  method: 'GET',
  path: '/a/u_1',
  status: 200,
  route: '/a/:id',
  upstream: 'web',
  subject: 'u_1',
  credential: 'session',
  roles: ['reader'],
  scopes: [],
  clientAddress: '10.1.2.3',
  policy: null,
  reason: null,
}
const NOBODY = { subject: null, credential: null, roles: [] }
const REFUSED = { status: 403, upstream: null, reason: 'role.missing' }

async function* each(lines: readonly (string | null)[]): AsyncGenerator<string | null> {
  for (const line of lines) yield line
}

type Policy = ReturnType<typeof policy>
async function told(before: Policy, after: Policy, more: object): Promise<string> {
  const line = JSON.stringify({ ...RECORD, ...more })
  const report = await replay(before, after, each([line]))
  expect(report.requests).toBe(1)
  const [group] = report.groups
  if (group === undefined) return 'unchanged'
  return group.change === 'undecidable' ? `undecidable: ${group.before}` : group.change
}

describe('one recorded request', () => {
  const rows: readonly (readonly [why: string, before: unknown, after: unknown, record: object, told: string])[] = [
    ['has the role', 'login', { role: 'reader' }, {}, 'unchanged'],
    ['lacks the role', 'login', { role: 'editor' }, {}, 'would-refuse'],
    ['gets in', { role: 'editor' }, 'login', REFUSED, 'would-allow'],
    ['has no route any more', 'login', 'deny', {}, 'would-refuse'],
    [
      'nobody is let in',
      'login',
      'public',
      { ...NOBODY, status: 401, upstream: null, reason: 'credential.missing' },
      'would-allow',
    ],
    [
      'a bad token on a public route',
      'login',
      'public',
      { ...NOBODY, status: 401, upstream: null, reason: 'token.expired' },
      'would-allow',
    ],
    [
      'a bad token on an optional route',
      'login',
      'optional',
      { ...NOBODY, status: 401, upstream: null, reason: 'token.expired' },
      'unchanged',
    ],
    ['nobody was asked', 'public', 'login', NOBODY, 'undecidable: who the caller was: nobody was asked'],
    ['nobody, and the line looked', 'optional', 'login', NOBODY, 'would-refuse'],
    ['a key is not asked for', 'login', { with: 'key' }, {}, 'would-refuse'],
    ['the network is recorded', 'login', { ip: '192.168.0.0/16' }, {}, 'would-refuse'],
    ['their own', 'login', { when: 'params.id == user.id' }, {}, 'unchanged'],
    ['not their own', 'login', { when: 'params.id == user.id' }, { path: '/a/u_2' }, 'would-refuse'],
    [
      'a header is not recorded',
      'login',
      { when: 'request.headers["x-a"] == "b"' },
      {},
      'undecidable: `request.headers`',
    ],
    ['a second factor is not recorded', 'login', { mfa: true }, {}, 'undecidable: whether a second factor was shown'],
    ['a group is not recorded', 'login', { group: 'staff' }, {}, 'undecidable: the caller’s groups'],
    ['unknown or not, the role is missing', 'login', { role: 'editor', mfa: true }, {}, 'would-refuse'],
    ['unknown or not, one way is open', 'login', { any: [{ role: 'reader' }, { mfa: true }] }, {}, 'unchanged'],
    ['not of what is unknown is unknown', 'login', { not: { group: 'staff' } }, {}, 'undecidable: the caller’s groups'],
    ['unchanged needs no facts', { mfa: true, role: 'reader' }, { role: 'reader', mfa: true }, {}, 'unchanged'],
    ['who was let in met it', { mfa: true }, 'login', {}, 'unchanged'],
    ['who met more meets less', { fresh: '5m' }, { fresh: '15m' }, {}, 'unchanged'],
    ['who met less may meet more', { fresh: '15m' }, { fresh: '5m' }, {}, 'undecidable: when the caller signed in'],
    [
      'refused for one reason, let in by none',
      { mfa: true },
      'login',
      { ...REFUSED, status: 401, reason: 'mfa.missing' },
      'would-allow',
    ],
    ['another method', { read: 'login' }, { read: 'login', write: 'login' }, {}, 'unchanged'],
    [
      'a refused GET was perhaps an upgrade',
      { GET: { role: 'editor' } },
      { GET: { role: 'editor' }, WEBSOCKET: 'login' },
      REFUSED,
      'undecidable: whether it was a WebSocket upgrade',
    ],
    ['an upgrade says so', { WEBSOCKET: 'login', GET: 'login' }, { GET: 'login' }, { status: 101 }, 'would-refuse'],
    [
      'cross-site stays cross-site',
      'login',
      'public',
      { ...NOBODY, status: 403, upstream: null, reason: 'csrf.cross-site' },
      'unchanged',
    ],
    [
      'what could not be read stays so',
      'login',
      'public',
      { ...NOBODY, method: '-', path: '-', status: 400, upstream: null, route: null, reason: 'head.malformed' },
      'unchanged',
    ],
    [
      'one of our own paths',
      'login',
      'public',
      { path: '/_postern/sign-in', route: null, upstream: null },
      'unchanged',
    ],
    [
      'an ambiguous path stays so',
      'login',
      'public',
      { path: '/a//u_1', route: null, ...REFUSED, reason: 'target.ambiguous' },
      'unchanged',
    ],
  ]
  for (const [why, before, after, record, expected] of rows) {
    test(`[FR-048] ${why}: ${expected}`, async () => {
      expect(await told(policy(before), policy(after), record)).toBe(expected)
    })
  }

  test('[FR-048] let in both times, and sent elsewhere', async () => {
    expect(await told(policy('login'), policy('login', { to: 'api' }), {})).toBe('elsewhere')
    expect(await told(policy('login'), policy('login', { addPrefix: '/v2' }), {})).toBe('elsewhere')
    expect(await told(policy({ mfa: true }), policy({ mfa: true }, { to: 'api' }), {})).toBe('elsewhere')
  })

  test('[FR-048] another policy was in force, so what came of it then proves nothing', async () => {
    const other = { policy: '0123456789ab' }
    expect(await told(policy({ mfa: true }), policy('login'), other)).toBe(
      'undecidable: whether a second factor was shown',
    )
    const { disagreeing } = await replay(
      policy({ role: 'editor' }),
      policy('login'),
      each([JSON.stringify({ ...RECORD, ...other })]),
    )
    expect(disagreeing).toBe(1)
  })

  test('[FR-048] a host is not recorded, and decides only where it makes a difference', async () => {
    const hosts = (access: string) =>
      policyOf({ ...BASE, routes: { '/a/:id': { to: 'web', access: 'login' }, 'h.test/a/:id': { to: 'api', access } } })
    expect(
      await told(hosts('login'), hosts('public'), {
        route: null,
        ...NOBODY,
        status: 401,
        upstream: null,
        reason: 'credential.missing',
      }),
    ).toBe('undecidable: the host it was sent to')
    expect(await told(hosts('login'), hosts('public'), {})).toBe('unchanged')
    expect(await told(hosts('login'), hosts('deny'), { route: 'h.test/a/:id' })).toBe('would-refuse')
  })

  test('[FR-048] which method a preflight asked about is not recorded', async () => {
    const cors = { cors: { origins: ['https://app.test'] } }
    const preflight = { ...NOBODY, method: 'OPTIONS', status: 204, upstream: null }
    expect(await told(policy('login', cors), policy({ role: 'a' }, cors), preflight)).toBe(
      'undecidable: which method a preflight asked about',
    )
  })
})

test('[FR-048] requests are grouped by line and change, with three samples, the worst first', async () => {
  const lines = Array.from({ length: 10 }, (_, at) => JSON.stringify({ ...RECORD, requestId: `r-${at}` }))
  const refused = JSON.stringify({ ...RECORD, ...REFUSED, method: 'POST', requestId: 'bad id\u001b[31m' })
  const report = await replay(
    policy({ read: 'login', write: { role: 'editor' } }),
    policy({ read: { role: 'editor' }, write: 'login' }),
    each([...lines, refused]),
  )
  expect(report.groups).toMatchObject([
    { change: 'would-allow', method: 'POST', route: '/a/:id', count: 1, samples: ['-'] },
    { change: 'would-refuse', method: 'GET', count: 10, samples: ['r-0', 'r-1', 'r-2'] },
  ])
})

test('[FR-048] lines that are no requests are counted, whatever they hold', async () => {
  const lines = [
    '{"level":"warn","at":"2026-11-21T10:00:00Z","note":"started"}',
    'not json',
    '[]',
    'null',
    '{"method":1,"path":"/a","status":200}',
    '{"method":"GET","path":"a","status":200,"at":"2026-11-21T10:00:00Z"}',
    '{"method":"GET","path":"/a","status":200,"at":"never"}',
    '{"__proto__":{"method":"GET"},"path":"/a","status":200}',
    null,
  ]
  const report = await replay(policy('login'), policy('public'), each(lines))
  expect(report).toMatchObject({ requests: 0, otherLines: 1, garbage: 8, groups: [] })
})

test('[FR-048] a hundred thousand lines take no more room than their groups', async () => {
  async function* many(): AsyncGenerator<string> {
    for (let at = 0; at < 100_000; at += 1)
      yield JSON.stringify({ ...RECORD, requestId: `r-${at}`, path: `/a/u_${at}` })
  }
  const report = await replay(policy('login'), policy({ role: 'editor' }), many())
  expect(report.groups).toMatchObject([{ count: 100_000 }])
}, 60_000)
