/** Random policies, people and requests that reach every key of `access`, every class of methods and patterns that overlap. */

import fc from 'fast-check'
import { stringify } from 'yaml'

type Tree = Readonly<Record<string, unknown>>

/** Some patterns overlap with neither more specific, so their intersections are always there. */
const ALWAYS = ['/a/**', '/a/:id', '/a/b', '/a/b/**', '/a/b/c'] as const
const OPTIONAL = [
  '/**',
  '/a/:id/c',
  '/d/*',
  '/d/**',
  '/A1',
  '/e%20f/:id',
  'api.localhost/**',
  'api.localhost/a/:id',
  '*.localhost/**',
] as const

export const ROLES = ['admin', 'editor', 'reader'] as const
const SCOPES = ['chat', 'books:write'] as const
const GROUPS = ['staff', 'ops'] as const
const EMAILS = ['alice@example.com', 'bob@example.com', 'eve@example.com'] as const
/** 127.0.0.1 is the proxy in front; what it says of the client is believed. */
const NETWORKS = ['10.0.0.0/8', '192.0.2.0/24', '2001:db8::/32'] as const
const CONDITIONS = [
  'user.id == "u_alice"',
  '"editor" in user.roles',
  'user.email == "alice@example.com"',
  'user.mfa',
  'user.claims.department == "eng"',
  'now - user.signedInAt < duration("1h")',
  'request.method == "GET"',
  'request.path.startsWith("/a/b")',
  'request.query.x == "1"',
  'request.headers["x-flag"] == "on"',
  'request.ip.startsWith("10.")',
  'request.host.startsWith("localhost")',
  '!("ops" in user.groups) || size(user.scopes) > 0',
] as const

function oneOrList<T>(values: readonly T[]): fc.Arbitrary<T | T[]> {
  return fc.oneof(
    fc.constantFrom(...values),
    fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 2 }),
  )
}

/** One object form of at most this depth of `any` and `not`. */
function requirement(params: readonly string[], depth: number): fc.Arbitrary<Tree> {
  const conditions = [
    ...CONDITIONS,
    ...params.flatMap((name) => [`params.${name} == user.id`, `params.${name} == "b"`]),
  ]
  const keys: Record<string, fc.Arbitrary<unknown>> = {
    role: oneOrList(ROLES),
    scope: oneOrList(SCOPES),
    group: oneOrList(GROUPS),
    email: oneOrList(EMAILS),
    claim: fc.record({ department: oneOrList(['eng', 'sales']) }),
    ip: oneOrList(NETWORKS),
    with: oneOrList(['session', 'token', 'key']),
    mfa: fc.constant(true),
    fresh: fc.constantFrom('15m', '12h'),
    when: fc.constantFrom(...conditions),
  }
  if (depth > 0) {
    keys.any = fc.array(requirement(params, depth - 1), { minLength: 1, maxLength: 3 })
    keys.not = requirement(params, depth - 1)
  }
  return fc
    .uniqueArray(fc.constantFrom(...Object.keys(keys)), { minLength: 1, maxLength: 2 })
    .chain((chosen) => fc.record(Object.fromEntries(chosen.map((key) => [key, keys[key]!]))))
    .map(withoutKeysThatNeverSignIn)
}

/** A key never signs in, so a policy that asks it to is refused at load. */
function withoutKeysThatNeverSignIn(tree: Tree): Tree {
  const isKeyOnly = [tree.with].flat().every((kind) => kind === 'key')
  if (tree.with === undefined || !isKeyOnly) return tree
  const { mfa, fresh, ...rest } = tree
  return rest
}

