/** Ory Oathkeeper: access rules. Each rule is a line; what its pipeline asks beyond who the caller is cannot be carried. */

import { isObject, type JsonObject } from '../../http/json.ts'
import { covers, parsePattern } from '../../route/pattern.ts'
import { bothOf } from './overlaps.ts'
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
import { type Expressed, patternsOf } from './regex.ts'

type Lose = (what: string) => void

const CREDENTIALS: Readonly<Record<string, 'session' | 'token'>> = {
  cookie_session: 'session',
  jwt: 'token',
  oauth2_introspection: 'token',
}
const OPEN = ['noop', 'anonymous']
const HOST = /^(?:\*\.)?[a-z0-9.-]+(?::\d+)?$/

export function importOathkeeper(document: unknown, target: ImportTarget): Imported {
  const rules = Array.isArray(document) ? (document as readonly unknown[]) : null
  if (rules === null) throw new ImportError('A file of access rules is a list of rules.')
  const losses: Loss[] = []
  const routes = new Map<string, ImportedRoute>()
  const upstreams: Record<string, unknown> = {}
  const claims: Claim[] = []
  const origin = target.origin ?? HERE
  for (const [at, rule] of rules.entries()) {
    if (!isObject(rule)) throw new ImportError(`Rule ${at + 1} is not a map.`)
    const where = typeof rule.id === 'string' ? rule.id : `rule ${at + 1}`
    const lose: Lose = (what) => losses.push({ where, what, instead: 'denied' })
    const patterns = placesOf(rule.match, origin)
    if (patterns === null) {
      losses.push({ where, what: 'what it matches cannot be said exactly as patterns', instead: 'left out, so denied' })
      continue
    }
    const upstream = upstreamOf(rule.upstream, upstreams, target)
    if (upstream === null) lose('its upstream is not http or https')
    const single = upstream === null ? 'deny' : accessOf(rule, lose)
    const mutators = namesOf(rule.mutators).filter((name) => name !== 'noop')
    if (mutators.length > 0) {
      losses.push({
        where,
        what: `mutators ${mutators.join(', ')}`,
        instead: 'upstreams are told by `identity`, signed by X-Postern-Assertion',
      })
    }
    const listed =
      isObject(rule.match) && Array.isArray(rule.match.methods) ? (rule.match.methods as readonly unknown[]) : []
    const methods = listed.map(String).filter((method) => /^(?!CONNECT$|TRACE$)[A-Z-]+$/.test(method))
    if (methods.length === 0) {
      losses.push({ where, what: 'it names no method', instead: 'left out, so denied' })
      continue
    }
    for (const { exact: pattern, wide } of patterns) {
      claims.push({ pattern, wide, methods, where })
      const isDenied = single === 'deny'
      const route: ImportedRoute = {
        to: isDenied ? null : upstream!.name,
        access: isDenied ? new Map([['*', 'deny']]) : new Map(methods.map((method) => [method, single])),
        more: isDenied ? {} : upstream!.more,
        comment: where,
      }
      const twin = routes.get(pattern)
      routes.set(pattern, twin === undefined ? route : joined(twin, route, methods, lose))
    }
  }
  denyDisputed(claims, routes, origin, losses)
  if (Object.keys(upstreams).length === 0) upstreams.app = target.upstream ?? UPSTREAM_HERE
  return { title: 'from Ory Oathkeeper', origin, upstreams, sections: {}, routes, tests: [], losses }
}

const DENIED: ImportedRoute = { to: null, access: new Map([['*', 'deny']]), more: {}, comment: null }

/** What a rule speaks of. */
interface Claim {
  readonly pattern: string
  /** With the path above a `/<.*>`, which may be its own. */
  readonly wide: string
  readonly methods: readonly string[]
  readonly where: string
}

/** A request that two rules match is refused there, so the narrower line denies the methods that a wider one has too. */
function denyDisputed(
  claims: readonly Claim[],
  routes: Map<string, ImportedRoute>,
  origin: string,
  losses: Loss[],
): void {
  const { host, protocol } = new URL(origin)
  const own = { scheme: protocol === 'https:' ? 'https' : 'http', authority: host } as const
  const read = claims.flatMap((claim) => {
    const parsed = parsePattern(claim.pattern, own)
    return 'message' in parsed ? [] : [{ ...claim, parsed }]
  })
  for (const narrow of read) {
    for (const wide of read) {
      if (
        narrow.pattern === wide.pattern ||
        wide.parsed.host !== narrow.parsed.host ||
        !covers(wide.parsed, narrow.parsed)
      )
        continue
      const shared = narrow.methods.filter((method) => wide.methods.includes(method))
      if (shared.length === 0) continue
      losses.push({
        where: narrow.where,
        what: `${wide.where} matches the same requests, which is an error there`,
        instead: 'denied',
      })
      for (const pattern of new Set([narrow.pattern, narrow.wide])) {
        const route = routes.get(pattern)
        if (route === undefined) routes.set(pattern, { ...DENIED, comment: narrow.where })
        if (route === undefined || route.to === null) continue
        const access = new Map(route.access)
        for (const method of shared) access.set(method, 'deny')
        const isDenied = [...access.values()].every((single) => single === 'deny')
        routes.set(pattern, isDenied ? { ...DENIED, comment: narrow.where } : { ...route, access })
      }
    }
  }
}

