/** What is allowed of routes and rarely meant: lines without effect, open doors beneath guarded ones, roles that nobody can have. */

import { normalizeAuthority } from '../http/authority.ts'
import { parseTarget } from '../http/target.ts'
import { Refusal } from '../model.ts'
import type { CompiledRoutes, RouteEntry } from '../route/compile.ts'
import type { OwnHost } from '../route/host.ts'
import { covers, shapeOf } from '../route/pattern.ts'
import type { Access, AccessByMethod, Check, Route } from '../rules.ts'
import { isAllDenied } from './access.ts'
import type { PolicyConfig } from './compile.ts'
import { nearest, type Path, type Trouble } from './issues.ts'
import { reachOf } from './network.ts'
import type { TestConfig } from './people-schema.ts'
import { accessOf, methodClasses } from './strictness.ts'

type Warn = (path: Path, trouble: Trouble) => void

export interface RouteFacts {
  readonly config: PolicyConfig
  readonly entries: readonly RouteEntry[]
  readonly routes: CompiledRoutes
  readonly own: OwnHost
  /** Names a pattern's line. */
  placeOf(pattern: string): string
}

export function checkRoutes(facts: RouteFacts, warn: Warn): void {
  warnOfIdleUpstreams(facts, warn)
  const opened = openedByTests(facts)
  for (const entry of facts.entries) {
    warnOfNeedless(entry, facts, warn)
    if (!opened.has(entry.route)) warnOfOpenDoor(entry, facts, warn)
  }
  warnOfUnknownRoles(facts, warn)
  warnOfUntrustedAddresses(facts, warn)
}

function warnOfIdleUpstreams({ config }: RouteFacts, warn: Warn): void {
  const used = new Set(Object.values(config.routes).map(({ to }) => to))
  for (const id of Object.keys(config.upstreams)) {
    if (used.has(id)) continue
    warn(['upstreams', id], {
      message: `no route leads to \`${id}\``,
      cure: `name it in a route, \`to: ${id}\`, or remove it`,
      isAboutKey: true,
    })
  }
}

function warnOfNeedless(entry: RouteEntry, { routes }: RouteFacts, warn: Warn): void {
  const { pattern, route } = entry
  if (route.upstream?.isPathExact !== true && routes.isShadowed(pattern)) {
    warn(['routes', pattern.text], {
      message: `no request reaches \`${pattern.text}\`: more specific lines take all of its paths`,
      cure: 'remove it, or one of them',
      isAboutKey: true,
    })
  }
  if (!isAllDenied(route.access)) return
  const parents = parentsOf(entry, routes)
  const [nearestParent, second] = parents.filter((one) => !parents.some((other) => isWithin(other, one)))
  if (nearestParent === undefined || second !== undefined || !isAllDenied(nearestParent.route.access)) return
  warn(['routes', pattern.text], {
    message: `\`${pattern.text}\` changes nothing: \`${nearestParent.pattern.text}\` lets nobody in either`,
    cure: 'remove it',
    isAboutKey: true,
  })
}

/** A route for everybody beneath one that asks for somebody. Beneath `/**` it is the ordinary case, and no prefix is opened. */
function warnOfOpenDoor(entry: RouteEntry, { routes, own, placeOf }: RouteFacts, warn: Warn): void {
  const { pattern, route } = entry
  if (![...route.access.values()].some(isOpen)) return
  for (const parent of parentsOf(entry, routes)) {
    if (parent.pattern.segments.length === 0) continue
    const method = openMethod(route.access, parent.route.access)
    if (method === undefined) continue
    const place = placeOf(parent.pattern.text)
    const where = place === 'policy' ? '' : ` (at ${place})`
    const path =
      (pattern.host ?? '') +
      shapeOf(pattern)
        .replace(/\/\*\*$/, '')
        .replaceAll('*', 'x')
    const url = pattern.host === null ? path : `${own.scheme}://${path}`
    warn(['routes', pattern.text], {
      message: `\`${pattern.text}\` is open to everybody beneath \`${parent.pattern.text}\`${where}, which is not`,
      cure: `if that is meant, say so by a test: \`- { ${method}: "${url}", as: nobody, expect: allow }\``,
      isAboutKey: true,
    })
    return
  }
}

