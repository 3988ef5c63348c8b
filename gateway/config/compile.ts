/**
 * Compiles a parsed policy into the snapshot that requests are decided by. Pure, and free of YAML and schema at run time:
 * a Worker embeds the parsed policy as JSON and calls this. Every mistake at once; nothing half-compiled comes out.
 */

import { compileNetworks } from '../http/address.ts'
import type { HeaderList } from '../model.ts'
import { type CompiledRoutes, compileRoutes, type RouteEntry } from '../route/compile.ts'
import type { OwnHost } from '../route/host.ts'
import { literalPrefix, type Pattern, parsePattern } from '../route/pattern.ts'
import type { Route, Timeouts, Upstream } from '../rules.ts'
import { isOwnPath, type Snapshot } from '../snapshot.ts'
import { compileIdentity, namesOf } from '../transform/identity.ts'
import { compileAccess, isAllDenied, sayingsOf } from './access.ts'
import { checkAdmin, checkHeaderNames, checkOrigin, checkTimeouts, checkTrust, checkUpstream } from './checks.ts'
import { checkTokens } from './credential-checks.ts'
import { checkRouteHeaders } from './header-checks.ts'
import { compileCors, compileEdits } from './headers.ts'
import { type Issue, issueAt, nearest, type Path, type Places, pathKey, placeName, type Trouble } from './issues.ts'
import { checkDefaultLimits, checkRouteLimits, compileLimits } from './limits.ts'
import { checkAliases, checkRewrite } from './rewrites.ts'
import { checkRoutes } from './route-checks.ts'
import type { RouteConfig } from './route-schema.ts'
import type { GatewayConfig } from './schema.ts'
import { checkTls, serverOrigin } from './tls-checks.ts'
import type { UpstreamConfig } from './upstream-schema.ts'

/** What deciding needs of a parsed policy: all but where state lives, which a runtime opens by itself. */
export type PolicyConfig = Omit<GatewayConfig, 'store' | 'people' | 'tests' | 'include'> &
  Partial<Pick<GatewayConfig, 'people' | 'tests'>>

export interface CompiledPolicy {
  readonly snapshot: Snapshot
  /** What is allowed and unwise. */
  readonly warnings: readonly Issue[]
}

/** Bounds one line of the head; RFC 9110 §4.1 asks for at least 8000. */
const TARGET_BYTES_MAX = 8192

/** `version` is the SHA-256 of the file, in hex; `places` makes issues name their line. */
export function compile(
  config: PolicyConfig,
  version: string,
  places?: Places,
): CompiledPolicy | { readonly issues: Issue[] } {
  const issues: Issue[] = []
  const warnings: Issue[] = []
  const report = reporter(places, issues)
  const warn = reporter(places, warnings)
  checkOrigin(config, report, warn)
  checkTls(config, report)
  checkTrust(config.trust, report)
  checkTokens(config, report)
  checkAdmin(config, report)
  checkDefaultLimits(config, report)

  const upstreams = new Map<string, Upstream>()
  const connectMs = longestConnects(config.routes)
  for (const [id, upstream] of Object.entries(config.upstreams)) {
    checkUpstream(id, upstream, config, report, warn)
    upstreams.set(id, compileUpstream(id, upstream, connectMs.get(id) ?? 0))
  }
  const reservedNames = new Set<string>()
  for (const { identity } of upstreams.values()) {
    if (identity.preset === 'map') for (const name of namesOf(identity)) reservedNames.add(name)
  }
  // X-API-Key is kept back wherever a route does not ask for it by name; any other header of ours everywhere.
  const keyHeader = config.keys?.header.toLowerCase() ?? 'x-api-key'
  if (keyHeader !== 'x-api-key') reservedNames.add(keyHeader)
  const own = ownHost(config.origin)
  const entries: RouteEntry[] = []
  for (const [text, route] of Object.entries(config.routes)) {
    checkHeaderNames(['routes', text], route, reservedNames, report)
    checkTimeouts(['routes', text], route, report)
    checkRouteHeaders(['routes', text], route, config, reservedNames, report, warn)
    const entry = compileRoute(text, route, config, { upstreams, reservedNames, own }, places, report, warn)
    if (entry !== null) entries.push(entry)
  }
  const routes = compileRoutes(entries, own)
  if ('conflicts' in routes) {
    for (const { pattern, other, message, cure } of routes.conflicts) {
      const otherPlace = placeName(places, ['routes', other])
      const where = otherPlace === 'policy' ? '' : ` (the other is at ${otherPlace})`
      report(['routes', pattern], { message: message + where, cure, isAboutKey: true })
    }
  } else {
    const placeOf = (pattern: string): string => placeName(places, ['routes', pattern])
    const isAlias = (pattern: string): boolean => config.routes[pattern]?.alias === true
    checkAliases(entries, { routes, isAlias, placeOf }, report, warn)
    checkRoutes({ config, entries, routes, own, placeOf }, warn)
  }
  if (issues.length > 0 || 'conflicts' in routes) return { issues }
  const { perAddress } = config.admission
  const snapshot: Snapshot = Object.freeze({
    version,
    origin: config.origin,
    admission: admissionRules(config, own, routes),
    routes,
    upstreams,
    addressLimit: perAddress === 'off' ? null : Object.freeze(perAddress),
    onCountersOutage: config.limits.onOutage,
    reservedNames,
    ownCookiePrefixes: OWN_COOKIE_PREFIXES,
    allowUnverifiedEmail: config.login.allowUnverifiedEmail,
    ownHeaders: config.origin.startsWith('https:') ? [...OWN_HEADERS, ...HTTPS_HEADERS] : OWN_HEADERS,
  })
  return { snapshot, warnings }
}