/** Two rules for one pattern: fine while they speak of other methods; else both must agree. */
function joined(a: ImportedRoute, b: ImportedRoute, methods: readonly string[], lose: Lose): ImportedRoute {
  const isApart = a.to !== null && b.to === a.to && !methods.some((method) => a.access.has(method))
  if (isApart && JSON.stringify(a.more) === JSON.stringify(b.more))
    return { ...a, access: new Map([...a.access, ...b.access]) }
  lose('another rule matches the same requests')
  return bothOf(a, b)
}

function accessOf(rule: JsonObject, lose: Lose): ImportedAccess {
  const authorizer = isObject(rule.authorizer) ? rule.authorizer.handler : null
  if (authorizer === 'deny') return 'deny'
  if (authorizer !== 'allow') {
    lose(`the authorizer ${JSON.stringify(authorizer ?? 'none')}`)
    return 'deny'
  }
  const handlers = Array.isArray(rule.authenticators) ? rule.authenticators.filter(isObject) : []
  const known: JsonObject[] = []
  let isOpen = false
  for (const { handler, config } of handlers) {
    const name = String(handler)
    if (name === 'unauthorized') break // nothing after it is asked
    if (OPEN.includes(name)) {
      isOpen = true
      break
    }
    const kind = CREDENTIALS[name]
    if (kind === undefined) lose(`the authenticator \`${name}\``)
    else known.push({ with: kind, ...scopesOf(config, kind, lose) })
  }
  if (isOpen) return known.length === 0 ? 'public' : 'optional'
  if (known.length === 0) return 'deny'
  if (known.length === 1) return known[0]!
  const kinds = [...new Set(known.map((one) => one.with))]
  return known.every((one) => Object.keys(one).length === 1) ? { with: kinds } : { with: kinds, any: known }
}

/** All are needed; a list would mean any one. */
function scopesOf(config: unknown, kind: string, lose: Lose): JsonObject {
  if (!isObject(config)) return {}
  const scopes = Array.isArray(config.required_scope) ? config.required_scope.map(String) : []
  if (config.trusted_issuers !== undefined || config.target_audience !== undefined || config.jwks_urls !== undefined) {
    lose('whose tokens it takes: name the issuers under `tokens`; until then only the gateway’s own count')
  }
  if (kind === 'session') return {}
  return scopes.reduceRight<JsonObject>(
    (rest, scope) => (Object.keys(rest).length === 0 ? { scope } : { scope, any: [rest] }),
    {},
  )
}

/** `https://host/path/<.*>`: what stands in `<` and `>` is a regular expression. */
function placesOf(match: unknown, origin: string): readonly Expressed[] | null {
  if (!isObject(match) || typeof match.url !== 'string') return null
  const parts = /^(?:https?|<https?\|https?>|<\^?\(?https?\|https?\)?>):\/\/([^/<>]+)(\/.*)?$/.exec(match.url)
  if (parts === null) return null
  const [, host = '', path = '/'] = parts
  if (!HOST.test(host)) return null
  const prefix = new URL(origin).host === host ? '' : host
  // Oathkeeper matches from end to end.
  const regex = path.replace(/<([^>]*)>|([^<]+)/g, (_, inner: string | undefined, literal: string | undefined) => {
    return inner ?? literal!.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  })
  return (
    patternsOf(regex, 'whole')?.map(({ exact, wide }) => ({ exact: `${prefix}${exact}`, wide: `${prefix}${wide}` })) ??
    null
  )
}

function upstreamOf(config: unknown, upstreams: Record<string, unknown>, target: ImportTarget) {
  const text = isObject(config) && typeof config.url === 'string' ? config.url : (target.upstream ?? UPSTREAM_HERE)
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return null
  const host = isObject(config) && config.preserve_host === true ? 'public' : 'upstream'
  const entry = { url: target.upstream ?? url.origin, host }
  const known = Object.entries(upstreams).find(([, other]) => JSON.stringify(other) === JSON.stringify(entry))?.[0]
  const name = known ?? `app${Object.keys(upstreams).length === 0 ? '' : Object.keys(upstreams).length + 1}`
  upstreams[name] = entry
  const strip =
    isObject(config) && typeof config.strip_path === 'string' ? config.strip_path.replace(/^\/?|\/$/g, '') : ''
  const path = url.pathname.replace(/\/$/, '')
  return {
    name,
    more: { ...(strip === '' ? {} : { stripPrefix: `/${strip}` }), ...(path === '' ? {} : { addPrefix: path }) },
  }
}

function namesOf(handlers: unknown): readonly string[] {
  return Array.isArray(handlers) ? handlers.filter(isObject).map(({ handler }) => String(handler)) : []
}
