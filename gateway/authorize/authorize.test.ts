/** Decisions: who is let in by which check, that a missing fact never lets anybody in, and what a refusal offers. */

import { describe, expect, test } from 'vitest'
import { compileNetworks } from '../http/address.ts'
import { ALLOW, type Principal, Refusal } from '../model.ts'
import type { Access, Check, PolicyFacts } from '../rules.ts'
import { ALICE, FACTS, HEAD, NOW_MS, nested, required } from '../test/support/access.ts'
import { authorize } from './authorize.ts'

function decide(access: Access, principal: Principal | null, facts: PolicyFacts = FACTS, allowUnverified = false) {
  const decided = authorize(access, principal, facts, allowUnverified)
  return decided === ALLOW ? 'allow' : decided.reason
}

const ip = (...networks: string[]): Check => ({ kind: 'ip', networks, contains: compileNetworks(networks) })
const role = (...anyOf: string[]): Check => ({ kind: 'role', anyOf })
const not = (...checks: Check[]): Check => ({ kind: 'not', of: nested(...checks) })
const any = (...branches: (Check | readonly Check[])[]): Check => ({
  kind: 'any',
  of: branches.map((branch) => nested(...[branch].flat())),
})
const when = (found: unknown): Check => ({ kind: 'when', source: 'x', condition: () => found as boolean })
const claim = (...anyOf: (string | number | boolean)[]): Check => ({ kind: 'claim', name: 'department', anyOf })
const MFA: Check = { kind: 'mfa' }
const fresh = (maxAgeMs: number): Check => ({ kind: 'fresh', maxAgeMs })

const KEY: Principal = { ...ALICE, credential: 'key', authenticatedAtMs: null }
const claiming = (department: Principal['claims'][string]): Principal => ({ ...ALICE, claims: { department } })
const signedIn = (authenticatedAtMs: number | null): Principal => ({ ...ALICE, authenticatedAtMs })
const from = (clientAddress: string): PolicyFacts => ({ ...FACTS, head: { ...HEAD, clientAddress } })

describe('the words', () => {
  const rows: readonly (readonly [string, Access, Principal | null, string])[] = [
    ['deny refuses everybody', { kind: 'deny' }, ALICE, 'route.denied'],
    ['public lets nobody in', { kind: 'public' }, null, 'allow'],
    ['optional lets nobody in', { kind: 'optional' }, null, 'allow'],
    ['optional lets a session in', { kind: 'optional' }, ALICE, 'allow'],
    ['optional does not take an API key', { kind: 'optional' }, KEY, 'credential.kind'],
    ['login refuses nobody', { kind: 'login' }, null, 'credential.missing'],
    ['login lets a session in', { kind: 'login' }, ALICE, 'allow'],
    ['login lets a token in', { kind: 'login' }, { ...ALICE, credential: 'token' }, 'allow'],
    ['login does not take an API key', { kind: 'login' }, KEY, 'credential.kind'],
    ['a requirement refuses nobody', required(), null, 'credential.missing'],
    ['a requirement that asks for nothing still needs a session or token', required(), KEY, 'credential.kind'],
    ['a requirement without any check refuses nobody', nested(), null, 'credential.missing'],
  ]
  for (const [title, access, principal, expected] of rows) {
    test(`[FR-039] ${title}`, () => expect(decide(access, principal)).toBe(expected))
  }
})

