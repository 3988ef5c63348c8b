/** Compares what two routes ask of their callers: is everybody whom one lets in let in by the other too? Says so only where it is certain. */

import type { Access, AccessByMethod, Check, Requirement } from '../rules.ts'

/** Of the first of two: whom it lets in. */
export type Strictness = 'same' | 'looser' | 'stricter' | 'unknown'

/** `areParamsAlike`: both patterns name the same parameters in the same places, so a condition on them is about the same things. */
export function compareAccess(a: AccessByMethod, b: AccessByMethod, areParamsAlike: boolean): Strictness {
  const classes = methodClasses(a, b)
  const isWithin = (one: AccessByMethod, other: AccessByMethod) =>
    classes.every((method) => isAccessWithin(accessOf(one, method), accessOf(other, method), areParamsAlike))
  const [isStricter, isLooser] = [isWithin(a, b), isWithin(b, a)]
  if (isStricter && isLooser) return 'same'
  if (isStricter) return 'stricter'
  return isLooser ? 'looser' : 'unknown'
}

/** One method of each kind that two maps can tell apart. The last two are keys that no request can name. */
export function methodClasses(...maps: readonly AccessByMethod[]): readonly string[] {
  const named = maps.flatMap((map) => [...map.keys()].filter((key) => /^[A-Z]/.test(key)))
  return [...new Set(['GET', 'HEAD', ...named, 'write', 'websocket'])]
}

/** As the matcher reads the map; `write` stands for a method that neither map names. */
export function accessOf(map: AccessByMethod, method: string): Access | null {
  const isRead = method === 'GET' || method === 'HEAD'
  return map.get(method) ?? (isRead ? undefined : map.get('write')) ?? map.get('*') ?? null
}

export function isAccessWithin(a: Access | null, b: Access | null, areParamsAlike: boolean): boolean {
  if (a === null || a.kind === 'deny') return true
  if (b === null || b.kind === 'deny') return false
  if (b.kind === 'public') return true
  if (a.kind === 'public') return false
  if (a.kind === 'optional') return b.kind === 'optional'
  const [inner, outer] = [asRequirement(a), b.kind === 'optional' ? ANY_INTERACTIVE : asRequirement(b)]
  return isRequirementWithin(inner, outer, areParamsAlike)
}

const INTERACTIVE: Check = { kind: 'with', anyOf: ['session', 'token'] }
const ANY_INTERACTIVE: Requirement = { kind: 'require', needsPrincipal: false, checks: [INTERACTIVE] }

function asRequirement(access: Exclude<Access, { kind: 'deny' | 'public' | 'optional' }>): Requirement {
  return access.kind === 'login' ? { kind: 'require', needsPrincipal: true, checks: [INTERACTIVE] } : access
}

function isRequirementWithin(a: Requirement, b: Requirement, areParamsAlike: boolean): boolean {
  if (b.needsPrincipal && !a.needsPrincipal) return false
  return b.checks.every((wanted) => a.checks.some((given) => implies(given, wanted, areParamsAlike)))
}

/** Who meets `given` meets `wanted` too. */
function implies(given: Check, wanted: Check, areParamsAlike: boolean): boolean {
  switch (wanted.kind) {
    case 'ip':
      return given.kind === 'ip' && given.networks.every((network) => wanted.networks.includes(network))
    case 'with':
    case 'role':
    case 'scope':
    case 'group':
    case 'email':
      return given.kind === wanted.kind && isSubset(given.anyOf, wanted.anyOf)
    case 'claim':
      return given.kind === 'claim' && given.name === wanted.name && isSubset(given.anyOf, wanted.anyOf)
    case 'mfa':
      return given.kind === 'mfa'
    case 'fresh':
      return given.kind === 'fresh' && given.maxAgeMs <= wanted.maxAgeMs
    case 'when':
      return given.kind === 'when' && given.source === wanted.source && isPortable(given.source, areParamsAlike)
    case 'any':
      return alternativesOf(given).every((one) => {
        return wanted.of.some((other) => isRequirementWithin(one, other, areParamsAlike))
      })
    case 'not':
      return given.kind === 'not' && isRequirementWithin(wanted.of, given.of, areParamsAlike)
  }
}

function isSubset(inner: readonly unknown[], outer: readonly unknown[]): boolean {
  return inner.every((value) => outer.includes(value))
}

function alternativesOf(check: Check): readonly Requirement[] {
  return check.kind === 'any' ? check.of : [{ kind: 'require', needsPrincipal: true, checks: [check] }]
}

/** Means the same on another route: it reads neither path nor host, and parameters only where they are the same. */
function isPortable(source: string, areParamsAlike: boolean): boolean {
  if (/host/i.test(source) || /\brequest\b(?!\s*\.\s*(?:ip|method|query|headers)\b)/.test(source)) return false
  return areParamsAlike || !/\bparams\b/.test(source)
}