function access(params: readonly string[]): fc.Arbitrary<unknown> {
  const word = fc.constantFrom('deny', 'public', 'optional', 'login')
  const single = fc.oneof({ arbitrary: word, weight: 1 }, { arbitrary: requirement(params, 2), weight: 3 })
  const methods = ['read', 'write', 'GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS', 'PROPFIND', 'WEBSOCKET']
  const byMethod = fc
    .uniqueArray(fc.constantFrom(...methods), { minLength: 1, maxLength: 4 })
    .chain((chosen) => fc.record(Object.fromEntries(chosen.map((key) => [key, single]))))
  return fc.oneof({ arbitrary: single, weight: 2 }, { arbitrary: byMethod, weight: 2 })
}

function route(pattern: string): fc.Arbitrary<readonly [string, Tree]> {
  const params = pattern.includes(':id') ? ['id'] : []
  const isHosted = pattern.includes('localhost')
  return fc
    .record({ access: access(params), to: fc.constantFrom(...(isHosted ? ['side'] : ['up', 'up', 'up', 'exact'])) })
    .map((config) => [pattern, isHosted ? { ...config, alias: true } : config] as const)
}

/** What stands behind `tokens`, `keys` and the upstreams is the same in every policy. */
export interface World {
  readonly origin: string
  readonly upstreamUrl: string
  /** Public keys of the issuer, as JWKs. */
  readonly jwks: readonly object[]
}

export function policies({ origin, upstreamUrl, jwks }: World): fc.Arbitrary<Tree> {
  const chosen = fc.subarray([...OPTIONAL]).map((some) => [...ALWAYS, ...some])
  return chosen
    .chain((patterns) => fc.tuple(...patterns.map(route)))
    .map((routes) => ({
      version: 1,
      origin,
      trust: ['127.0.0.1/32'],
      admission: { perAddress: 'off' },
      keys: { header: 'X-API-Key', prefix: 'bk_', limit: '100000/s' },
      tokens: {
        ci: {
          issuer: 'https://ci.example.com',
          audience: 'books',
          algorithms: ['ES256'],
          keys: jwks,
          claims: { department: 'dept', groups: 'groups', email: 'email', name: 'name' },
          roles: ['editor', 'admin'],
          mfa: { amr: ['mfa'] },
        },
      },
      upstreams: {
        up: { url: upstreamUrl },
        side: { url: upstreamUrl },
        exact: { url: upstreamUrl, paths: 'exact' },
      },
      routes: Object.fromEntries(routes),
      people: PEOPLE,
    }))
}

const DAY_AGO = '20h ago'

/** Each way of coming, with and without each fact. The keys are named `<owner>-key` where they are made. */
export const PEOPLE = {
  alice: { id: 'u_alice', email: 'alice@example.com', name: 'alice', roles: ['reader'], signedIn: '2m ago' },
  bob: {
    id: 'u_bob',
    email: 'bob@example.com',
    name: 'bob',
    roles: ['editor', 'admin'],
    mfa: true,
    signedIn: '2m ago',
  },
  carol: { id: 'u_carol', email: 'carol@example.com', name: 'carol', roles: ['admin'], signedIn: DAY_AGO },
  eve: { id: 'u_eve', email: 'eve@example.com', emailVerified: false, name: 'eve', roles: [], signedIn: '2m ago' },
  script: {
    id: 'u_bob',
    email: 'bob@example.com',
    name: 'bob',
    roles: ['editor', 'admin'],
    mfa: true,
    signedIn: '2m ago',
    with: 'token',
  },
  robot: { key: 'robot', owner: 'bob', scopes: ['chat'] },
  meter: { key: 'meter', owner: 'alice' },
  builder: {
    token: 'ci',
    sub: 'job-7',
    email: 'alice@example.com',
    roles: ['editor'],
    scopes: ['books:write', 'chat'],
    groups: ['ops', 'staff'],
    claims: { department: 'eng' },
    mfa: true,
    signedIn: '2m ago',
  },
  intern: {
    token: 'ci',
    sub: 'job-8',
    scopes: ['chat'],
    groups: ['staff'],
    claims: { department: 'sales' },
    signedIn: DAY_AGO,
  },
  drifter: { token: 'ci', sub: 'job-9', signedIn: '2m ago' },
} as const