/** A method by which everybody comes in here and not there. */
function openMethod(access: AccessByMethod, guarded: AccessByMethod): string | undefined {
  const found = methodClasses(access, guarded).find((method) => {
    const asked = accessOf(guarded, method)
    return isOpen(accessOf(access, method)) && (asked?.kind === 'login' || asked?.kind === 'require')
  })
  return found === 'write' ? 'POST' : found === 'websocket' ? 'WEBSOCKET' : found
}

function isOpen(access: Access | null): boolean {
  return access?.kind === 'public' || access?.kind === 'optional'
}

function parentsOf(entry: RouteEntry, routes: CompiledRoutes): readonly RouteEntry[] {
  return routes.covering(entry.pattern.host, entry.pattern).filter((other) => other !== entry)
}

/** Is `inner` the more specific of two? */
function isWithin(inner: RouteEntry, outer: RouteEntry): boolean {
  const isHostWithin = inner.pattern.host === outer.pattern.host || outer.pattern.host?.startsWith('*.') === true
  return inner !== outer && isHostWithin && covers(outer.pattern, inner.pattern)
}

/** Routes of which a test of the file says that nobody in particular comes in: then it is meant. */
function openedByTests({ config, routes, own }: RouteFacts): ReadonlySet<Route> {
  const opened = new Set<Route>()
  for (const test of config.tests ?? []) {
    const url = test.as === 'nobody' && test.expect === 'allow' ? urlOf(test) : undefined
    const [, authority, text] = /^(?:https?:\/\/([^/]+))?(\/.*)$/.exec(url ?? '') ?? []
    if (text === undefined) continue
    const target = parseTarget(text, true)
    if (target instanceof Refusal) continue
    const host = authority === undefined ? own.authority : normalizeAuthority(authority, own.scheme)
    const found = routes.find(host, target.path)
    if (found !== null) opened.add(found.route)
  }
  return opened
}

function urlOf(test: TestConfig): string | undefined {
  return (
    test.url ??
    Object.entries(test)
      .find(([key, value]) => /^[A-Z]+$/.test(key) && value !== undefined)?.[1]
      ?.toString()
  )
}

/** Roles of our own users are anything an admin writes, so the file is taken at its word only where it names people. */
function warnOfUnknownRoles({ config, entries }: RouteFacts, warn: Warn): void {
  const people = Object.values(config.people ?? {})
  if (people.length === 0) return
  const known = new Set(['admin', 'user', ...people.flatMap(({ roles }) => roles)])
  for (const { roles } of Object.values(config.tokens)) for (const role of roles) known.add(role)
  const told = new Set<string>()
  for (const { pattern, route } of entries) {
    for (const check of checksOf(route)) {
      if (check.kind !== 'role') continue
      for (const role of check.anyOf) {
        if (known.has(role) || told.has(role)) continue
        told.add(role)
        const near = nearest(role, [...known])
        warn(['routes', pattern.text, 'access', 'role'], {
          message: `nobody has the role \`${role}\`: no one of \`people\`, and no issuer of \`tokens\` may confer it`,
          cure:
            near === null
              ? 'give it to someone of `people`, or list it under `tokens.<name>.roles`'
              : `did you mean \`${near}\`?`,
        })
      }
    }
  }
}

function* checksOf({ access, proposed }: Route): Generator<Check> {
  for (const map of [access, proposed ?? new Map<string, Access>()]) {
    for (const single of map.values()) if (single.kind === 'require') yield* within(single.checks)
  }
}

function* within(checks: readonly Check[]): Generator<Check> {
  for (const check of checks) {
    yield check
    if (check.kind === 'not') yield* within(check.of.checks)
    if (check.kind === 'any') for (const one of check.of) yield* within(one.checks)
  }
}

/** SECURITY rule 36: listening where only a proxy can reach us, for people elsewhere, and taking the proxy for the client. */
function warnOfUntrustedAddresses({ config, entries }: RouteFacts, warn: Warn): void {
  if (config.trust.length > 0 || reachOf(config.listen.host) === 'anywhere') return
  if (reachOf(new URL(config.origin).hostname) === 'loopback') return
  for (const { pattern, route } of entries) {
    for (const check of checksOf(route)) {
      if (check.kind !== 'ip') continue
      warn(['routes', pattern.text, 'access', 'ip'], {
        message: 'behind a proxy every client has the proxy’s address here, for `trust` is empty',
        cure: 'name the proxy in front: `trust: [10.0.0.0/8]`',
      })
      return
    }
  }
}
