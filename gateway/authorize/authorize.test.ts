/** Decisions and conditions: who is let in, and that a missing fact never lets anybody in. */

import { describe, expect, test } from 'vitest'
import {
  type Access,
  ALLOW,
  type PolicyFacts,
  type Principal,
  Refusal,
  type RequestHead,
  type Requirement,
} from '../model.ts'
import { authorize } from './authorize.ts'
import { type ConditionScope, compileCondition } from './when.ts'

const ALICE: Principal = {
  kind: 'user',
  credential: 'session',
  subject: 'u_1',
  issuer: 'http://localhost',
  email: 'Alice@example.com',
  emailVerified: true,
  name: 'Alice',
  roles: ['editor'],
  scopes: ['books:read'],
  groups: [],
  sessionId: 's',
  tokenId: null,
  keyId: null,
  source: null,
  authenticatedAtMs: 0,
  methods: ['pwd'],
  expiresAtMs: 1,
}

const HEAD: RequestHead = {
  requestId: 'r',
  receivedAtMs: Date.UTC(2026, 0, 1, 12),
  method: 'GET',
  target: { scheme: 'http', authority: 'localhost:8080', path: '/a/b', query: '?x=1&y=two', readings: [] },
  httpVersion: '1.1',
  headers: [
    'X-A',
    'one',
    'Cookie',
    'postern.session_token=s',
    'Authorization',
    'Bearer t',
    'X-Forwarded-User',
    'root',
    'X-A',
    'two',
  ],
  names: ['x-a', 'cookie', 'authorization', 'x-forwarded-user', 'x-a'],
  droppedHeaders: 0,
  clientAddress: '10.1.2.3',
  isPeerTrusted: false,
  isUpgrade: false,
  isNavigation: false,
  bodyBytes: 0,
  authorization: 'Bearer t',
  apiKey: null,
  sessionCookie: 's',
  origin: null,
  fetchSite: null,
}

const FACTS: PolicyFacts = { head: HEAD, params: { user: 'u_1' } }
const NOTHING: Requirement = { kind: 'require', roles: [], scopes: [], emails: [], with: [], when: null }

function decision(access: Access, principal: Principal | null, allowUnverifiedEmail = false): string {
  const decided = authorize(access, principal, FACTS, allowUnverifiedEmail)
  return decided === ALLOW ? 'allow' : decided.reason
}

describe('authorize', () => {
  const key: Principal = { ...ALICE, credential: 'key' }
  const unverified: Principal = { ...ALICE, emailVerified: false }
  const kelvin: Principal = { ...ALICE, email: '\u212Aim@example.com' }
  const rows: readonly (readonly [string, Access, Principal | null, string])[] = [
    ['deny refuses everybody', { kind: 'deny' }, ALICE, 'route.denied'],
    ['public lets nobody in', { kind: 'public' }, null, 'allow'],
    ['optional lets nobody in', { kind: 'optional' }, null, 'allow'],
    ['optional lets a session in', { kind: 'optional' }, ALICE, 'allow'],
    ['optional does not take an API key', { kind: 'optional' }, key, 'credential.kind'],
    ['login refuses nobody', { kind: 'login' }, null, 'credential.missing'],
    ['login lets a session in', { kind: 'login' }, ALICE, 'allow'],
    ['login lets a token in', { kind: 'login' }, { ...ALICE, credential: 'token' }, 'allow'],
    ['login does not take an API key', { kind: 'login' }, key, 'credential.kind'],
    ['a requirement refuses nobody', NOTHING, null, 'credential.missing'],
    ['a requirement that asks for nothing still needs a session or token', NOTHING, key, 'credential.kind'],
    ['`with` names the credentials', { ...NOTHING, with: ['token'] }, ALICE, 'credential.kind'],
    ['`with` may name keys', { ...NOTHING, with: ['key'] }, key, 'allow'],
    ['one role of a list is enough', { ...NOTHING, roles: ['admin', 'editor'] }, ALICE, 'allow'],
    ['a role is compared exactly', { ...NOTHING, roles: ['Editor'] }, ALICE, 'role.missing'],
    ['keys are ANDed', { ...NOTHING, roles: ['editor'], scopes: ['books:write'] }, ALICE, 'scope.missing'],
    ['an e-mail is compared without regard to case', { ...NOTHING, emails: ['alice@EXAMPLE.com'] }, ALICE, 'allow'],
    ['an e-mail is compared whole', { ...NOTHING, emails: ['alice@example.com.evil'] }, ALICE, 'email.missing'],
    [
      'an unverified e-mail matches nothing',
      { ...NOTHING, emails: ['alice@example.com'] },
      unverified,
      'email.missing',
    ],
    [
      'a letter that folds in Unicode only is another letter',
      { ...NOTHING, emails: ['kim@example.com'] },
      kelvin,
      'email.missing',
    ],
    ['nobody has no e-mail', { ...NOTHING, emails: ['a@b'] }, { ...ALICE, email: null }, 'email.missing'],
    ['a condition that is false refuses', { ...NOTHING, when: () => false }, ALICE, 'condition.false'],
    ['a condition that is true allows', { ...NOTHING, when: () => true }, ALICE, 'allow'],
    [
      'a condition that is truthy refuses',
      { ...NOTHING, when: (() => 1) as unknown as () => boolean },
      ALICE,
      'condition.false',
    ],
  ]
  for (const [title, access, principal, expected] of rows) {
    test(`[FR-015] ${title}`, () => expect(decision(access, principal)).toBe(expected))
  }

  test('[FR-015] the demo may match e-mail addresses nobody has proved', () => {
    expect(decision({ ...NOTHING, emails: ['alice@example.com'] }, unverified, true)).toBe('allow')
  })

  test('[FR-015] refusals are shared and frozen: refusing allocates nothing and nobody can change one', () => {
    const first = authorize({ kind: 'login' }, null, FACTS, false)
    expect(authorize({ kind: 'login' }, null, FACTS, false)).toBe(first)
    expect(first).toBeInstanceOf(Refusal)
    expect(Object.isFrozen(first)).toBe(true)
  })
})