export type PersonName = keyof typeof PEOPLE | 'nobody'
export const NAMES = [...Object.keys(PEOPLE), 'nobody'] as PersonName[]

const METHODS = ['GET', 'HEAD', 'POST', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'WEBSOCKET'] as const
const PLAIN = '/ /a /a/b /a/x /a/u_alice /a/b/c /a/x/c /a/b/d/e /a/b/c/d /d /d/1 /d/1/2 /zzz'.split(' ')
/** Some servers read these in another way. */
const ODD = '/a/x?x=1&x=2 /A1 /a1 /e%20f/7 /a//b /a/b/ /A/B /a/b;x /a/%2e/b /a%2fb /a/b%2561'.split(' ')
const PATHS = [...PLAIN, ...PLAIN, '/a/b?x=1', '/a/b?x=1', ...ODD]
const HOSTS = [
  ...Array<string>(12).fill(''),
  'http://api.localhost:PORT',
  'http://other.localhost:PORT',
  'http://evil.example',
]
const HEADERS: readonly Readonly<Record<string, string>>[] = [
  {},
  {},
  {},
  { Accept: 'text/html' },
  { 'X-Flag': 'on' },
  { 'Sec-Fetch-Site': 'cross-site' },
  { Origin: 'https://evil.example' },
  { 'X-Forwarded-User': 'root', 'X-Flag': 'off' },
]
const ADDRESSES = ['10.1.2.3', '192.0.2.7', '203.0.113.9', '2001:db8::7'] as const

export interface RandomRequest {
  readonly method: string
  readonly url: string
  readonly as: PersonName
  readonly headers: Readonly<Record<string, string>>
}

export function requests(origin: string): fc.Arbitrary<RandomRequest> {
  const { port } = new URL(origin)
  return fc
    .record({
      method: fc.constantFrom(...METHODS),
      host: fc.constantFrom(...HOSTS),
      path: fc.constantFrom(...PATHS),
      as: fc.constantFrom(...NAMES),
      headers: fc.constantFrom(...HEADERS),
      address: fc.constantFrom(...ADDRESSES),
    })
    .map(({ method, host, path, as, headers, address }) => ({
      method,
      url: host.replace('PORT', port) + path,
      as,
      headers: { ...headers, 'X-Forwarded-For': address },
    }))
}

/** Every map of the tree in another order; lists keep theirs. */
export function shuffled(tree: unknown, random: () => number): unknown {
  if (Array.isArray(tree)) return tree.map((item) => shuffled(item, random))
  if (typeof tree !== 'object' || tree === null) return tree
  const entries = Object.entries(tree).map(([key, value]) => [random(), key, shuffled(value, random)] as const)
  return Object.fromEntries(entries.toSorted(([a], [b]) => a - b).map(([, key, value]) => [key, value]))
}

export function yamlOf(tree: unknown): string {
  return stringify(tree, { aliasDuplicateObjects: false, lineWidth: 0 })
}

/** Counts the keys of `access` in a policy: what a run reached. */
export function countKeys(tree: Tree, counts: Map<string, number>): void {
  const count = (key: string) => counts.set(key, (counts.get(key) ?? 0) + 1)
  const walk = (value: unknown): void => {
    if (typeof value === 'string') count(value)
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      count(key)
      if (key === 'any') for (const one of inner as readonly unknown[]) walk(one)
      else if (key === 'not' || /^(?:read|write|[A-Z]+)$/.test(key)) walk(inner)
    }
  }
  for (const { access: asked } of Object.values(tree.routes as Record<string, { readonly access: unknown }>))
    walk(asked)
}

export const ACCESS_KEYS = [
  ...['deny', 'public', 'optional', 'login', 'read', 'write', 'GET', 'POST', 'WEBSOCKET', 'PROPFIND', 'OPTIONS'],
  ...['role', 'scope', 'group', 'email', 'claim', 'ip', 'with', 'mfa', 'fresh', 'when', 'any', 'not'],
] as const
