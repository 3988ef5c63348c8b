/** What an `access` of the file becomes, and what is wrong or unwise in one. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Access, Check } from '../rules.ts'
import { compile } from './compile.ts'
import { formatIssues } from './issues.ts'
import { parsePolicy } from './parse.ts'

const SOURCES = {
  file: 'gateway.yaml',
  readEnv: (): undefined => undefined,
  readFile: (): string => {
    throw new Error('no such file')
  },
  listFiles: (): string[] => [],
}
const CI = `ci: { issuer: "https://ci.example.com", audience: x, claims: { groups: groups, department: org.dep, teams: t } }`

function load(access: string, tokens = CI) {
  const text = `version: 1
origin: http://localhost:8080
upstreams: { a: "http://127.0.0.1:9000" }
keys: {}
tokens: { ${tokens} }
routes: { /a/:user/**: { to: a, access: ${access} } }
`
  const parsed = parsePolicy(text, SOURCES)
  if ('issues' in parsed) return parsed
  return compile(parsed.config, 'v', parsed.places)
}

function compiled(access: string, method = '*'): Access {
  const loaded = load(access)
  if ('issues' in loaded) throw new Error(formatIssues(loaded.issues))
  const found = loaded.snapshot.routes.find('localhost:8080', '/a/1/x')
  return found!.route.access.get(method)!
}

function shapeOf(check: Check): unknown {
  switch (check.kind) {
    case 'any':
      return { any: check.of.map(({ checks }) => checks.map(shapeOf)) }
    case 'not':
      return { not: check.of.checks.map(shapeOf) }
    default:
      return check.kind
  }
}

function shape(access: string): unknown {
  const found = compiled(access)
  return found.kind === 'require' ? found.checks.map(shapeOf) : found.kind
}

const ALL = [
  ...['ip: 10.0.0.0/8', 'with: [session, token]', 'role: editor', 'scope: x', 'group: y', 'email: a@b.c'],
  ...['claim: { department: eng, teams: [a, 1, true] }', 'not: { role: trainee }', 'when: params.user == user.id'],
  ...['any: [{ ip: 10.0.0.0/8 }, { mfa: true, role: admin }]', 'mfa: true', 'fresh: 15m'],
]
const IN_ORDER = [
  ...['ip', 'with', 'role', 'scope', 'group', 'email', 'claim', 'claim', { not: ['role'] }, 'when'],
  ...[{ any: [['ip'], ['role', 'mfa']] }, 'mfa', 'fresh'],
]

describe('what it becomes', () => {
  test('[FR-039] every key has its check; the order of the keys in the file changes nothing', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(ALL, { minLength: ALL.length }), (keys) => {
        expect(shape(`{ ${keys.join(', ')} }`)).toEqual(IN_ORDER)
      }),
      { numRuns: 20 },
    )
  })

  test('[FR-039] without `with` a session or a token will do; within `any` and `not` nothing is implied', () => {
    expect(shape('{ role: a }')).toEqual(['with', 'role'])
    expect(compiled('{ role: a }')).toMatchObject({ checks: [{ kind: 'with', anyOf: ['session', 'token'] }, {}] })
    expect(compiled('{ role: a, with: key }')).toMatchObject({ checks: [{ kind: 'with', anyOf: ['key'] }, {}] })
    expect(shape('{ any: [{ role: a }, { with: token }] }')).toEqual(['with', { any: [['role'], ['with']] }])
  })

  test('[FR-039] only what asks for nothing but `ip` does without a caller', () => {
    expect(compiled('{ ip: 10.0.0.0/8 }')).toMatchObject({ needsPrincipal: false })
    for (const more of ['not: { ip: 11.0.0.0/8 }', 'any: [{ ip: 10.0.0.0/8 }]', 'with: session', 'when: "true"']) {
      expect(compiled(`{ ip: 10.0.0.0/8, ${more} }`)).toMatchObject({ needsPrincipal: true })
      expect(compiled(`{ ${more} }`)).toMatchObject({ needsPrincipal: true })
    }
  })

  test('[FR-039] each method has its own', () => {
    const access = '{ read: login, write: { role: editor }, DELETE: { role: admin, mfa: true } }'
    expect(compiled(access, 'GET')).toEqual({ kind: 'login' })
    expect(compiled(access, 'POST')).toMatchObject({ checks: [{ kind: 'with' }, { kind: 'role', anyOf: ['editor'] }] })
    expect(compiled(access, 'websocket')).toEqual(compiled(access, 'POST'))
    expect(compiled(access, 'DELETE')).toMatchObject({ checks: [{}, { kind: 'role' }, { kind: 'mfa' }] })
  })
})

const NONE = ''
const wrong: readonly (readonly [string, string, readonly string[], string?])[] = [
  ['a claim that is misspelt', '{ claim: { departmnt: eng } }', ['no issuer', 'did you mean `department`?']],
  ['a claim no issuer maps', '{ claim: { rank: 3 } }', ['no issuer', '`claims: { rank: <path'], NONE],
  ['a misspelt claim within `not`', '{ not: { any: [{ claim: { team: a } }] } }', ['did you mean `teams`?']],
  ['a misspelt fact', '{ when: user.emial == "a" }', ['No such key: emial', 'did you mean `user.email`?']],
  ['a misspelt claim in a condition', '{ when: "user.claims.team == 1" }', ['did you mean `user.claims.teams`?']],
  ['a misspelt parameter', '{ when: params.usr == user.id }', ['did you mean `params.user`?']],
  ['a misspelt root', '{ when: parms.user == user.id }', ['did you mean `params`?']],
  ['a misspelt fact that is asked for', '{ when: "!has(user.emial)" }', ['did you mean `user.email`?']],
  ['a claim, where none is mapped', '{ when: user.claims.rank == 1 }', ['no issuer under `tokens` maps a claim'], NONE],
  ['a fact like no other', '{ when: user.zodiac == 1 }', ['this pattern has params.user', 'claims here: department']],
  ['a second factor of keys', '{ with: key, mfa: true }', ['`mfa` is asked of API keys alone']],
  ['a fresh sign-in of keys', '{ with: [key], fresh: 15m }', ['`fresh` is asked of API keys alone']],
  [
    'a second factor of keys in a branch',
    '{ with: [key, session], any: [{ with: key, mfa: true }] }',
    ['a key never signs'],
  ],
  ['a prefix too long', '{ ip: [10.0.0.0/8, 10.0.0.0/40] }', ['6:60', '`10.0.0.0/40` is not an address']],
  ['a word in a branch', '{ any: [login, { role: a }] }', ['expected', '`{ role: editor }`']],
  ['a word behind `not`', '{ not: deny }', ['expected', '`{ role: editor }`']],
  ['nothing in a branch', '{ any: [{}] }', ['asks for nothing']],
  ['a word in a branch of a method', '{ read: public, write: { any: [login] } }', ['6:72', '`{ role: editor }`']],
  ['an age without a unit, of a method', '{ GET: { fresh: 15 } }', ['expected a duration with its unit']],
  ['no branch', '{ any: [] }', ['at least 1']],
  ['no second factor', '{ mfa: false }', ['expected `true`']],
  ['a number that is several', '{ claim: { department: 9007199254740993 } }', ['below 2^53']],
  ['a claim named like a key', 'login', ['taken for `groups`'], CI.replace('groups: groups', 'group: groups')],
  ['a claim every object has', 'login', ['cannot be the name'], CI.replace('teams: t', 'toString: t')],
  ['a claim with a blank', 'login', ['cannot be the name'], CI.replace('teams: t', 'a b: t')],
]

describe('what is wrong', () => {
  for (const [title, access, messages, tokens] of wrong) {
    test(`[FR-045] ${title}: ${access}`, () => {
      const loaded = load(access, tokens)
      if (!('issues' in loaded)) throw new Error('it loads')
      const text = formatIssues(loaded.issues)
      for (const message of messages) expect(text).toContain(message)
    })
  }
})

const unwise: readonly (readonly [string, string, string | null, string?])[] = [
  ['groups that nobody maps', '{ group: staff }', 'says where groups stand', NONE],
  ['groups of sessions', '{ group: staff, with: session }', 'only tokens of other issuers have groups'],
  ['claims of sessions', '{ claim: { department: eng }, with: [session, key] }', 'have claims'],
  ['scopes of sessions', '{ scope: x, with: session }', '`scope` is never met, so nobody gets in'],
  ['scopes of tokens, where no issuer is known', '{ scope: x }', '`scope` is never met', NONE],
  ['scopes of sessions behind `not`', '{ with: session, not: { scope: x } }', '`scope` is never met here'],
  ['a branch nobody reaches', '{ any: [{ role: a }, { with: key, scope: x }] }', 'nobody gets here with key'],
  ['nothing in scopes of keys', '{ scope: x, with: [session, key] }', null, NONE],
  ['nothing in scopes of tokens', '{ scope: x }', null],
  ['nothing in a branch for keys', '{ with: [session, key], any: [{ with: key, scope: x }, { mfa: true }] }', null],
  ['nothing in a second factor that keys need not have', '{ with: [session, key], mfa: true }', null],
  ['nothing in shutting out what is out', '{ not: { with: key } }', null],
  ['nothing in keys without a second factor', '{ with: key, not: { mfa: true } }', null],
]

describe('what is unwise', () => {
  for (const [title, access, message, tokens] of unwise) {
    test(`[FR-045] ${title}: ${access}`, () => {
      const loaded = load(access, tokens)
      if ('issues' in loaded) throw new Error(formatIssues(loaded.issues))
      expect(loaded.warnings.map((warning) => warning.message)).toEqual(
        message === null ? [] : [expect.stringContaining(message)],
      )
    })
  }
})