const SCOPE: ConditionScope = {
  params: ['user'],
  isPathExact: false,
  allowUnverifiedEmail: false,
  reservedNames: new Set(['x-books-owner']),
}

function evaluate(source: string, facts = FACTS, principal = ALICE, scope = SCOPE): boolean | string {
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

  const missing: Principal = { ...ALICE, email: 'alice@example.com', emailVerified: false, name: null }
  for (const source of [
    'user.email == "alice@example.com"',
    'user.email != "x"',
    '!(user.email == "x")',
    'has(user.email)',
    'user.name != ""',
  ]) {
    test(`[FR-015] ${source} refuses when the fact is missing`, () => {
      expect(evaluate(source, FACTS, missing)).toBe(false)
    })
  }

  test('[FR-015] an unverified e-mail is a fact only where the file says so', () => {
    expect(evaluate('user.email != ""', FACTS, missing, { ...SCOPE, allowUnverifiedEmail: true })).toBe(true)
  })

  test('[FR-015] credentials and forgeable headers are not even counted', () => {
    expect(evaluate('size(request.headers) == 1')).toBe(true)
  })

  test('[FR-015] a header name computed at run time does not reach a credential', () => {
    expect(evaluate('request.headers["coo" + "kie"] != ""')).toBe(false)
  })

  test('[FR-015] a header that an identity map writes is never a client’s to show, however it is named', () => {
    const head = { ...FACTS.head, headers: ['X-Books-Owner', 'mallory'], names: ['x-books-owner'] }
    expect(evaluate('request.headers["x-books-owner"] == "mallory"', { ...FACTS, head })).toContain('never see')
    expect(evaluate('request["headers"]["x-books-owner"] == "mallory"', { ...FACTS, head })).toBe(false)
  })

  test('[FR-015] a header that Connection nominates decides nothing: the upstream never sees it', () => {
    const headers = ['X-Dry-Run', 'true', 'Connection', 'close, X-Dry-Run']
    const source = 'request.headers["x-dry-run"] == "true"'
    const names = ['x-dry-run', 'connection']
    expect(evaluate(source, { ...FACTS, head: { ...HEAD, headers, names } })).toBe(false)
    const kept = { ...HEAD, headers: headers.slice(0, 2), names: names.slice(0, 1) }
    expect(evaluate(source, { ...FACTS, head: kept })).toBe(true)
  })

  test('[FR-015] a query parameter that stands twice satisfies no condition', () => {
    const twice = { ...FACTS, head: { ...HEAD, target: { ...HEAD.target, query: '?x=1&x=2' } } }
    expect(evaluate('request.query["x"] == "1"', twice)).toBe(false)
    expect(evaluate('request.query["x"] != "3"', twice)).toBe(false)
  })

  test('[FR-015] a condition on the path holds for every reading of it, or refuses', () => {
    const odd = { ...FACTS, head: { ...HEAD, target: { ...HEAD.target, path: '/a//root', readings: ['/a/root'] } } }
    const source = '!request.path.startsWith("/a/root")'
    expect(evaluate(source, odd)).toBe(false)
    expect(evaluate('!request["path"].startsWith("/a/root")', odd)).toBe(false)
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
      expect(evaluate(source, at('/jobs/1%FF'), ALICE, scope), 'not UTF-8: nobody knows how it is read').toBe(false)
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