/** What a check says of a caller: it lets in only what is met, and its opposite only what is known to be unmet. */
const truths: readonly (readonly [string, Check, Principal, boolean | null])[] = [
  ['the credential that is named', { kind: 'with', anyOf: ['session'] }, ALICE, true],
  ['another credential', { kind: 'with', anyOf: ['token', 'key'] }, ALICE, false],
  ['one role of a list', role('admin', 'editor'), ALICE, true],
  ['a role in another spelling', role('Editor'), ALICE, false],
  ['a role, of who has none', role('editor'), { ...ALICE, roles: [] }, null],
  ['one scope of a list', { kind: 'scope', anyOf: ['x', 'books:read'] }, ALICE, true],
  ['another scope', { kind: 'scope', anyOf: ['books'] }, ALICE, false],
  ['a scope, of who has none', { kind: 'scope', anyOf: ['x'] }, { ...ALICE, scopes: [] }, null],
  ['one group of a list', { kind: 'group', anyOf: ['a', 'b'] }, { ...ALICE, groups: ['b', 'c'] }, true],
  ['another group', { kind: 'group', anyOf: ['a'] }, { ...ALICE, groups: ['b'] }, false],
  ['a group, of who is in none', { kind: 'group', anyOf: ['a'] }, ALICE, null],
  ['an e-mail in another case', { kind: 'email', anyOf: ['b@c', 'alice@EXAMPLE.com'] }, ALICE, true],
  ['an e-mail that goes on', { kind: 'email', anyOf: ['alice@example.com.evil'] }, ALICE, false],
  ['a foreign letter', { kind: 'email', anyOf: ['kim@b.c'] }, { ...ALICE, email: '\u212Aim@b.c' }, false],
  ['a sign that is 32 apart', { kind: 'email', anyOf: ['a`@b.c'] }, { ...ALICE, email: 'a@@b.c' }, false],
  [
    'an e-mail nobody proved',
    { kind: 'email', anyOf: ['alice@example.com'] },
    { ...ALICE, emailVerified: false },
    null,
  ],
  ['no e-mail', { kind: 'email', anyOf: ['a@b'] }, { ...ALICE, email: null }, null],
  ['the value of a claim', claim('ops', 'eng'), claiming('eng'), true],
  ['another value', claim('eng'), claiming('hr'), false],
  ['a value in another case', claim('eng'), claiming('Eng'), false],
  ['a number', claim(3), claiming(3), true],
  ['a number for its digits', claim('3'), claiming(3), null],
  ['a text for what it says', claim(true), claiming('true'), null],
  ['another value of a type among several', claim(true, 'yes'), claiming('no'), false],
  ['one of a list', claim('eng'), claiming(['hr', 'eng']), true],
  ['none of a list', claim('eng'), claiming(['hr', 'ops']), false],
  ['a list that cannot be compared', claim('eng'), claiming(['hr', 7]), null],
  ['an empty list', claim('eng'), claiming([]), null],
  ['no such claim', claim('eng'), ALICE, null],
  ['a claim that every object has', { kind: 'claim', name: '__proto__', anyOf: ['x'] }, ALICE, null],
  ['a condition that is true', when(true), ALICE, true],
  ['a condition that is false', when(false), ALICE, false],
  ['a condition that fails', when(null), ALICE, null],
  ['a condition that is like true', when(1), ALICE, null],
  ['a condition that is like false', when(0), ALICE, null],
  ['a condition that says nothing', when(undefined), ALICE, null],
  ['a second factor', MFA, { ...ALICE, hasSecondFactor: true }, true],
  ['one factor', MFA, ALICE, false],
  ['a recent sign-in', fresh(600_000), ALICE, true],
  ['an old sign-in', fresh(599_999), ALICE, false],
  ['a sign-in by a clock a little ahead', fresh(1000), signedIn(NOW_MS + 60_000), true],
  ['a sign-in in the future', fresh(1000), signedIn(NOW_MS + 60_001), null],
  ['a sign-in at no time', fresh(1000), signedIn(Number.NaN), null],
  ['a sign-in nobody knows the time of', fresh(1000), signedIn(null), null],
  ['one of two', any(role('x'), role('editor')), ALICE, true],
  ['one of two, the other unknown', any(claim('x'), role('editor')), ALICE, true],
  ['neither', any(role('x'), role('y')), ALICE, false],
  ['neither as far as is known', any(role('x'), claim('y')), ALICE, null],
  ['all of one branch', any([role('editor'), { kind: 'with', anyOf: ['session'] }]), ALICE, true],
  ['half of a branch', any([role('editor'), MFA]), ALICE, false],
  ['a branch that asks for nothing', any([]), ALICE, null],
  ['not what is met', not(role('editor')), ALICE, false],
  ['not what is unmet', not(role('x')), ALICE, true],
  ['not what is unknown', not(claim('x')), ALICE, null],
  ['not all of two', not(role('editor'), MFA), ALICE, true],
  ['not all of two, one unknown', not(role('editor'), claim('x')), ALICE, null],
  ['not all of two, one unmet and one unknown', not(claim('x'), MFA), ALICE, true],
  ['not nothing', not(), ALICE, null],
  ['not not', not(not(role('editor'))), ALICE, true],
  ['neither one nor the other', not(any(role('x'), MFA)), ALICE, true],
]

