/**
 * Compares what two policies ask of a caller. Who is let in is a set, so access has a form in which order says nothing, and one
 * set can often be shown to lie within another. What cannot be shown is `changed`, never `same`.
 */

import { parseCidr } from '../../http/address.ts'
import type { Access, AccessByMethod, Check, Requirement } from '../../rules.ts'

/** `opened`: who was let in still is, and somebody else may be. `closed`: the reverse. `changed`: some of both, or nobody can tell. */
export type Change = 'opened' | 'changed' | 'closed'

/** What a route asks of a method, by the method's name, `WEBSOCKET`, or the empty string for every method nobody names. */
export type Asked = Access | null

/** Methods that clients use and that `read`, `write` and `*` speak for; others are one class, named by nobody. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'WEBSOCKET'] as const
/** Stands for every method that neither policy names. */
export const OTHER_METHODS = ''

/** All methods that one of the two could treat in a way of its own. */
export function methodsOf(before: AccessByMethod | null, after: AccessByMethod | null): readonly string[] {
  const methods = new Set<string>(METHODS)
  for (const access of [before, after]) {
    for (const key of access?.keys() ?? []) if (/^[A-Z]/.test(key)) methods.add(key)
  }
  return [...methods, OTHER_METHODS]
}

/** As `match` reads it: null for nobody, which is a method left out, `deny`, and no route at all. */
export function askedOf(access: AccessByMethod | null, method: string): Asked {
  if (access === null) return null
  const isRead = method === 'GET' || method === 'HEAD'
  const named = method === 'WEBSOCKET' ? access.get('websocket') : access.get(method)
  const found = named ?? (isRead ? undefined : access.get('write')) ?? access.get('*') ?? null
  return found?.kind === 'deny' ? null : found
}

/** How the set of those who are let in changed; null when it is the same, and they are told apart in the same way. */
export function compareAsked(before: Asked, after: Asked, names: Names): Change | null {
  if (accessKey(before, names.before) === accessKey(after, names.after)) return null
  if (isWithin(before, after, names)) return 'opened'
  return isWithin(after, before, { before: names.after, after: names.before }) ? 'closed' : 'changed'
}

/** Which segment each parameter of a pattern is: a condition that reads one means the segment and not the name. */
export type ParamPlaces = ReadonlyMap<string, number>

export interface Names {
  readonly before: ParamPlaces
  readonly after: ParamPlaces
}

/** Equal for accesses that let the same callers in and pass the same identity on, whatever order they were written in. */
export function accessKey(asked: Asked, params: ParamPlaces): string {
  if (asked === null) return 'nobody'
  if (asked.kind === 'public' || asked.kind === 'optional') return asked.kind
  return requirementKey(asRequirement(asked), params)
}

function requirementKey({ needsPrincipal, checks }: Requirement, params: ParamPlaces): string {
  return `${needsPrincipal}(${checks
    .map((check) => checkKey(check, params))
    .sort()
    .join(' ')})`
}

function checkKey(check: Check, params: ParamPlaces): string {
  switch (check.kind) {
    case 'ip':
      return `ip${listKey(check.networks)}`
    case 'with':
    case 'role':
    case 'scope':
    case 'group':
      return `${check.kind}${listKey(check.anyOf)}`
    case 'email':
      return `email${listKey(check.anyOf.map(foldAscii))}`
    case 'claim':
      return `claim ${JSON.stringify(check.name)}${listKey(check.anyOf)}`
    case 'any':
      return `any${listKey(check.of.map((one) => requirementKey(one, params)))}`
    case 'not':
      return `not ${requirementKey(check.of, params)}`
    case 'when':
      return `when ${whenKey(check.source, params)}`
    case 'mfa':
      return 'mfa'
    case 'fresh':
      return `fresh ${check.maxAgeMs}`
  }
}

function listKey(values: readonly unknown[]): string {
  return JSON.stringify([...new Set(values.map((value) => JSON.stringify(value)))].sort())
}

function whenKey(source: string, params: ParamPlaces): string {
  if (!source.includes('params')) return JSON.stringify(source)
  const read = [...params].filter(([name]) => source.includes(name)).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([source, read])
}

