/** oauth2-proxy: a configuration file, or its flags one to a line. Routes that skip sign-in are carried only where they can be said exactly. */

import {
  HERE,
  type Imported,
  type ImportedAccess,
  type ImportedRoute,
  type ImportTarget,
  type Loss,
  UPSTREAM_HERE,
} from './policy.ts'
import { patternsOf } from './regex.ts'

type Value = string | readonly string[]

/** What has no counterpart because the gateway does it by itself, or because it is about the proxy's own workings. */
const NEEDLESS =
  /^(?:cookie_|redirect_url$|http_address$|https_address$|client_id$|client_secret|provider(?:_display_name)?$|oidc_issuer_url$|scope$|reverse_proxy$|skip_provider_button$|logging_|request_logging|standard_logging|auth_logging|silence_ping|ping_|ready_|metrics_|session_|redis_|pass_user_headers$|pass_host_header$|set_xauthrequest$|proxy_prefix$|custom_|footer$|banner$|code_challenge_method$|approval_prompt$|prompt$|login_url$|redeem_url$|profile_url$|validate_url$|oidc_jwks_url$|skip_oidc_discovery$|tls_|force_https$|real_client_ip_header$|api_routes$|email_domains?$|upstreams?$|skip_auth_routes?$|skip_auth_regex$|allowed_groups?$|allowed_roles?$|skip_jwt_bearer_tokens$|extra_jwt_issuers$|force_json_errors$|show_debug_on_error$|errors_to_info_log$|gcp_healthchecks$)/

export function importOauth2Proxy(text: string, target: ImportTarget): Imported {
  const losses: Loss[] = []
  const options = readOptions(text, losses)
  const list = (...names: readonly string[]): readonly string[] =>
    names.flatMap((name) => options.get(name) ?? []).flat()
  const one = (name: string): string | null => list(name)[0] ?? null
  const isOn = (name: string): boolean => one(name) === 'true'
  const lose = (where: string, what: string, instead: string): void => {
    losses.push({ where, what, instead })
  }

  const { upstreams, places } = upstreamsOf(list('upstreams', 'upstream'), target, losses)
  const access = accessOf(list, isOn, lose)
  const routes = new Map<string, ImportedRoute>()
  for (const [pattern, to] of places) {
    routes.set(pattern, {
      to: access === 'deny' ? null : to,
      access: new Map([['*', access]]),
      more: {},
      comment: null,
    })
  }
  for (const entry of list('skip_auth_routes', 'skip_auth_route')) addOpen(entry, routes, places, lose)
  for (const regex of list('skip_auth_regex')) addOpen(regex, routes, places, lose)

  const issuers = new Map<string, string>()
  if (isOn('skip_jwt_bearer_tokens')) {
    const [issuer, audience] = [one('oidc_issuer_url'), one('client_id')]
    if (issuer !== null && audience !== null) issuers.set(issuer, audience)
    for (const pair of list('extra_jwt_issuers')) {
      const equals = pair.lastIndexOf('=')
      if (equals > 0) issuers.set(pair.slice(0, equals), pair.slice(equals + 1))
    }
  }
  const tokens = Object.fromEntries(
    [...issuers].map(([issuer, audience], at) => [`issuer${at + 1}`, { issuer, audience }]),
  )
  if (one('oidc_issuer_url') !== null || one('provider') !== null) {
    lose(
      'provider',
      'people sign in with accounts of the gateway, not of that provider',
      'make accounts with `postern admin create`',
    )
  }
  for (const [name, value] of options) {
    if (!NEEDLESS.test(name) && value !== 'false') lose(name, 'it has no counterpart', 'nothing is opened by it')
  }
  const redirect = URL.parse(one('redirect_url') ?? '')
  return {
    title: 'from oauth2-proxy',
    origin: target.origin ?? redirect?.origin ?? HERE,
    upstreams,
    sections: Object.keys(tokens).length === 0 ? {} : { tokens },
    routes,
    tests: [],
    losses,
  }
}

type List = (...names: readonly string[]) => readonly string[]
type Lose = (where: string, what: string, instead: string) => void

/** Who may come in where sign-in is not skipped. */
function accessOf(list: List, isOn: (name: string) => boolean, lose: Lose): ImportedAccess {
  const kinds = isOn('skip_jwt_bearer_tokens') ? ['session', 'token'] : 'session'
  const unknown = [
    'authenticated_emails_file',
    'htpasswd_file',
    'keycloak_group',
    'github_org',
    'github_team',
    'google_group',
  ].find((name) => list(name).length > 0)
  if (unknown !== undefined && unknown !== 'htpasswd_file') {
    lose(
      unknown,
      'who may come in is said elsewhere',
      'everything is denied; write `email:`, `group:` or `role:` on the routes',
    )
    return 'deny'
  }
  const facts: Record<string, unknown> = { with: kinds }
  const domains = list('email_domains', 'email_domain')
  if (domains.length === 0) {
    lose('email_domains', 'none is named, so nobody may come in', 'everything is denied')
    return 'deny'
  }
  if (!domains.includes('*')) {
    const odd = domains.find((domain) => !/^\.?[a-z0-9.-]+$/i.test(domain) || domain.startsWith('.'))
    if (odd !== undefined) {
      lose('email_domains', `\`${odd}\` is not one whole domain`, 'everything is denied')
      return 'deny'
    }
    facts.when = domains.map((domain) => `user.email.endsWith("@${domain.toLowerCase()}")`).join(' || ')
    lose(
      'email_domains',
      'addresses are compared as they were given, capitals and all',
      'who wrote theirs in capitals is refused',
    )
  }
  const groups = list('allowed_groups', 'allowed_group')
  const roles = list('allowed_roles', 'allowed_role')
  if (groups.length > 0) {
    facts.group = groups
    lose(
      'allowed_groups',
      'accounts of the gateway are in no group, only tokens are',
      'name the claim under `tokens`, or write `role:`',
    )
  }
  if (roles.length > 0) facts.role = roles
  return facts
}

