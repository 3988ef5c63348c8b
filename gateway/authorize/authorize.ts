/**
 * Whether a principal meets what a route asks. Only ALLOW lets a request in; every other way out of this file is a Refusal,
 * and a fact that is missing never satisfies anything, nor its opposite (SECURITY rule 18).
 */

import { parseAddress } from '../http/address.ts'
import { ALLOW, type ClaimValue, type Decision, type Principal, Refusal, type StepUp } from '../model.ts'
import type { Access, Check, PolicyFacts, Requirement } from '../rules.ts'

const DENIED = Object.freeze(new Refusal('route.denied'))
const NO_CREDENTIAL = Object.freeze(new Refusal('credential.missing'))
const WRONG_CREDENTIAL = Object.freeze(new Refusal('credential.kind'))
const NO_ALTERNATIVE = Object.freeze(new Refusal('any.unmet'))

/** For what no sign-in would mend. */
const REFUSALS: Readonly<Record<Exclude<Check['kind'], 'any' | 'mfa' | 'fresh'>, Refusal>> = {
  ip: Object.freeze(new Refusal('address.elsewhere')),
  with: WRONG_CREDENTIAL,
  role: Object.freeze(new Refusal('role.missing')),
  scope: Object.freeze(new Refusal('scope.missing')),
  group: Object.freeze(new Refusal('group.missing')),
  email: Object.freeze(new Refusal('email.missing')),
  claim: Object.freeze(new Refusal('claim.missing')),
  not: Object.freeze(new Refusal('not.met')),
  when: Object.freeze(new Refusal('condition.false')),
}

export function authorize(
  access: Access,
  principal: Principal | null,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): Decision {
  switch (access.kind) {
    case 'deny':
      return DENIED
    case 'public':
      return ALLOW
    case 'optional':
      return principal === null || isInteractive(principal) ? ALLOW : WRONG_CREDENTIAL
    case 'login':
      if (principal === null) return NO_CREDENTIAL
      return isInteractive(principal) ? ALLOW : WRONG_CREDENTIAL
    case 'require':
      return meets(access, principal, facts, allowUnverifiedEmail)
  }
}

/** Without `with`, a session or a token will do; keys only where a route names them. */
function isInteractive(principal: Principal): boolean {
  return principal.credential === 'session' || principal.credential === 'token'
}

/** Whose network is wrong is told so before being asked to sign in. */
function meets(
  { checks, needsPrincipal }: Requirement,
  principal: Principal | null,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): Decision {
  for (const check of checks) {
    if (principal === null && check.kind !== 'ip') {
      if (needsPrincipal || check.kind !== 'with') return NO_CREDENTIAL
      continue // it says which credentials may come, and none came
    }
    if (ask(check, principal, facts, allowUnverifiedEmail) !== true) {
      return principal === null ? REFUSALS.ip : refuse(checks, principal, facts, allowUnverifiedEmail)
    }
  }
  return principal === null && needsPrincipal ? NO_CREDENTIAL : ALLOW
}

/** Kleene's logic: true when the check is met, false when it is not, null when a fact is missing. */
export function ask(
  check: Check,
  principal: Principal | null,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): boolean | null {
  if (check.kind === 'ip') return isWithin(check.contains, facts.head.clientAddress)
  if (principal === null) return null
  switch (check.kind) {
    case 'with':
      return check.anyOf.includes(principal.credential)
    case 'role':
      return oneOf(check.anyOf, principal.roles)
    case 'scope':
      return oneOf(check.anyOf, principal.scopes)
    case 'group':
      return oneOf(check.anyOf, principal.groups)
    case 'email':
      return ownsEmail(check.anyOf, principal, allowUnverifiedEmail)
    case 'claim':
      return Object.hasOwn(principal.claims, check.name) ? says(check.anyOf, principal.claims[check.name]!) : null
    case 'any':
      return anyOf(check.of, principal, facts, allowUnverifiedEmail)
    case 'not': {
      const found = allOf(check.of, principal, facts, allowUnverifiedEmail)
      return found === null ? null : !found
    }
    case 'when': {
      const found: unknown = check.condition(facts, principal)
      return typeof found === 'boolean' ? found : null
    }
    case 'mfa':
      return principal.hasSecondFactor
    case 'fresh':
      return isFresh(check.maxAgeMs, principal, facts.head.receivedAtMs)
  }
}

function anyOf(
  of: readonly Requirement[],
  principal: Principal,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): boolean | null {
  let found: boolean | null = false
  for (const one of of) {
    const isMet = allOf(one, principal, facts, allowUnverifiedEmail)
    if (isMet === true) return true
    if (isMet === null) found = null
  }
  return found
}

/** What asks for nothing is no reason to let anybody in. */
function allOf(
  { checks }: Requirement,
  principal: Principal,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): boolean | null {
  let found: boolean | null = checks.length === 0 ? null : true
  for (const check of checks) {
    const isMet = ask(check, principal, facts, allowUnverifiedEmail)
    if (isMet === false) return false
    if (isMet === null) found = null
  }
  return found
}

/** What is no address is nowhere, and nowhere else either. */
function isWithin(contains: (address: string) => boolean, address: string): boolean | null {
  if (contains(address)) return true
  return parseAddress(address) === null ? null : false
}