/** `login` and `optional` as the object forms they stand for. `public` asks nothing. */
function asRequirement(access: Access): Requirement {
  if (access.kind === 'require') return access
  const checks: Check[] = access.kind === 'public' ? [] : [{ kind: 'with', anyOf: ['session', 'token'] }]
  return { kind: 'require', needsPrincipal: access.kind === 'login', checks }
}

/** Is everybody that `narrow` lets in let in by `wide`? False where that cannot be shown. */
function isWithin(narrow: Asked, wide: Asked, names: Names): boolean {
  if (narrow === null) return true
  if (wide === null) return false
  if (wide.kind === 'public') return true // nobody is asked who they are, so a bad credential does no harm either
  if (narrow.kind === 'public') return false
  return implies(asRequirement(narrow), asRequirement(wide), names)
}

/** Whoever meets `a` meets `b`. */
function implies(a: Requirement, b: Requirement, names: Names): boolean {
  if (b.needsPrincipal && !a.needsPrincipal) return false
  if (b.checks.every((wanted) => a.checks.some((had) => checkImplies(had, wanted, a, names)))) return true
  return a.checks.some(
    (had) =>
      had.kind === 'any' &&
      had.of.every((one) =>
        implies({ ...a, checks: [...a.checks.filter((check) => check !== had), ...one.checks] }, b, names),
      ),
  )
}

/** `whole` is the requirement that `had` stands in: all of it may be used to meet one member of an `any`. */
function checkImplies(had: Check, wanted: Check, whole: Requirement, names: Names): boolean {
  if (wanted.kind === 'any') {
    return (
      checkKey(had, names.before) === checkKey(wanted, names.after) ||
      wanted.of.some((one) => implies({ ...whole, needsPrincipal: true }, one, names)) ||
      (had.kind === 'any' &&
        had.of.every((one) =>
          wanted.of.some((other) =>
            implies({ ...one, checks: [...one.checks, ...whole.checks.filter((c) => c !== had)] }, other, names),
          ),
        ))
    )
  }
  if (had.kind === 'not' && wanted.kind === 'not') {
    return had.of.checks.every((one) => wanted.of.checks.some((other) => failureImplies(one, other, names)))
  }
  return isListWithin(had, wanted) ?? checkKey(had, names.before) === checkKey(wanted, names.after)
}

/** Whoever fails `a` for certain fails `b` for certain: a missing fact is missing for both. */
function failureImplies(a: Check, b: Check, names: Names): boolean {
  if (a.kind === 'any' || a.kind === 'not' || b.kind === 'any' || b.kind === 'not') {
    return checkKey(a, names.before) === checkKey(b, names.after)
  }
  return isListWithin(b, a) ?? checkKey(a, names.before) === checkKey(b, names.after)
}

/** Does each that meets `a` meet `b`, by their lists or bounds? Null where they have none to compare. */
function isListWithin(a: Check, b: Check): boolean | null {
  if (a.kind === 'ip' && b.kind === 'ip') return a.networks.every((network) => isNetworkWithin(network, b.networks))
  if (a.kind === 'email' && b.kind === 'email') {
    const wide = b.anyOf.map(foldAscii)
    return a.anyOf.every((email) => wide.includes(foldAscii(email)))
  }
  if (a.kind === 'claim' && b.kind === 'claim') {
    return a.name === b.name && a.anyOf.every((value) => b.anyOf.includes(value))
  }
  if (a.kind === 'fresh' && b.kind === 'fresh') return a.maxAgeMs <= b.maxAgeMs
  if ('anyOf' in a && 'anyOf' in b && a.kind === b.kind) {
    const wide: readonly unknown[] = b.anyOf
    return a.anyOf.every((value) => wide.includes(value))
  }
  return null
}

function isNetworkWithin(network: string, networks: readonly string[]): boolean {
  const inner = parseCidr(network)
  return networks.some((text) => {
    const outer = parseCidr(text)
    if (inner === null || outer === null || inner.address.kind() !== outer.address.kind()) return network === text
    return outer.bits <= inner.bits && inner.address.match(outer.address, outer.bits)
  })
}

/** As `authorize` compares e-mail addresses: letters beyond ASCII are different letters. */
function foldAscii(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}
