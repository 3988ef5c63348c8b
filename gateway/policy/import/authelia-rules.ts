/** One rule of Authelia's `access_control`: where it holds, for whom, and what of it cannot be said. */

import { parseCidr } from '../../http/address.ts'
import type { JsonObject } from '../../http/json.ts'
import { type Expressed, patternsOf } from './regex.ts'

/** From the most open to the strictest. */
export const POLICIES = ['bypass', 'one_factor', 'two_factor', 'deny'] as const
export type Policy = (typeof POLICIES)[number]

export interface ConditionRule {
  /** Requirements that say for whom the rule is; null for everybody. */
  readonly condition: JsonObject | null
  /** For somebody, and nobody here knows for whom. */
  readonly isUnknown: boolean
}

interface Places {
  /** Hosts the rule names, as patterns begin; `''` for the origin's own. */
  readonly hosts: readonly string[]
  /** Patterns that hold nothing but what the rule is for. */
  readonly places: readonly string[]
  /** Patterns that hold all that it is for, and a path more. */
  readonly widePlaces: readonly string[]
  /** What cannot be said of it: then it may hold for any path of these hosts, or without hosts for any at all. */
  readonly faults: readonly string[]
}

const HOST = /^(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*$/

export function placesOf(rule: JsonObject, ownHost: string): Places {
  const faults: string[] = []
  const domains = listOf(rule.domain).map((domain) => domain.toLowerCase())
  const known = domains.filter((domain) => HOST.test(domain))
  const odd = domains.filter((domain) => !HOST.test(domain))
  if (odd.length > 0) faults.push(`the domain ${odd.join(', ')}`)
  if (rule.domain_regex !== undefined) faults.push('`domain_regex`')
  const hosts = known.map((domain) => (domain === ownHost.replace(/:\d+$/, '') ? '' : domain))
  const resources = listOf(rule.resources)
  const paths = resources.length === 0 ? [EVERYWHERE] : resources.flatMap((regex) => resourceOf(regex, faults))
  // An odd domain may be any host, so with one the rule may hold wherever it likes.
  const isAnywhere = odd.length > 0 || rule.domain_regex !== undefined
  const on = (texts: readonly string[]) => hosts.flatMap((host) => texts.map((text) => `${host}${text}`))
  return {
    hosts: isAnywhere ? [] : hosts,
    places: on(paths.map(({ exact }) => exact)),
    widePlaces: on(paths.map(({ wide }) => wide)),
    faults,
  }
}

const EVERYWHERE: Expressed = { exact: '/**', wide: '/**' }

/** Matched against path and query, so `^/api$` is `/api` without a query: less than any pattern says. */
function resourceOf(regex: string, faults: string[]): readonly Expressed[] {
  const withQuery = regex.replace(/\(\[\?\]\.\*\)\?\$$|\(\\\?\.\*\)\?\$$/, '$')
  const isExact = withQuery === regex && /(?<!\*|\)\?|\+)\$$/.test(regex)
  const patterns = isExact ? null : patternsOf(withQuery, 'start')
  if (patterns === null) faults.push(`the resource ${regex}`)
  return patterns ?? []
}

/** `subject` and `networks` together. */
export function conditionOf(
  rule: JsonObject,
  named: ReadonlyMap<string, readonly string[]>,
): ConditionRule & { readonly fault: string | null } {
  const unknown = (fault: string) => ({ condition: null, isUnknown: true, fault })
  if (rule.query !== undefined) return unknown('`query`')
  const condition: Record<string, unknown> = {}
  if (rule.networks !== undefined) {
    const networks = listOf(rule.networks).flatMap((network) => named.get(network) ?? [network])
    if (networks.some((network) => parseCidr(network) === null)) return unknown('a network that is defined elsewhere')
    condition.ip = networks
  }
  if (rule.subject !== undefined) {
    const subjects: readonly unknown[] = Array.isArray(rule.subject) ? rule.subject : [rule.subject]
    // A list within the list means all of it; alone in its list, each is one.
    const flat = subjects.map((one) => (Array.isArray(one) && one.length === 1 ? (one[0] as unknown) : one))
    const groups = flat.map((one) => (typeof one === 'string' ? /^group:(.+)$/.exec(one)?.[1] : undefined))
    if (groups.includes(undefined)) return unknown('a subject that is not a group, or several at once')
    condition.group = groups
  }
  const isForAll = Object.keys(condition).length === 0
  return { condition: isForAll ? null : condition, isUnknown: false, fault: null }
}

export function methodsOf(methods: unknown): readonly string[] | null {
  return methods === undefined ? null : listOf(methods).map((method) => method.toUpperCase())
}

function listOf(value: unknown): readonly string[] {
  if (value === undefined || value === null) return []
  return (Array.isArray(value) ? value.flat() : [value]).map(String)
}
