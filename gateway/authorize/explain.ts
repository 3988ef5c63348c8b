/** How each check of a route came out for one caller, in words: for people who ask why. Decides nothing; `authorize` does. */

import type { ClaimValue, CredentialKind, Finding, Principal } from '../model.ts'
import type { Access, Check, PolicyFacts, Requirement } from '../rules.ts'
import { ask, signedInAtMs } from './authorize.ts'

type Verdict = Finding['verdict']

interface Scene {
  readonly principal: Principal | null
  readonly facts: PolicyFacts
  readonly allowUnverifiedEmail: boolean
}

const INTERACTIVE: readonly CredentialKind[] = ['session', 'token']

/**
 * Every check in the order it is asked, the later ones too: a person wants to see all that is missing. The caller is let in
 * exactly where each finding is `met`. Null access is a method the route does not list.
 */
export function explainAccess(
  access: Access | null,
  principal: Principal | null,
  facts: PolicyFacts,
  allowUnverifiedEmail: boolean,
): readonly Finding[] {
  const { head } = facts
  if (access === null) {
    return [found('method', 'a method the route lists', head.isUpgrade ? 'WEBSOCKET' : head.method, 'unmet')]
  }
  const scene = { principal, facts, allowUnverifiedEmail }
  switch (access.kind) {
    case 'deny':
      return [found('deny', 'nobody', principal === null ? 'nobody' : 'somebody', 'unmet')]
    case 'public':
      return []
    case 'optional':
      return [explainWith(INTERACTIVE, principal, false)]
    case 'login':
      return [explainLogin(principal), explainWith(INTERACTIVE, principal, true)]
    case 'require':
      return explainRequirement(access, scene)
  }
}

function explainRequirement({ checks, needsPrincipal }: Requirement, scene: Scene): readonly Finding[] {
  const { principal } = scene
  const findings: Finding[] = []
  let isLoginAsked = !needsPrincipal
  for (const check of checks) {
    if (!isLoginAsked && check.kind !== 'ip') {
      findings.push(explainLogin(principal))
      isLoginAsked = true
    }
    findings.push(
      check.kind === 'with' ? explainWith(check.anyOf, principal, needsPrincipal) : explainCheck(check, scene),
    )
  }
  if (!isLoginAsked) findings.push(explainLogin(principal))
  return findings
}

function explainLogin(principal: Principal | null): Finding {
  return found('login', 'somebody', principal === null ? 'nobody' : 'somebody', principal === null ? 'unmet' : 'met')
}

function explainWith(anyOf: readonly CredentialKind[], principal: Principal | null, isNeeded: boolean): Finding {
  const needed = either(anyOf)
  if (principal === null) return found('with', needed, 'no credential', isNeeded ? 'skipped' : 'met')
  return found('with', needed, principal.credential, anyOf.includes(principal.credential) ? 'met' : 'unmet')
}

function explainCheck(check: Check, scene: Scene): Finding {
  const { principal, facts, allowUnverifiedEmail } = scene
  const verdict = verdictOf(ask(check, principal, facts, allowUnverifiedEmail))
  if (check.kind === 'ip') return found('ip', either(check.networks), plain(facts.head.clientAddress), verdict)
  const of = membersOf(check, scene)
  if (principal === null) return { ...found(check.kind, neededOf(check), 'nobody', 'skipped'), of }
  return { ...found(check.kind, neededOf(check), hadOf(check, principal, scene, verdict), verdict), of }
}

function membersOf(check: Check, scene: Scene): readonly Finding[] {
  if (check.kind === 'any') return check.of.map((one) => explainBranch(one, scene))
  return check.kind === 'not' ? check.of.checks.map((one) => explainCheck(one, scene)) : NONE
}

/** A branch with one check is that check. */
function explainBranch({ checks }: Requirement, scene: Scene): Finding {
  const of = checks.map((check) => explainCheck(check, scene))
  const [only] = of
  if (of.length === 1 && only !== undefined) return only
  return { ...found('all', 'all of these', '', worstOf(of)), of }
}

function worstOf(findings: readonly Finding[]): Verdict {
  const verdicts = findings.map(({ verdict }) => verdict)
  if (verdicts.includes('unmet')) return 'unmet'
  if (verdicts.includes('skipped')) return 'skipped'
  return verdicts.length === 0 || verdicts.includes('unknown') ? 'unknown' : 'met'
}

type OfCaller = Exclude<Check, { readonly kind: 'ip' }>

function neededOf(check: OfCaller): string {
  switch (check.kind) {
    case 'claim':
      return `${check.name} ${either(check.anyOf)}`
    case 'any':
      return 'one of these'
    case 'not':
      return 'not all of this'
    case 'when':
      return check.source
    case 'mfa':
      return 'a second factor'
    case 'fresh':
      return `a sign-in within ${span(check.maxAgeMs)}`
    default:
      return either(check.anyOf)
  }
}