/** What is wrong in `defaults` is wrong once, and not in every route. */
function reporter(places: Places | undefined, issues: Issue[]): (path: Path, trouble: Trouble) => void {
  const known = new Set<string>()
  return (path, trouble) => {
    const issue = issueAt(places, path, trouble)
    const key = pathKey([issue.path, issue.message])
    if (known.has(key)) return
    known.add(key)
    issues.push(issue)
  }
}

const OWN_COOKIE_PREFIXES: readonly string[] = Object.freeze(['postern.', '__Host-postern.', '__Secure-postern.'])

/** Answers of ours say what they are and nothing about who asked; pages add a content policy of their own. */
const OWN_HEADERS: HeaderList = Object.freeze([
  ...['X-Content-Type-Options', 'nosniff'],
  ...['X-Frame-Options', 'DENY'],
  ...['Referrer-Policy', 'same-origin'],
  ...['Cross-Origin-Opener-Policy', 'same-origin'],
  ...['Cross-Origin-Resource-Policy', 'same-origin'],
])
/** RFC 6797. One year, this host alone: what other hosts of the domain serve is not ours to say. */
const HTTPS_HEADERS: HeaderList = Object.freeze(['Strict-Transport-Security', 'max-age=31536000'])

function ownHost(origin: string): OwnHost {
  const { host, protocol } = new URL(origin)
  return { scheme: protocol === 'https:' ? 'https' : 'http', authority: host }
}

function admissionRules(config: PolicyConfig, own: OwnHost, routes: CompiledRoutes): Snapshot['admission'] {
  const isHttps = own.scheme === 'https'
  const allowed = Object.values(config.routes).flatMap((route) => route.allowHeaderNames)
  return Object.freeze({
    ...own,
    isServed: routes.isServed,
    isTrusted: compileNetworks(config.trust),
    apiKeyHeader: config.keys?.header.toLowerCase() ?? null,
    sessionCookieName: isHttps ? '__Host-postern.session_token' : 'postern.session_token',
    allowHeaderNames: new Set(allowed.map((name) => name.toLowerCase())),
    isEncodedSlashAdmitted: Object.values(config.routes).some((route) => route.encodedSlash === 'keep'),
    targetBytesMax: TARGET_BYTES_MAX,
  })
}

/** By upstream, the longest time in which one of its routes wants a connection. */
function longestConnects(routes: PolicyConfig['routes']): ReadonlyMap<string | undefined, number> {
  const longest = new Map<string | undefined, number>()
  for (const { to, timeouts } of Object.values(routes)) {
    if (timeouts?.connect !== undefined) longest.set(to, Math.max(longest.get(to) ?? 0, timeouts.connect))
  }
  return longest
}

function compileUpstream(id: string, config: UpstreamConfig, connectMsOfRoutes: number): Upstream {
  const { health, ejection } = config
  return Object.freeze({
    id,
    servers: config.url.map(({ url, weight }) => ({ origin: serverOrigin(url), weight })),
    identity: compileIdentity(config.identity),
    isAsserted: config.assertion,
    isPathExact: config.paths === 'exact',
    host: config.host,
    health:
      health === undefined
        ? null
        : Object.freeze({
            path: health.path,
            intervalMs: health.interval,
            timeoutMs: health.timeout,
            healthyAfter: health.healthyAfter,
            unhealthyAfter: health.unhealthyAfter,
          }),
    ejection: ejection === null ? null : Object.freeze({ failures: ejection.failures, durationMs: ejection.for }),
    retryPercentMax: config.retries,
    connectionsMax: config.connections,
    queueMax: config.queue,
    connectMs: Math.max(config.timeouts?.connect ?? CONNECT_MS, connectMsOfRoutes),
  })
}

