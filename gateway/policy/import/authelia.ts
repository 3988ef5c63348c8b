/**
 * Authelia: `access_control`. There the first rule that matches decides, here the most specific line: so each line asks what the
 * rules in their order ask of its paths. A condition that cannot be said is taken to hold for whom it hurts.
 */

import { isObject, type JsonObject } from '../../http/json.ts'
import { wildcardSuffix } from '../../route/host.ts'
import { covers, type Pattern, parsePattern } from '../../route/pattern.ts'
import { type ConditionRule, conditionOf, methodsOf, POLICIES, type Policy, placesOf } from './authelia-rules.ts'
import { withIntersections } from './overlaps.ts'
import {
  HERE,
  ImportError,
  type Imported,
  type ImportedAccess,
  type ImportedRoute,
  type ImportTarget,
  type Loss,
  UPSTREAM_HERE,
} from './policy.ts'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
const ACCESS: Readonly<Record<Policy, ImportedAccess>> = {
  bypass: 'public',
  one_factor: 'login',
  two_factor: { mfa: true },
  deny: 'deny',
}

export function importAuthelia(document: unknown, target: ImportTarget): Imported {
  const control = isObject(document) && isObject(document.access_control) ? document.access_control : document
  if (!isObject(control) || !Array.isArray(control.rules)) {
    throw new ImportError('There is no `access_control` with `rules` in it.')
  }
  const losses: Loss[] = []
  const origin = target.origin ?? HERE
  const { host, protocol } = new URL(origin)
  const own = { scheme: protocol === 'https:' ? 'https' : 'http', authority: host } as const
  const fallback = policyOf(control.default_policy) ?? 'deny'
  const networks = networksOf(document, control)
  const rules = (control.rules as readonly unknown[]).map((rule, at) => readRule(rule, at, origin, networks, losses))

  const patterns = new Set(rules.flatMap(({ places, widePlaces }) => [...places, ...widePlaces]))
  for (const { hosts } of rules) for (const one of hosts) patterns.add(`${one}/**`)
  const listed = [...patterns].map((pattern) => [pattern, OPEN] as const)
  const routes = new Map<string, ImportedRoute>()
  const upstreams: Record<string, string> = { app: target.upstream ?? UPSTREAM_HERE }
  for (const pattern of withIntersections(new Map(listed), own, []).keys()) {
    const parsed = parsePattern(pattern, own)
    if ('message' in parsed) {
      losses.push({ where: pattern, what: parsed.message, instead: 'left out, so denied' })
      continue
    }
    const route = routeOf(parsed, rules, fallback, own, losses)
    const to = nameOf(parsed.host)
    routes.set(pattern, route.to === null ? route : { ...route, to })
    upstreams[to] = target.upstream ?? UPSTREAM_HERE
  }
  if (Object.keys(upstreams).length > 1) {
    losses.push({
      where: 'domains',
      what: 'what stands behind each is not said',
      instead: 'write where each listens under `upstreams`',
    })
  }
  if (rules.some(({ policy }) => policy === 'two_factor')) {
    losses.push({
      where: 'two_factor',
      what: 'accounts of the gateway have passwords only',
      instead: '`mfa` is met by tokens of an issuer with `tokens.<name>.mfa`',
    })
  }
  return {
    title: 'from Authelia',
    origin,
    upstreams,
    sections: {},
    routes,
    tests: [],
    losses: [...new Map(losses.map((loss) => [JSON.stringify(loss), loss])).values()],
  }
}

/** Behind each host stands something else: two hosts with one upstream would be two ways to one path. */
function nameOf(host: string | null): string {
  if (host === null) return 'app'
  return `app-${host.replace(/:\d+$/, '').replace('*', 'any').replaceAll('.', '-')}`.slice(0, 32)
}

const OPEN: ImportedRoute = { to: 'app', access: new Map([['*', 'public']]), more: {}, comment: null }

interface Rule extends ConditionRule {
  readonly name: string
  readonly policy: Policy
  /** Hosts it speaks of; empty for all of them. */
  readonly hosts: readonly string[]
  readonly places: readonly string[]
  readonly widePlaces: readonly string[]
  /** Some of its paths cannot be said: it may hold for any. */
  readonly isEverywhere: boolean
  /** Null for all. */
  readonly methods: readonly string[] | null
}

function readRule(
  rule: unknown,
  at: number,
  origin: string,
  networks: ReadonlyMap<string, readonly string[]>,
  losses: Loss[],
): Rule {
  const name = `rule ${at + 1}`
  if (!isObject(rule)) throw new ImportError(`${name} is not a map.`)
  const policy = policyOf(rule.policy)
  if (policy === null) throw new ImportError(`${name} has no policy: expected ${POLICIES.join(', ')}.`)
  const { hosts, places, widePlaces, faults } = placesOf(rule, new URL(origin).host)
  const { condition, isUnknown, fault } = conditionOf(rule, networks)
  const methods = methodsOf(rule.methods)
  for (const what of [...faults, ...(fault === null ? [] : [fault])]) {
    losses.push({
      where: name,
      what,
      instead: policy === 'bypass' ? 'nothing is opened by it' : 'taken to hold for everybody whom it keeps out',
    })
  }
  return { name, policy, hosts, places, widePlaces, isEverywhere: faults.length > 0, methods, condition, isUnknown }
}