function addOpen(
  entry: string,
  routes: Map<string, ImportedRoute>,
  places: ReadonlyMap<string, string>,
  lose: Lose,
): void {
  const [, method = null, negation = '', regex = entry] = /^([A-Z]+)(!?)=(.*)$/.exec(entry) ?? []
  const found = negation === '' ? patternsOf(regex, 'start') : null
  if (found === null) {
    lose(`skip_auth_routes ${entry}`, 'it cannot be said exactly as patterns', 'stays behind sign-in')
    return
  }
  for (const { exact: pattern } of found) {
    const under = [...places]
      .filter(([place]) => isUnder(pattern, place))
      .toSorted(([a], [b]) => b.length - a.length)[0]
    if (under === undefined) {
      lose(`skip_auth_routes ${entry}`, `no upstream serves \`${pattern}\``, 'left out')
      continue
    }
    const guarded = routes.get(pattern)?.access ?? routes.get(under[0])!.access
    const whole = guarded.get('*')
    const beside = whole === undefined ? guarded : new Map(wholly(whole))
    const access = new Map<string, ImportedAccess>(
      method === null ? [['*', 'public']] : [...beside, [method, 'public']],
    )
    routes.set(pattern, { to: under[1], access, more: {}, comment: null })
  }
}

/** All methods, by the words that stand beside single ones. */
function wholly(access: ImportedAccess): readonly (readonly [string, ImportedAccess])[] {
  return [
    ['read', access],
    ['write', access],
  ]
}

function isUnder(pattern: string, place: string): boolean {
  if (place === '/**') return true
  return place.endsWith('/**') ? pattern.startsWith(`${place.slice(0, -3)}/`) : pattern === place
}

/** The path of an upstream's URL is the prefix of the requests it gets. */
function upstreamsOf(urls: readonly string[], target: ImportTarget, losses: Loss[]) {
  const upstreams: Record<string, string> = {}
  const places = new Map<string, string>()
  for (const text of urls) {
    const url = URL.parse(text)
    if (url === null || !/^https?:$/.test(url.protocol)) {
      losses.push({
        where: `upstream ${text}`,
        what: 'only http and https are upstreams here',
        instead: 'left out, so denied',
      })
      continue
    }
    const known = Object.entries(upstreams).find(([, origin]) => origin === url.origin)?.[0]
    const name = known ?? (Object.keys(upstreams).length === 0 ? 'app' : `app${Object.keys(upstreams).length + 1}`)
    upstreams[name] = url.origin
    const path = url.hash.startsWith('#/') ? url.hash.slice(1) : url.pathname
    places.set(path.endsWith('/') ? `${path}**` : path, name)
  }
  if (places.size === 0) {
    upstreams.app = target.upstream ?? UPSTREAM_HERE
    if (urls.length === 0) places.set('/**', 'app')
  } else if (target.upstream !== null) upstreams.app = target.upstream
  return { upstreams, places }
}

/** `name = "value"`, `name = [...]` over several lines, or `--name=value`. Tables belong to parts that are not carried. */
function readOptions(text: string, losses: Loss[]): ReadonlyMap<string, Value> {
  const options = new Map<string, Value>()
  const add = (name: string, value: Value): void => {
    const key = name.replaceAll('-', '_')
    const known = options.get(key)
    options.set(key, known === undefined ? value : [known, value].flat())
  }
  const joined = text.replace(/=\s*\[[^\]]*\]/g, (list) => list.replace(/#[^\n"']*$/gm, '').replace(/\s*\n\s*/g, ' '))
  for (const [at, raw] of joined.split(/\r?\n/).entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const flag = /^--([a-z0-9-]+)(?:[= ](.*))?$/i.exec(line)
    const pair = flag ?? /^([A-Za-z0-9_-]+)\s*=\s*(.*)$/.exec(line)
    if (pair === null) {
      losses.push({ where: `line ${at + 1}`, what: 'it is not a setting', instead: 'left out' })
      continue
    }
    add(pair[1]!, readValue(pair[2] ?? 'true'))
  }
  return options
}

function readValue(text: string): Value {
  const list = /^\[(.*)\]/.exec(text)?.[1]
  if (list !== undefined)
    return [...list.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'/g)].map((item) => item[2] ?? unescaped(item[1]!))
  const quoted = /^"((?:[^"\\]|\\.)*)"|^'([^']*)'/.exec(text)
  if (quoted !== null) return quoted[2] ?? unescaped(quoted[1]!)
  return text.replace(/\s+#.*$/, '').trim()
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, '$1')
}