function hadOf(check: OfCaller, principal: Principal, scene: Scene, verdict: Verdict): string {
  const { facts, allowUnverifiedEmail } = scene
  switch (check.kind) {
    case 'with':
      return principal.credential
    case 'role':
      return list(principal.roles)
    case 'scope':
      return list(principal.scopes)
    case 'group':
      return list(principal.groups)
    case 'email': {
      const { email, emailVerified } = principal
      if (email === null) return NOTHING
      return emailVerified || allowUnverifiedEmail ? plain(email) : `${plain(email)}, which is not verified`
    }
    case 'claim': {
      const value = Object.hasOwn(principal.claims, check.name) ? principal.claims[check.name]! : []
      return list(typeof value === 'object' ? value : [value])
    }
    case 'any':
    case 'not':
      return WHOLES[check.kind][verdict]
    case 'when':
      return verdict === 'unknown' ? `cannot be told${missingFacts(check.source, scene)}` : String(verdict === 'met')
    case 'mfa':
      return principal.hasSecondFactor ? 'a second factor' : 'none'
    case 'fresh': {
      const { authenticatedAtMs } = principal
      if (authenticatedAtMs === null) return 'no known time of sign-in'
      const ageMs = facts.head.receivedAtMs - authenticatedAtMs
      return verdict === 'unknown' ? 'a sign-in in the future' : `a sign-in ${about(ageMs)} ago`
    }
  }
}

const NOTHING = 'nothing'
const WHOLES: Readonly<Record<'any' | 'not', Readonly<Record<Verdict, string>>>> = {
  any: { met: 'one of them', unmet: 'none of them', unknown: 'cannot be told', skipped: 'nobody' },
  not: { met: 'not all of it', unmet: 'all of it', unknown: 'cannot be told', skipped: 'nobody' },
}

/** Which facts about the caller a condition names and nobody knows. What came with the request is not repeated here. */
function missingFacts(source: string, { principal, facts, allowUnverifiedEmail }: Scene): string {
  if (principal === null) return ''
  const { email, emailVerified, name, claims } = principal
  const missing = [
    ...(email === null || !(emailVerified || allowUnverifiedEmail) ? ['user.email'] : []),
    ...(name === null ? ['user.name'] : []),
    ...(signedInAtMs(principal, facts.head.receivedAtMs) === null ? ['user.signedInAt'] : []),
  ].filter((fact) => new RegExp(`\\b${fact.replace('.', '\\.')}\\b`).test(source))
  for (const [, claim] of source.matchAll(/\buser\.claims\.([A-Za-z0-9_]+)/g)) {
    if (!Object.hasOwn(claims, claim!)) missing.push(`user.claims.${claim}`)
  }
  return missing.length === 0 ? '' : `: no ${[...new Set(missing)].join(', no ')}`
}

function verdictOf(isMet: boolean | null): Verdict {
  return isMet === null ? 'unknown' : isMet ? 'met' : 'unmet'
}

function found(key: string, needed: string, had: string, verdict: Verdict): Finding {
  return { key, needed, had, verdict, of: NONE }
}

const NONE: readonly Finding[] = Object.freeze([])

/** A list may hold thousands, and each refusal of a flood writes this down. */
function either(values: readonly ClaimValue[]): string {
  const more = values.length - VALUES_SHOWN_MAX
  if (more > 0) return `${values.slice(0, VALUES_SHOWN_MAX).map(plain).join(', ')} or one of ${more} more`
  const texts = values.map(plain)
  return texts.length < 2 ? texts.join('') : `${texts.slice(0, -1).join(', ')} or ${texts.at(-1)}`
}

const VALUES_SHOWN_MAX = 16
const CHARS_SHOWN_MAX = 128

function list(values: readonly ClaimValue[]): string {
  if (values.length === 0) return NOTHING
  const shown = values.slice(0, VALUES_SHOWN_MAX).map(plain).join(', ')
  const more = values.length - VALUES_SHOWN_MAX
  return more > 0 ? `${shown} and ${more} more` : shown
}

/** A strange issuer wrote some of these: nothing in them moves a terminal's cursor or fills a screen. */
function plain(value: ClaimValue): string {
  const text = String(value).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')
  return text.length > CHARS_SHOWN_MAX ? `${text.slice(0, CHARS_SHOWN_MAX)}...` : text
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const

/** As the policy writes it. */
function span(ms: number): string {
  const [unit, unitMs] = UNITS.find(([, each]) => ms % each === 0) ?? (['ms', 1] as const)
  return `${ms / unitMs}${unit}`
}

function about(ms: number): string {
  const [unit, unitMs] = UNITS.find(([, each]) => ms >= each) ?? (['s', 1000] as const)
  return `${Math.max(0, Math.floor(ms / unitMs))}${unit}`
}