/** Who has none at all is not known to lack one in particular. */
function oneOf(wanted: readonly string[], had: readonly string[]): boolean | null {
  if (had.length === 0) return null
  for (const value of wanted) if (had.includes(value)) return true
  return false
}

/** Of a list, any one. */
function says(wanted: readonly ClaimValue[], value: ClaimValue | readonly ClaimValue[]): boolean | null {
  if (typeof value !== 'object') return equalsOneOf(wanted, value)
  let found: boolean | null = value.length === 0 ? null : false
  for (const one of value) {
    const isEqual = equalsOneOf(wanted, one)
    if (isEqual === true) return true
    if (isEqual === null) found = null
  }
  return found
}

/** `"true"` is not `true`, and does not prove its opposite: values of different types cannot be compared. */
function equalsOneOf(wanted: readonly ClaimValue[], value: ClaimValue): boolean | null {
  if (wanted.includes(value)) return true
  for (const one of wanted) if (typeof one === typeof value) return false
  return null
}

/** An address nobody has proved to own matches nothing (SECURITY rule 11). */
function ownsEmail(emails: readonly string[], principal: Principal, allowUnverifiedEmail: boolean): boolean | null {
  const { email } = principal
  if (email === null || !(principal.emailVerified || allowUnverifiedEmail)) return null
  for (const wanted of emails) if (isSameText(wanted, email)) return true
  return false
}

/** Case is folded in ASCII only: Unicode folding turns a foreign letter (U+212A) into an ordinary one. */
function isSameText(a: string, b: string): boolean {
  if (a.length !== b.length) return false
  for (let at = 0; at < a.length; at += 1) if (folded(a.charCodeAt(at)) !== folded(b.charCodeAt(at))) return false
  return true
}

function folded(code: number): number {
  return code >= 65 && code <= 90 ? code + 32 : code
}

/** Two nodes' clocks may differ by so much; a sign-in further ahead is one from before a clock was set back. */
const CLOCK_MS = 60_000

/** When the caller signed in, as far as that can be believed: null for a time to come, and for none that a clock could show. */
export function signedInAtMs({ authenticatedAtMs }: Principal, nowMs: number): number | null {
  if (authenticatedAtMs === null || !(nowMs - authenticatedAtMs >= -CLOCK_MS)) return null
  return authenticatedAtMs >= 0 ? authenticatedAtMs : null
}

function isFresh(maxAgeMs: number, principal: Principal, nowMs: number): boolean | null {
  const atMs = signedInAtMs(principal, nowMs)
  return atMs === null ? null : nowMs - atMs <= maxAgeMs
}

/** Of a requirement that is not met. A step-up is offered only where nothing else is missing. */
function refuse(
  checks: readonly Check[],
  principal: Principal,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): Refusal {
  const need = needOf(checks, principal, facts, allowUnverifiedEmail)
  return need instanceof Refusal ? need : challenge(need)
}

/** What signing in again would have to show for all of these to be met, or the refusal that no sign-in would mend. */
function needOf(
  checks: readonly Check[],
  principal: Principal,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): StepUp | Refusal {
  let isSecondFactorNeeded = false
  let maxAgeMs: number | null = null
  for (const check of checks) {
    if (ask(check, principal, facts, allowUnverifiedEmail) === true) continue
    const need = needOfOne(check, principal, facts, allowUnverifiedEmail)
    if (need instanceof Refusal) return need
    isSecondFactorNeeded ||= need.isSecondFactorNeeded
    if (need.maxAgeMs !== null) maxAgeMs = Math.min(need.maxAgeMs, maxAgeMs ?? Number.POSITIVE_INFINITY)
  }
  return { isSecondFactorNeeded, maxAgeMs }
}

function needOfOne(
  check: Check,
  principal: Principal,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): StepUp | Refusal {
  switch (check.kind) {
    case 'any':
      for (const { checks } of check.of) {
        const need = needOf(checks, principal, facts, allowUnverifiedEmail)
        if (!(need instanceof Refusal)) return need
      }
      return NO_ALTERNATIVE
    case 'mfa':
    case 'fresh':
      if (principal.credential === 'key') return WRONG_CREDENTIAL // a key never signs in
      return check.kind === 'mfa'
        ? { isSecondFactorNeeded: true, maxAgeMs: null }
        : { isSecondFactorNeeded: false, maxAgeMs: check.maxAgeMs }
    default:
      return REFUSALS[check.kind]
  }
}

/** Policies hold few different ages, so each challenge is made once. */
const CHALLENGES_MAX = 1024
const challenges = new Map<string, Refusal>()

function challenge(stepUp: StepUp): Refusal {
  const key = `${stepUp.isSecondFactorNeeded} ${stepUp.maxAgeMs}`
  const known = challenges.get(key)
  if (known !== undefined) return known
  const reason = stepUp.isSecondFactorNeeded ? 'mfa.missing' : 'fresh.stale'
  const made = Object.freeze(new Refusal(reason, { stepUp: Object.freeze(stepUp) }))
  if (challenges.size >= CHALLENGES_MAX) challenges.clear()
  challenges.set(key, made)
  return made
}