describe('each check', () => {
  for (const [title, check, principal, truth] of truths) {
    test(`[FR-039] ${title} is ${truth === null ? 'unknown' : truth ? 'met' : 'unmet'}`, () => {
      expect(decide(required(check), principal) === 'allow').toBe(truth === true)
      expect(decide(required(not(check)), principal) === 'allow').toBe(truth === false)
      expect(decide(required(any(check)), principal) === 'allow').toBe(truth === true)
      expect(decide(required(not(not(check))), principal) === 'allow').toBe(truth === true)
    })
  }

  test('[FR-039] the demo may match e-mail addresses nobody has proved', () => {
    const unverified: Principal = { ...ALICE, emailVerified: false }
    const asked = required({ kind: 'email', anyOf: ['alice@example.com'] })
    expect(decide(asked, unverified, FACTS, true)).toBe('allow')
    expect(decide(asked, unverified)).toBe('email.missing')
  })

  test('[FR-039] keys are ANDed: each one that is not met has its own reason, the first counts', () => {
    const scope: Check = { kind: 'scope', anyOf: ['books:write'] }
    expect(decide(required(role('editor'), scope), ALICE)).toBe('scope.missing')
    expect(decide(required(role('x'), scope), ALICE)).toBe('role.missing')
    expect(decide(required({ kind: 'group', anyOf: ['x'] }), ALICE)).toBe('group.missing')
    expect(decide(required(claim('x')), ALICE)).toBe('claim.missing')
    expect(decide(required(not(role('editor'))), ALICE)).toBe('not.met')
    expect(decide(required(when(false)), ALICE)).toBe('condition.false')
    expect(decide(required(any(role('x'), role('y'))), ALICE)).toBe('any.unmet')
  })
})

describe('addresses', () => {
  const office = ip('10.0.0.0/8', '2001:db8::/32')
  const onlyIp: Access = { kind: 'require', needsPrincipal: false, checks: [office, ...required().checks] }
  const rows: readonly (readonly [string, Access, Principal | null, string, string])[] = [
    ['nothing but `ip` lets nobody in', onlyIp, null, '10.1.2.3', 'allow'],
    ['and refuses them elsewhere', onlyIp, null, '11.1.2.3', 'address.elsewhere'],
    ['it lets somebody in', onlyIp, ALICE, '2001:db8::7', 'allow'],
    ['it does not take an API key', onlyIp, KEY, '10.1.2.3', 'credential.kind'],
    [
      'with another key it needs a caller',
      { ...required(), checks: [office, role('x')] },
      null,
      '10.1.2.3',
      'credential.missing',
    ],
    [
      'who is elsewhere is not asked to sign in',
      { ...required(), checks: [office, role('x')] },
      null,
      '11.1.2.3',
      'address.elsewhere',
    ],
    ['`ip` alone, marked as needing a caller, needs one', nested(office), null, '10.1.2.3', 'credential.missing'],
    [
      'what needs a caller by its kind needs one',
      { ...onlyIp, checks: [office, role('x')] },
      null,
      '10.1.2.3',
      'credential.missing',
    ],
    ['`not` shuts a network out', required(not(office)), ALICE, '10.1.2.3', 'not.met'],
    ['and lets others in', required(not(office)), ALICE, '11.1.2.3', 'allow'],
    ['what is no address is nowhere', required(office), ALICE, 'unknown', 'address.elsewhere'],
    ['nor elsewhere', required(not(office)), ALICE, 'unknown', 'not.met'],
  ]
  for (const [title, access, principal, address, expected] of rows) {
    test(`[FR-039] ${title}`, () => expect(decide(access, principal, from(address))).toBe(expected))
  }
})