function compileRoute(
  text: string,
  config: RouteConfig,
  policy: PolicyConfig,
  { upstreams, reservedNames, own }: Pick<Snapshot, 'upstreams' | 'reservedNames'> & { readonly own: OwnHost },
  places: Places | undefined,
  report: (path: Path, trouble: Trouble) => void,
  warn: (path: Path, trouble: Trouble) => void,
): RouteEntry | null {
  const path = ['routes', text]
  const pattern = parsePattern(text, own)
  if ('message' in pattern) {
    report(path, { ...pattern, isAboutKey: true })
    return null
  }
  if (isOwnPattern(pattern)) {
    report(path, {
      message: `\`${text}\` is one of the gateway's own paths`,
      cure: 'move it: /api/auth/, /_postern/ and /.well-known/jwks.json are served by the gateway itself',
      isAboutKey: true,
    })
  }
  const upstream = config.to === undefined ? null : (upstreams.get(config.to) ?? null)
  if (config.to !== undefined && upstream === null) {
    const known = [...upstreams.keys()].map((id) => `\`${id}\``).join(', ')
    const guess = nearest(config.to, [...upstreams.keys()])
    report([...path, 'to'], {
      message: `there is no upstream \`${config.to}\``,
      cure: `${guess === null ? '' : `did you mean \`${guess}\`? `}upstreams here: ${known || 'none'}`,
    })
  }
  const isPathExact = upstream?.isPathExact === true
  if (pattern.isPeculiar && !isPathExact) {
    const trimmed = text.replace(/\/$/, '')
    report(path, {
      message: `\`${text}\` has a spelling that servers read differently, so no request for it could be let through`,
      cure: text.endsWith('/')
        ? `write \`${trimmed}/**\` or \`${trimmed}\`, or \`paths: exact\` on the upstream`
        : 'say `paths: exact` on the upstream if it reads paths literally',
      isAboutKey: true,
    })
  }
  checkRewrite(pattern, config, isPathExact, report)
  const { allowUnverifiedEmail } = policy.login
  const scope = {
    params: pattern.names.filter((name) => name !== ''),
    isPathExact,
    allowUnverifiedEmail,
    reservedNames,
    ...sayingsOf(policy.tokens),
  }
  const isOwnAccess = config.access !== undefined
  const access = isOwnAccess
    ? compileAccess(config.access!, scope, [...path, 'access'], report, warn)
    : compileAccess(policy.defaults.access, scope, ['defaults', 'access'], report, warn)
  const isDenied = isAllDenied(access)
  if (config.to === undefined && !isDenied) {
    report(path, { message: `\`${text}\` names no upstream`, cure: 'add `to:`, or `access: deny`', isAboutKey: true })
  }
  if (config.to !== undefined && isDenied && !isOwnAccess) {
    warn(path, {
      message: `\`${text}\` lets nobody in`,
      cure: 'add `access:`; absent, it is `defaults.access`',
      isAboutKey: true,
    })
  }
  checkRouteLimits(path, config, access, policy, report, warn)
  const route: Route = Object.freeze({
    id: text,
    place: placeName(places, path),
    access,
    proposed:
      config.proposed === undefined ? null : compileAccess(config.proposed, scope, [...path, 'proposed'], report, warn),
    upstream,
    prefixSwap:
      config.stripPrefix === undefined && config.addPrefix === undefined
        ? null
        : { strip: config.stripPrefix ?? '', add: config.addPrefix ?? '' },
    isEncodedSlashKept: config.encodedSlash === 'keep',
    limits: compileLimits(text, config, policy),
    cors: compileCors(config.cors),
    bodyBytesMax: config.body ?? policy.defaults.body,
    timeouts: compileTimeouts(
      config,
      config.to === undefined ? undefined : policy.upstreams[config.to],
      policy.defaults,
    ),
    allowRequestHeaders: lowerCase([...config.allowRequestHeaders, ...config.allowHeaderNames]),
    allowResponseHeaders: lowerCase(config.allowResponseHeaders),
    requestEdits: compileEdits(config.headers?.request),
    responseEdits: compileEdits(config.headers?.response),
    isServiceWorkerAllowed: config.serviceWorker === 'allow',
    isSharedCacheAllowed: config.sharedCache === 'allow',
  })
  return { pattern, route }
}

const CONNECT_MS = 5_000

/** Each by itself: the route's, else the upstream's. */
function compileTimeouts(
  route: Pick<RouteConfig, 'timeout' | 'timeouts'>,
  upstream: Pick<UpstreamConfig, 'timeout' | 'timeouts'> | undefined,
  defaults: PolicyConfig['defaults'],
): Timeouts {
  const [own, theirs] = [route.timeouts ?? {}, upstream?.timeouts ?? {}]
  const idleMs = own.idle ?? route.timeout ?? theirs.idle ?? upstream?.timeout ?? defaults.timeout
  return Object.freeze({
    connectMs: own.connect ?? theirs.connect ?? CONNECT_MS,
    firstByteMs: own.firstByte ?? theirs.firstByte ?? idleMs,
    idleMs,
    totalMs: own.total ?? theirs.total ?? null,
  })
}

function lowerCase(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.map((name) => name.toLowerCase()))
}

/** Lies within what the gateway serves itself, in any spelling: then no request would ever meet it. */
function isOwnPattern(pattern: Pattern): boolean {
  if (pattern.host !== null) return false // they are served on the origin alone
  const prefix = literalPrefix(pattern).toLowerCase()
  return isOwnPath(prefix) || isOwnPath(prefix.replace(/\/$/, ''))
}
