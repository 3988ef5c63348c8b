/** Conditions: what compiles, what they come to, and that a missing fact never lets anybody in. */

import { describe, expect, test } from 'vitest'
import { ALLOW, type Principal } from '../model.ts'
import { ALICE, FACTS, HEAD, NOW_MS, nested, required } from '../test/support/access.ts'
import { authorize } from './authorize.ts'
import { type ConditionScope, compileCondition } from './when.ts'

const SCOPE: ConditionScope = {
  params: ['user'],
  claims: ['department', 'level', 'teams', 'on'],
  isPathExact: false,
  allowUnverifiedEmail: false,
  reservedNames: new Set(['x-books-owner']),
}

function evaluate(source: string, facts = FACTS, principal = ALICE, scope = SCOPE): boolean | string | null {
  const condition = compileCondition(source, scope)
  return typeof condition === 'function' ? condition(facts, principal) : condition.error
}

describe('conditions', () => {
  const rows = [
    ['params.user == user.id', true],
    ['params.user != user.id', false],
    ['"editor" in user.roles', true],
    ['user.roles.exists(role, role == "admin")', false],
    ['user.scopes.all(scope, scope.startsWith("books:"))', true],
    ['user.email == "Alice@example.com"', true],
    ['request.method == "GET" && request.host == "localhost:8080" && request.ip.startsWith("10.")', true],
    ['request.path == "/a/b" && request.query["y"] == "two"', true],
    ['request.headers["x-a"] == "one, two"', true],
    ['"x-b" in request.headers', false],
    ['now.getHours() == 12 && now < timestamp("2027-01-01T00:00:00Z")', true],
    ['has(user.name) && size(user.groups) == 0', true],
    ['user.mfa', false],
    ['now - user.signedInAt <= duration("600s")', true],
    ['user.signedInAt > timestamp("2026-01-01T11:55:00Z")', false],
    ['has(user.signedInAt)', true],
  ] as const
  for (const [source, expected] of rows) {
    test(`[FR-013] ${source} is ${expected}`, () => expect(evaluate(source)).toBe(expected))
  }

  const refused = [
    ['params.usr == user.id', 'a parameter the pattern does not name'],
    ['user.emial == "a"', 'a misspelt fact'],
    ['usr.id == "a"', 'a misspelt root'],
    ['user.id', 'text is not a verdict'],
    ['1', 'a number is not a verdict'],
    ['dyn(user.id)', 'a verdict must be known to be bool'],
    ['dyn(user).emial == "a"', 'the type check cannot be switched off'],
    ['user.id ==', 'broken syntax'],
    ['', 'nothing'],
    ['duration(request.query.x) > now - user.signedInAt', 'a duration that a client sends is read in cubic time'],
    ['user.groups.exists(g, duration(g) > duration("1s"))', 'a duration that an issuer sends'],
    [Array.from({ length: 90 }, () => 'user.mfa').join('||'), 'more parts than a condition may have'],
    [`${'('.repeat(40)}user.mfa${')'.repeat(40)}`, 'deeper than a condition may be'],
    [`user.id in [${Array.from({ length: 65 }, () => '"a"').join()}]`, 'a list longer than a condition may hold'],
    ['user.claims.departmnt == "eng"', 'a misspelt claim'],
    ['user.claims["departmnt"] == "eng"', 'a misspelt claim, in brackets'],
    ['!has(user.claims.departmnt)', 'a misspelt claim that nobody has would be true of everybody'],
    ['!has(user.emial)', 'a misspelt fact, asked for'],
    ['!has(params.usr)', 'a misspelt parameter, asked for'],
    ['user.roles.all(role, !has(request.bodyy))', 'a misspelt fact, asked for in a loop'],
    ['user.claims.on', 'a claim may be anything'],
    ['user.claims.size() > 0', 'claims are not counted'],
    ['user.id.matches("^(a+)+$")', 'a regular expression has no bounded cost'],
    ['params.user.lowerAscii() == "kim"', 'folding that is not ASCII only'],
    ['user.roles.all(a, user.roles.all(b, a == b))', 'a loop inside a loop'],
    ['cel.bind(x, user.id + user.id, x == "a")', 'a value that may grow'],
    ['request.headers["cookie"] == "a"', 'a credential'],
    ['request.headers.authorization == "a"', 'a credential'],
    ['"x-api-key" in request.headers', 'a credential'],
    ['request.headers["x-forwarded-user"] == "root"', 'a name that a client may forge'],
    ['!("Authorization" in request.headers)', 'a credential, in the spelling of the wire'],
    ['!("X-Debug" in request.headers)', 'facts are in lower case, so this would always be true'],
    ['request.headers["X-A"] == "one, two"', 'facts are in lower case, so this would never be true'],
    [`user.id == "${'a'.repeat(1024)}"`, 'a condition too long'],
    [Array.from({ length: 300 }, () => 'true').join(' && '), 'a condition too large'],
  ] as const
  for (const [source, because] of refused) {
    test(`[FR-014] ${source.slice(0, 60)} does not compile: ${because}`, () => {
      expect(evaluate(source)).toEqual(expect.any(String))
    })
  }

  const claiming: Principal = { ...ALICE, claims: { department: 'eng', level: 3, teams: ['a', 'b'], on: true } }
  const claims = [
    ['user.claims.department == "eng"', true],
    ['user.claims.department in ["eng", "ops"]', true],
    ['user.claims["department"].startsWith("en")', true],
    ['user.claims.level >= 3 && user.claims.level < 3.5', true],
    ['user.claims.level != 3', false],
    ['!(user.claims.level in [1, 3])', false],
    ['"b" in user.claims.teams', true],
    ['user.claims.teams.exists(team, team == "c")', false],
    ['user.claims.on == true', true],
    ['!user.claims.on', false],
    ['has(user.claims.department)', true],
  ] as const
  for (const [source, expected] of claims) {
    test(`[FR-039] ${source} is ${expected}`, () => expect(evaluate(source, FACTS, claiming)).toBe(expected))
  }

  const unknown: Principal = { ...claiming, claims: { level: '3' }, authenticatedAtMs: null, email: null }
  for (const source of [
    'user.claims.department == "eng"',
    'user.claims.department != "eng"',
    '!("a" in user.claims.teams)',
    '!("3" in user.claims.level)',
    'user.claims.level < 4',
    'user.claims.level && true',
    'now - user.signedInAt > duration("1s")',
    'user.email != "mallory@example.com"',
    'request.headers["x-missing"] != "1"',
    'int(user.id) > 1',
  ]) {
    test(`[FR-039] ${source} cannot be told, and neither can its opposite`, () => {
      expect(evaluate(source, FACTS, unknown)).toBeNull()
      const condition = compileCondition(source, SCOPE)
      if (typeof condition !== 'function') throw new Error(condition.error)
      const when = { kind: 'when', source, condition } as const
      expect(authorize(required(when), unknown, FACTS, false)).not.toBe(ALLOW)
      expect(authorize(required({ kind: 'not', of: nested(when) }), unknown, FACTS, false)).not.toBe(ALLOW)
      expect(authorize(required({ kind: 'any', of: [nested(when)] }), unknown, FACTS, false)).not.toBe(ALLOW)
    })
  }

  const listed: Principal = { ...claiming, claims: { department: ['eng'], level: '3', teams: 'a', on: 'true' } }
  for (const source of [
    'user.claims.department != "eng"',
    'user.claims.department == "eng"',
    '"ops" != user.claims["department"]',
    'user.claims.level != 3',
    'user.claims.on != true',
    '!(user.claims.department in ["eng"])',
    '!(user.claims["level"] in [3, 4])',
    '!(user.claims.department in user.groups)',
  ]) {
    test(`[FR-039] ${source} cannot be told of a claim that is of another type`, () => {
      expect(evaluate(source, FACTS, listed)).toBeNull()
    })
  }

  test('[FR-039] a condition may ask for a claim in either form', () => {
    const source = 'user.claims.department == "eng" || "eng" in user.claims.department'
    expect(evaluate(source, FACTS, listed)).toBe(true)
    expect(evaluate(source, FACTS, claiming)).toBe(true)
    expect(evaluate('user.roles == "editor"')).toMatch(/does not type-check/)
  })

  test('[FR-039] a sign-in that is still to come, or that no clock could show, is no time of one', () => {
    for (const authenticatedAtMs of [NOW_MS + 3_600_000, 1e18, -1e18, Number.NaN]) {
      const odd: Principal = { ...ALICE, authenticatedAtMs }
      for (const source of ['now - user.signedInAt <= duration("15m")', 'user.signedInAt != now']) {
        expect(evaluate(source, FACTS, odd), `${authenticatedAtMs}: ${source}`).toBeNull()
      }
      const fresh = { kind: 'fresh', maxAgeMs: 900_000 } as const
      expect(authorize(required(fresh), odd, FACTS, false)).not.toBe(ALLOW)
      expect(authorize(required({ kind: 'not', of: nested(fresh) }), odd, FACTS, false)).not.toBe(ALLOW)
    }
    expect(
      evaluate('now - user.signedInAt <= duration("15m")', FACTS, { ...ALICE, authenticatedAtMs: NOW_MS + 30_000 }),
    ).toBe(true)
  })

  test('[FR-045] a name that nobody knows is told apart, for a suggestion', () => {
    const unknownIn = (source: string) => {
      const condition = compileCondition(source, SCOPE)
      return typeof condition === 'function' ? condition : condition.unknown
    }
    expect(unknownIn('user.emial == ""')).toBe('emial')
    expect(unknownIn('usr.id == ""')).toBe('usr')
    expect(unknownIn('user.claims.departmnt == ""')).toBe('departmnt')
    expect(unknownIn('!has(user.emial)')).toBe('emial')
    expect(unknownIn('user.id > 3')).toBeNull()
  })

  const missing: Principal = { ...ALICE, email: 'alice@example.com', emailVerified: false, name: null }
  for (const source of [
    'user.email == "alice@example.com"',
    'user.email != "x"',
    '!(user.email == "x")',
    'has(user.email)',
    'user.name != ""',
  ]) {
    test(`[FR-015] ${source} refuses when the fact is missing`, () => {
      expect(evaluate(source, FACTS, missing)).not.toBe(true)
    })
  }

  test('[FR-015] an unverified e-mail is a fact only where the file says so', () => {
    expect(evaluate('user.email != ""', FACTS, missing, { ...SCOPE, allowUnverifiedEmail: true })).toBe(true)
  })

  test('[FR-015] credentials and forgeable headers are not even counted', () => {
    expect(evaluate('size(request.headers) == 1')).toBe(true)
  })

  test('[FR-015] a header name computed at run time does not reach a credential', () => {
    expect(evaluate('request.headers["coo" + "kie"] != ""')).toBeNull()
  })

  test('[FR-015] a header that an identity map writes is never a client’s to show, however it is named', () => {
    const head = { ...FACTS.head, headers: ['X-Books-Owner', 'mallory'], names: ['x-books-owner'] }
    expect(evaluate('request.headers["x-books-owner"] == "mallory"', { ...FACTS, head })).toContain('never see')
    expect(evaluate('request["headers"]["x-books-owner"] == "mallory"', { ...FACTS, head })).toBeNull()
  })

  test('[FR-015] a header that Connection nominates decides nothing: the upstream never sees it', () => {
    const headers = ['X-Dry-Run', 'true', 'Connection', 'close, X-Dry-Run']
    const source = 'request.headers["x-dry-run"] == "true"'
    const names = ['x-dry-run', 'connection']
    expect(evaluate(source, { ...FACTS, head: { ...HEAD, headers, names } })).toBeNull()
    const kept = { ...HEAD, headers: headers.slice(0, 2), names: names.slice(0, 1) }
    expect(evaluate(source, { ...FACTS, head: kept })).toBe(true)
  })

  test('[FR-015] a query parameter that stands twice satisfies no condition', () => {
    const twice = { ...FACTS, head: { ...HEAD, target: { ...HEAD.target, query: '?x=1&x=2' } } }
    expect(evaluate('request.query["x"] == "1"', twice)).toBeNull()
    expect(evaluate('request.query["x"] != "3"', twice)).toBeNull()
  })

  test('[FR-039] what is too long to be asked about in a loop is missing as a whole', () => {
    const names = (count: number) => Array.from({ length: count }, (_, at) => `g${at}`)
    for (const fact of ['roles', 'groups', 'scopes']) {
      const source = `!("x" in user.${fact})`
      expect(evaluate(source, FACTS, { ...ALICE, [fact]: names(1024) })).toBe(true)
      expect(evaluate(source, FACTS, { ...ALICE, [fact]: names(1025) })).toBeNull()
    }
    const sent = (chars: number) => ({
      ...HEAD,
      headers: ['X-A', 'x'.repeat(chars), 'X-B', 'b'],
      names: ['x-a', 'x-b'],
    })
    expect(evaluate('request.headers["x-b"] == "b"', { ...FACTS, head: sent(8192) })).toBe(true)
    expect(evaluate('request.headers["x-b"] == "b"', { ...FACTS, head: sent(8193) })).toBeNull()
  })

  test('[FR-039] nor does a query that servers part into other parameters', () => {
    const asked = (query: string) => ({ ...FACTS, head: { ...HEAD, target: { ...HEAD.target, query } } })
    for (const query of ['?a=1;x=2&x=1', '?X=2&x=1', '?x=1&x[]=2', '?X[a]=2&x=1', '?x=1&x%5B%5D=2']) {
      expect(evaluate('request.query.x == "1"', asked(query)), query).toBeNull()
    }
    expect(evaluate('request.query.x == "1"', asked('?x=1&y[]=1&y[a]=2'))).toBe(true)
    expect(evaluate('user.id == "u_1"', asked('?a=1;x=2'))).toBe(true)
  })

  test('[FR-015] a condition on the path holds for every reading of it, or refuses', () => {
    const odd = { ...FACTS, head: { ...HEAD, target: { ...HEAD.target, path: '/a//root', readings: ['/a/root'] } } }
    const source = '!request.path.startsWith("/a/root")'
    expect(evaluate(source, odd)).toBeNull()
    expect(evaluate('!request["path"].startsWith("/a/root")', odd)).toBeNull()
    expect(evaluate(source, odd, ALICE, { ...SCOPE, isPathExact: true })).toBe(true)
    expect(evaluate('user.id == "u_1"', odd)).toBe(true)
  })

  test('[FR-015] a condition reads the path percent-decoded, as the upstream will', () => {
    const at = (path: string) => ({ ...FACTS, head: { ...HEAD, target: { ...HEAD.target, path } } })
    const source = '!request.path.endsWith(":run")'
    expect(evaluate(source, at('/jobs/1'))).toBe(true)
    expect(evaluate(source, at('/jobs/1%3Arun'))).toBe(false)
    expect(evaluate('request.path == "/jobs/ü"', at('/jobs/%C3%BC'))).toBe(true)
    for (const scope of [SCOPE, { ...SCOPE, isPathExact: true }]) {
      expect(evaluate(source, at('/jobs/1%FF'), ALICE, scope), 'not UTF-8: nobody knows how it is read').toBeNull()
    }
    expect(evaluate('user.id == "u_1"', at('/jobs/1%FF'))).toBe(true)
  })

  test('[FR-015] a name of an object of the language is not a fact', () => {
    for (const name of ['constructor', '__proto__', 'toString']) {
      expect(evaluate(`request.headers["${name}"] != ""`)).not.toBe(true)
      expect(evaluate(`user.${name} != ""`)).not.toBe(true)
    }
  })
})
