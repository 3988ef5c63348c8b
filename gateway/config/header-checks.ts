/** Rules of a route's headers: names that are nobody's to change, and other origins that browsers would never send or should never trust. */

import { isHopByHop, isReserved } from '../http/field-names.ts'
import { OUR_LIMITS, WHOLE_ORIGIN } from '../transform/response-headers.ts'
import type { PolicyConfig } from './compile.ts'
import type { Path, Trouble } from './issues.ts'
import type { RouteConfig } from './route-schema.ts'

type Report = (path: Path, trouble: Trouble) => void
type Edits = NonNullable<NonNullable<RouteConfig['headers']>['request']>
type Verb = 'remove' | 'set' | 'add'

export function checkRouteHeaders(
  path: Path,
  route: RouteConfig,
  config: PolicyConfig,
  reserved: ReadonlySet<string>,
  report: Report,
  warn: Report,
): void {
  const { request, response } = route.headers ?? {}
  if (request !== undefined) {
    checkEdits([...path, 'headers', 'request'], request, report, (lower, verb) => requestFault(lower, verb, reserved))
  }
  if (response !== undefined) {
    checkEdits([...path, 'headers', 'response'], response, report, (lower, verb) => {
      return responseFault(lower, verb, route, reserved)
    })
  }
  checkBasic(path, route, config, report)
  checkCors(path, route, config, report, warn)
}

function checkEdits(
  path: Path,
  edits: Edits,
  report: Report,
  faultOf: (lower: string, verb: Verb) => string | null,
): void {
  const taken = new Map<string, string>()
  for (const [verb, names] of [
    ['remove', edits.remove],
    ['set', Object.keys(edits.set)],
    ['add', Object.keys(edits.add)],
  ] as const) {
    for (const [at, name] of names.entries()) {
      const lower = name.toLowerCase()
      const fault = faultOf(lower, verb) ?? twice(taken.get(lower), verb)
      taken.set(lower, verb)
      if (fault === null) continue
      const isListed = verb === 'remove'
      report([...path, verb, isListed ? at : name], {
        message: `\`${name}\`: ${fault}`,
        cure: 'remove this line',
        isAboutKey: !isListed,
      })
    }
  }
}

/** What is set may be added to once more; what is removed is gone. */
function twice(before: string | undefined, verb: Verb): string | null {
  if (before === verb) return `it stands twice under \`${verb}\``
  return before === 'remove' ? `it is removed, and \`set\` does that by itself` : null
}

function requestFault(lower: string, verb: Verb, reserved: ReadonlySet<string>): string | null {
  if (isReserved(lower, reserved))
    return 'upstreams learn from this header who calls or from where, and only the gateway writes it'
  if (CREDENTIALS.has(lower))
    return 'a credential crosses only where `allowRequestHeaders` names it, and none stands in a policy'
  if (lower === 'cookie' && verb !== 'remove') return 'a request has one Cookie header, and it is the browser’s'
  if (lower === 'host') return 'write `host: upstream` at the upstream, or `host: public`'
  return framingFault(lower)
}

function responseFault(lower: string, verb: Verb, route: RouteConfig, reserved: ReadonlySet<string>): string | null {
  if (verb !== 'remove' && isReserved(lower, reserved))
    return 'this header tells upstreams who calls, and means nothing to a client'
  if (lower.startsWith('access-control-')) return 'what pages of other origins may read is said by `cors`'
  if (lower === 'set-cookie' || lower === 'set-cookie2') return 'cookies are the application’s and the gateway’s own'
  if (OUR_LIMITS.has(lower)) return 'the gateway writes this header itself'
  const allowed: readonly string[] = route.allowResponseHeaders
  if (verb !== 'remove' && WHOLE_ORIGIN.has(lower) && !allowed.some((name) => name.toLowerCase() === lower)) {
    return 'it acts on the whole origin, so it leaves only where `allowResponseHeaders` names it too'
  }
  return framingFault(lower)
}

function framingFault(lower: string): string | null {
  if (isHopByHop(lower) || FRAMING.has(lower) || lower.startsWith('sec-websocket-')) {
    return 'it frames the message, and the gateway writes that itself'
  }
  return lower === 'x-request-id' ? 'the gateway writes this header itself' : null
}

const CREDENTIALS: ReadonlySet<string> = new Set(['authorization', 'x-api-key'])
const FRAMING: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-range',
  'expect',
  'transfer-encoding',
])

/** There Authorization says who calls: one that a client chose would be somebody else. */
function checkBasic(path: Path, route: RouteConfig, { upstreams }: PolicyConfig, report: Report): void {
  const at = route.allowRequestHeaders.indexOf('Authorization')
  if (at < 0 || route.to === undefined || upstreams[route.to]?.identity !== 'basic') return
  report([...path, 'allowRequestHeaders', at], {
    message: `\`${route.to}\` is told who calls by Authorization, so a client’s own never gets there`,
    cure: 'remove it, or choose another `identity` for the upstream',
  })
}

function checkCors(path: Path, route: RouteConfig, config: PolicyConfig, report: Report, warn: Report): void {
  const { cors } = route
  if (cors === undefined) return
  const everyAt = cors.origins.indexOf('*')
  if (everyAt >= 0 && cors.credentials) {
    report([...path, 'cors', 'credentials'], {
      message: 'with `*` among the origins, any page could read what a visitor’s cookies open',
      cure: 'list the origins, or leave `credentials` out',
    })
  }
  for (const [at, origin] of cors.origins.entries()) {
    const place = [...path, 'cors', 'origins', at]
    if (origin === '*') {
      if (cors.origins.length > 1) warn(place, { message: '`*` is every origin already', cure: 'leave the others out' })
      continue
    }
    const sent = URL.parse(origin)?.origin ?? null
    if (sent !== origin) {
      report(place, {
        message: `browsers never send \`${origin}\` as an origin`,
        cure: sent === null ? 'write scheme, host and port' : `write it as they do: \`${sent}\``,
      })
    } else if (origin === new URL(config.origin).origin) {
      warn(place, { message: 'pages of the gateway’s own origin need no permission', cure: 'leave it out' })
    }
  }
  for (const [at, name] of cors.headers.entries()) {
    if (!isReserved(name.toLowerCase(), NONE)) continue
    warn([...path, 'cors', 'headers', at], {
      message: `no client may send \`${name}\`, so the upstream would never see it`,
      cure: 'leave it out',
    })
  }
}

const NONE: ReadonlySet<string> = new Set()
