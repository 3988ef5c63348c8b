/** What a route asks of its caller, in plain words, per group of methods that are asked the same. */

import type { ClaimValue, CredentialKind } from '../model.ts'
import type { Access, AccessByMethod, Check, Limit, Requirement, Route } from '../rules.ts'

/** Methods of a route that share one access. */
export interface MethodGroup {
  /** `all methods`, `read`, `write`, `WEBSOCKET`, or methods by name. */
  readonly label: string
  readonly access: Access
}

export function methodGroups(access: AccessByMethod): readonly MethodGroup[] {
  const keys = new Map<Access, string[]>()
  for (const [key, single] of access) {
    const known = keys.get(single)
    if (known === undefined) keys.set(single, [key])
    else known.push(key)
  }
  return [...keys].map(([single, of]) => ({ label: labelOf(of), access: single }))
}

function labelOf(keys: readonly string[]): string {
  if (keys.includes('*')) return 'all methods'
  if (keys.includes('write')) return keys.includes('websocket') ? 'write' : 'write but WEBSOCKET'
  const names = keys.map((key) => (key === 'websocket' ? 'WEBSOCKET' : key))
  return names.length === 2 && names.includes('GET') && names.includes('HEAD') ? 'read' : names.join(', ')
}

/** `role editor or admin, and signed in within 15 minutes`. */
export function describeAccess(access: Access): string {
  switch (access.kind) {
    case 'deny':
      return 'nobody (404)'
    case 'public':
      return 'anybody'
    case 'optional':
      return 'anybody, and who they are when they are signed in'
    case 'login':
      return 'signed in'
    case 'require':
      return describeRequirement(access)
  }
}

export function describeRequirement({ checks }: Requirement): string {
  const words = checks.filter((check) => !isImplied(check)).map(describeCheck)
  return words.length === 0 ? 'signed in' : joined(words)
}

/** In parentheses, since each may ask for several things; one alternative is no choice. */
function anyWords(alternatives: readonly string[]): string {
  return alternatives.length === 1 ? alternatives[0]! : `either ${either(alternatives.map((words) => `(${words})`))}`
}

/** Without `with`, a session or a token: nobody wrote that, so nobody needs to read it. */
export function isImplied(check: Check): boolean {
  return check.kind === 'with' && check.anyOf.length === 2 && !check.anyOf.includes('key')
}

export function describeCheck(check: Check): string {
  switch (check.kind) {
    case 'ip':
      return `from ${either(check.networks)}`
    case 'with':
      return `with ${either(check.anyOf.map(credentialWords))}`
    case 'role':
    case 'scope':
    case 'group':
      return `${check.kind} ${either(check.anyOf)}`
    case 'email':
      return `e-mail ${either(check.anyOf)}`
    case 'claim':
      return `claim ${check.name} ${either(check.anyOf.map(claimWords))}`
    case 'not':
      return `not (${describeRequirement(check.of)})`
    case 'any':
      return anyWords(check.of.map(describeRequirement))
    case 'when':
      return `when \`${check.source}\``
    case 'mfa':
      return 'with a second factor'
    case 'fresh':
      return `signed in within ${durationWords(check.maxAgeMs)}`
  }
}

const CREDENTIALS: Readonly<Record<CredentialKind, string>> = {
  session: 'a session',
  token: 'a token',
  key: 'an API key',
}

export function credentialWords(kind: CredentialKind): string {
  return CREDENTIALS[kind]
}

export function claimWords(value: ClaimValue): string {
  return typeof value === 'string' ? value : String(value)
}

/** `a`, `a or b`, `a, b or c`. */
export function either(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

function joined(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')}, and ${words.at(-1)}`
}

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
] as const

/** In the largest unit that divides it: `15 minutes`, `1 hour`. */
export function durationWords(ms: number): string {
  for (const [noun, unitMs] of UNITS) {
    if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs} ${noun}${ms === unitMs ? '' : 's'}`
  }
  return `${ms} milliseconds`
}

export function describeLimits(limits: readonly Limit[]): string {
  return limits.map((limit) => limit.text).join(', ')
}

/** `/api -> /v2`, where the upstream sees another path; null where it sees the same. */
export function describeRewrite({ prefixSwap }: Route): string | null {
  return prefixSwap === null ? null : `${prefixSwap.strip || '/'} -> ${prefixSwap.add || '/'}`
}