function routeOf(
  pattern: Pattern,
  rules: readonly Rule[],
  fallback: Policy,
  own: OwnHost,
  losses: Loss[],
): ImportedRoute {
  const named = rules.flatMap(({ methods }) => methods ?? [])
  if (named.length === 0) {
    const whole = accessOf(pattern, 'GET', rules, fallback, own, losses)
    return { to: whole === 'deny' ? null : 'app', access: new Map([['*', whole]]), more: {}, comment: null }
  }
  const access = new Map<string, ImportedAccess>()
  for (const method of new Set([...METHODS, ...named])) {
    if (METHOD.test(method)) access.set(method, accessOf(pattern, method, rules, fallback, own, losses))
  }
  access.set('WEBSOCKET', access.get('GET')!)
  const isDenied = [...access.values()].every((single) => single === 'deny')
  return { to: isDenied ? null : 'app', access: isDenied ? new Map([['*', 'deny']]) : access, more: {}, comment: null }
}

const METHOD = /^(?!(?:CONNECT|TRACE|TRACK)$)[A-Z][A-Z-]{0,31}$/

type OwnHost = Parameters<typeof parsePattern>[1]

/** What the rules in their order ask of every path of a pattern. */
function accessOf(
  pattern: Pattern,
  method: string,
  rules: readonly Rule[],
  fallback: Policy,
  own: OwnHost,
  losses: Loss[],
): ImportedAccess {
  let floor: Policy = 'bypass'
  const members: { readonly policy: Policy; readonly condition: JsonObject }[] = []
  let last = fallback
  for (const rule of rules) {
    const reach = reachOf(rule, pattern, own)
    if (reach === 'none' || (rule.methods !== null && !rule.methods.includes(method))) continue
    if (reach === 'maybe' || rule.isUnknown) floor = stricterPolicy(floor, rule.policy)
    else if (rule.condition === null) {
      last = rule.policy
      break
    } else members.push({ policy: rule.policy, condition: rule.condition })
  }
  last = stricterPolicy(last, floor)
  if (floor === 'deny') return 'deny'
  // Here whoever meets one of several ways is let in. There the first that is theirs counts: the same only while none is looser
  // than one before it.
  const order = [...members.map(({ policy }) => POLICIES.indexOf(policy)), POLICIES.indexOf(last)]
  if (order.some((rank, at) => at > 0 && rank < order[at - 1]!)) {
    losses.push({ where: pattern.text, what: 'a rule asks more of some than a later one asks', instead: 'denied' })
    return 'deny'
  }
  const openers = members.filter(({ policy }) => policy !== 'deny')
  if (openers.length === 0) return ACCESS[last]
  const ways = openers.map(({ policy, condition }) => wayIn(stricterPolicy(policy, floor), condition))
  if (ways.includes(null)) {
    losses.push({
      where: pattern.text,
      what: 'a network that needs no sign-in, beside people who do',
      instead: 'everybody signs in',
    })
  }
  const people = ways.filter((way) => way !== null)
  if (last === 'deny') {
    const isNetworkOnly = ways.length === 1 && ways[0] === null
    if (isNetworkOnly && floor === 'bypass') return openers[0]!.condition
    return people.length === 0 ? 'deny' : people.length === 1 ? people[0]! : { any: people }
  }
  if (last === 'bypass') return 'public'
  const rest: JsonObject = last === 'two_factor' ? { mfa: true } : { with: ['session', 'token'] }
  return people.length === 0 ? ACCESS[last] : { any: [...people, rest] }
}

/** Null for one that asks nobody who they are. */
function wayIn(policy: Policy, condition: JsonObject): JsonObject | null {
  if (policy === 'bypass') return null
  return policy === 'two_factor' ? { ...condition, mfa: true } : condition
}

/** Does a rule speak of all paths of a pattern, of none, or can that not be told? */
function reachOf(rule: Rule, pattern: Pattern, own: OwnHost): 'all' | 'none' | 'maybe' {
  const covering = (texts: readonly string[]): boolean =>
    texts.some((text) => {
      const place = parsePattern(text, own)
      return !('message' in place) && isHostWithin(pattern.host, place.host) && covers(place, pattern)
    })
  if (covering(rule.places)) return 'all'
  if (covering(rule.widePlaces)) return 'maybe'
  if (!rule.isEverywhere) return 'none'
  return rule.hosts.length === 0 || covering(rule.hosts.map((host) => `${host}/**`)) ? 'maybe' : 'none'
}

/** There `*.example.com` stands for names of any depth. */
function isHostWithin(host: string | null, wide: string | null): boolean {
  if (host === wide) return true
  const suffix = wide === null ? null : wildcardSuffix(wide)
  return host !== null && suffix !== null && host.endsWith(suffix)
}

function stricterPolicy(a: Policy, b: Policy): Policy {
  return POLICIES.indexOf(a) > POLICIES.indexOf(b) ? a : b
}

function policyOf(value: unknown): Policy | null {
  return POLICIES.find((policy) => policy === value) ?? null
}

/** Networks by name: of older files within `access_control`, of newer ones under `definitions`. */
function networksOf(document: unknown, control: JsonObject): ReadonlyMap<string, readonly string[]> {
  const named = new Map<string, readonly string[]>()
  for (const entry of Array.isArray(control.networks) ? control.networks : []) {
    if (isObject(entry) && typeof entry.name === 'string') named.set(entry.name, [entry.networks].flat().map(String))
  }
  const definitions = isObject(document) && isObject(document.definitions) ? document.definitions.network : null
  if (isObject(definitions))
    for (const [name, list] of Object.entries(definitions)) named.set(name, [list].flat().map(String))
  return named
}