describe('step-up', () => {
  const refusal = (access: Access, principal: Principal, facts = FACTS) => {
    const decided = authorize(access, principal, facts, false)
    return decided === ALLOW ? null : { reason: decided.reason, stepUp: decided.stepUp }
  }
  const asks = (isSecondFactorNeeded: boolean, maxAgeMs: number | null) => ({
    reason: isSecondFactorNeeded ? 'mfa.missing' : 'fresh.stale',
    stepUp: { isSecondFactorNeeded, maxAgeMs },
  })
  const none = (reason: string) => ({ reason, stepUp: null })
  const rows: readonly (readonly [string, readonly Check[], Principal, unknown])[] = [
    ['a second factor', [MFA], ALICE, asks(true, null)],
    ['a recent sign-in', [fresh(1000)], ALICE, asks(false, 1000)],
    ['a sign-in whose time is known', [fresh(1000)], signedIn(null), asks(false, 1000)],
    ['both at once', [MFA, fresh(1000)], ALICE, asks(true, 1000)],
    ['only what is missing', [MFA, fresh(600_000)], ALICE, asks(true, null)],
    ['the shorter of two ages', [any(fresh(2000)), fresh(1000)], ALICE, asks(false, 1000)],
    ['what the one branch lacks that it would mend', [any(role('x'), MFA)], ALICE, asks(true, null)],
    ['the first such branch', [any(fresh(1000), MFA)], ALICE, asks(false, 1000)],
    ['a branch’s and what stands beside it', [any(role('x'), MFA), fresh(1000)], ALICE, asks(true, 1000)],
    ['of a branch within a branch', [any(any(role('x'), [role('editor'), MFA]))], ALICE, asks(true, null)],
    ['nothing, where a role is missing too', [role('x'), MFA], ALICE, none('role.missing')],
    ['nothing, whatever stands first', [MFA, role('x')], ALICE, none('role.missing')],
    ['nothing, where the branch lacks more', [any([role('x'), MFA])], ALICE, none('any.unmet')],
    ['nothing, where another key has no branch', [MFA, any(role('x'))], ALICE, none('any.unmet')],
    ['nothing, where `not` shuts out', [not(role('editor')), MFA], ALICE, none('not.met')],
    ['nothing, for not having been fresh', [not(fresh(3_600_000))], ALICE, none('not.met')],
  ]
  for (const [title, checks, principal, expected] of rows) {
    test(`[FR-040] the refusal offers ${title}`, () => {
      expect(refusal(required(...checks), principal)).toEqual(expected)
    })
  }

  test('[FR-040] a key is never asked to sign in', () => {
    const taken: Check = { kind: 'with', anyOf: ['session', 'key'] }
    expect(refusal(nested(taken, MFA), KEY)).toEqual(none('credential.kind'))
    expect(refusal(nested(taken, fresh(1000)), KEY)).toEqual(none('credential.kind'))
    expect(refusal(nested(taken, any(MFA)), KEY)).toEqual(none('any.unmet'))
  })

  test('[FR-040] who is in the office is not asked for a second factor', () => {
    const access = required(any(ip('10.0.0.0/8'), MFA))
    expect(refusal(access, ALICE, from('10.1.2.3'))).toBeNull()
    expect(refusal(access, ALICE, from('11.1.2.3'))).toEqual(asks(true, null))
  })

  test('[FR-039] refusals are shared and frozen: nobody can change one', () => {
    for (const access of [{ kind: 'login' } as const, required(role('x')), required(MFA, fresh(1000))]) {
      const principal = access.kind === 'login' ? null : ALICE
      const first = authorize(access, principal, FACTS, false)
      expect(authorize(access, principal, FACTS, false)).toBe(first)
      expect(first).toBeInstanceOf(Refusal)
      expect(Object.isFrozen(first)).toBe(true)
    }
  })
})
