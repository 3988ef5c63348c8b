/** Compiles what a route asks of its caller, per method, with its conditions. */

import { type ConditionScope, compileCondition, FACTS_OF_REQUEST, FACTS_OF_USER } from '../authorize/when.ts'
import { compileNetworks, parseCidr } from '../http/address.ts'
import type { ClaimValue, CredentialKind } from '../model.ts'
import type { Access, AccessByMethod, Check, Condition, Requirement } from '../rules.ts'
import type { AccessConfig, RequirementConfig, SingleAccess } from './access-schema.ts'
import { conditionCure } from './condition-cures.ts'
import { claimNames } from './credential-checks.ts'
import { nearest, type Path, type Trouble } from './issues.ts'
import type { GatewayConfig } from './schema.ts'

/** Methods that `write` is known to mean, for the Allow header; it means every other method but GET and HEAD too. */
const WRITES = ['POST', 'PUT', 'PATCH', 'DELETE'] as const

export type ReportAccess = (path: Path, trouble: Trouble) => void

/** What the credentials of this policy can say. */
export interface Sayings {
  readonly claims: readonly string[]
  readonly isGroupMapped: boolean
  readonly isForeignTokenTaken: boolean
}

export interface AccessScope extends ConditionScope, Sayings {}

export function sayingsOf(tokens: GatewayConfig['tokens']): Sayings {
  const entries = Object.values(tokens)
  return {
    claims: claimNames(tokens),
    isGroupMapped: entries.some(({ claims }) => claims.groups !== undefined),
    isForeignTokenTaken: entries.length > 0,
  }
}

export function compileAccess(
  config: AccessConfig,
  scope: AccessScope,
  path: Path,
  report: ReportAccess,
  warn: ReportAccess,
): AccessByMethod {
  const access = new Map<string, Access>()
  const compileOne = (single: SingleAccess, at: Path): Access => compileSingle(single, at, { scope, report, warn })
  if (typeof config === 'string' || !isByMethod(config)) return access.set('*', compileOne(config, path))
  const { read, write, WEBSOCKET: webSocket, ...named } = config
  if (read !== undefined) {
    const compiled = compileOne(read, [...path, 'read'])
    access.set('GET', compiled).set('HEAD', compiled)
  }
  if (write !== undefined) {
    const compiled = compileOne(write, [...path, 'write'])
    for (const method of WRITES) access.set(method, compiled)
    access.set('write', compiled).set('websocket', compiled)
  }
  if (webSocket !== undefined) access.set('websocket', compileOne(webSocket, [...path, 'WEBSOCKET']))
  for (const [method, single] of Object.entries(named)) {
    const compiled = compileOne(single, [...path, method])
    access.set(method, compiled)
    if (method === 'GET' && named.HEAD === undefined) access.set('HEAD', compiled)
  }
  return access
}

/** Does every method of every caller end in 404? */
export function isAllDenied(access: AccessByMethod): boolean {
  for (const single of access.values()) if (single.kind !== 'deny') return false
  return true
}

type ByMethod = Readonly<Record<string, SingleAccess>>

function isByMethod(config: Exclude<AccessConfig, string>): config is ByMethod {
  return Object.keys(config).some((key) => key === 'read' || key === 'write' || /^[A-Z]/.test(key))
}

interface Desk {
  readonly scope: AccessScope
  readonly report: ReportAccess
  readonly warn: ReportAccess
}

function compileSingle(single: SingleAccess, path: Path, desk: Desk): Access {
  if (typeof single === 'string') return { kind: single }
  return compileRequirement(single, path, OUTERMOST, desk)
}

/** Where an object form stands. */
interface Stand {
  readonly isNested: boolean
  readonly isNegated: boolean
  /** Who can come so far, by what is written around it. */
  readonly kinds: readonly CredentialKind[]
}

const EVERY_KIND: readonly CredentialKind[] = ['session', 'token', 'key']
const OUTERMOST: Stand = { isNested: false, isNegated: false, kinds: EVERY_KIND }

/** Without `with`, a session or a token will do; within `any` and `not`, whatever the caller came with. */
const INTERACTIVE: readonly CredentialKind[] = ['session', 'token']

/** In the order they are asked: cheap and telling nothing first, step-up last, so that it is offered only where it would help. */
function compileRequirement(config: RequirementConfig, path: Path, stand: Stand, desk: Desk): Requirement {
  const { isNested } = stand
  const accepted = config.with ?? (isNested ? EVERY_KIND : INTERACTIVE)
  const kinds = stand.kinds.filter((kind) => accepted.includes(kind))
  const inside: Stand = { isNested: true, isNegated: stand.isNegated, kinds }
  checkKinds(config, path, { ...stand, kinds }, desk)

  const checks: Check[] = []
  const needsPrincipal = isNested || Object.entries(config).some(([key, value]) => key !== 'ip' && value !== undefined)
  if (config.ip !== undefined) checks.push(compileIp(config.ip, path, desk))
  if (config.with !== undefined || !isNested) checks.push({ kind: 'with', anyOf: accepted })
  for (const kind of ['role', 'scope', 'group', 'email'] as const) {
    const anyOf = config[kind]
    if (anyOf !== undefined) checks.push({ kind, anyOf })
  }
  for (const [name, anyOf] of Object.entries(config.claim ?? {})) checks.push(compileClaim(name, anyOf, path, desk))
  if (config.not !== undefined) {
    const of = compileRequirement(config.not, [...path, 'not'], { ...inside, isNegated: !stand.isNegated }, desk)
    checks.push({ kind: 'not', of })
  }
  if (config.when !== undefined) {
    checks.push({ kind: 'when', source: config.when, condition: compileWhen(config.when, path, desk) })
  }
  if (config.any !== undefined) {
    const of = config.any.map((one, at) => compileRequirement(one, [...path, 'any', at], inside, desk))
    checks.push({ kind: 'any', of })
  }
  if (config.mfa !== undefined) checks.push({ kind: 'mfa' })
  if (config.fresh !== undefined) checks.push({ kind: 'fresh', maxAgeMs: config.fresh })
  return Object.freeze({ kind: 'require', needsPrincipal, checks: Object.freeze(checks) })
}

const NOWHERE = (): boolean => false

function compileIp(networks: readonly string[], path: Path, { report }: Desk): Check {
  const wrong = networks.filter((network) => parseCidr(network) === null)
  for (const network of wrong) {
    report(networks.length === 1 ? [...path, 'ip'] : [...path, 'ip', networks.indexOf(network)], {
      message: `\`${network}\` is not an address or a CIDR`,
      cure: 'write it as `10.0.0.0/8` or `2001:db8::/32`',
    })
  }
  return { kind: 'ip', networks, contains: wrong.length === 0 ? compileNetworks(networks) : NOWHERE }
}

function compileClaim(name: string, anyOf: readonly ClaimValue[], path: Path, { scope, report }: Desk): Check {
  if (!scope.claims.includes(name)) {
    const guess = nearest(name, scope.claims)
    const known = scope.claims.length === 0 ? '' : `; claims here: ${scope.claims.join(', ')}`
    const cure = `say where it stands, \`claims: { ${name}: <path in the token> }\`, on an issuer under \`tokens\`${known}`
    report([...path, 'claim', name], {
      message: `no issuer under \`tokens\` maps a claim \`${name}\`, so nobody could have it`,
      cure: guess === null ? cure : `did you mean \`${guess}\`? Otherwise ${cure}`,
      isAboutKey: true,
    })
  }
  return { kind: 'claim', name, anyOf }
}

/** What can never be met by anybody who gets so far: a step-up of keys is a mistake, the rest may be a plan. */
function checkKinds(config: RequirementConfig, path: Path, { kinds, isNested, isNegated }: Stand, desk: Desk): void {
  const { scope, report, warn } = desk
  if (kinds.length === 0) {
    if (isNegated) return
    warn([...path, 'with'], {
      message: `nobody gets here with ${config.with?.join(' or ') ?? 'any credential'}: what stands around it takes other credentials`,
      cure: 'name the credential in the outer `with` too: without one, that is session and token',
    })
    return
  }
  const isKeyOnly = kinds.every((kind) => kind === 'key')
  for (const key of ['mfa', 'fresh'] as const) {
    if (config[key] === undefined || !isKeyOnly || isNegated) continue
    report([...path, key], {
      message: `\`${key}\` is asked of API keys alone, and a key never signs in`,
      cure: `remove \`${key}\`, or let sessions or tokens in by \`with\``,
      isAboutKey: true,
    })
  }
  const isTokenTaken = kinds.includes('token') && scope.isForeignTokenTaken
  const never = (key: 'scope' | 'group' | 'claim', why: string, cure: string): void => {
    if (config[key] === undefined) return
    const message = `\`${key}\` is never met${isNested ? ' here' : ', so nobody gets in'}: ${why}`
    warn([...path, key], { message, cure, isAboutKey: true })
  }
  if (!isTokenTaken && !kinds.includes('key')) {
    never(
      'scope',
      'only keys and tokens of other issuers have scopes',
      'let keys in by `with`, or name an issuer under `tokens`',
    )
  }
  if (!scope.isGroupMapped) {
    never('group', 'no issuer under `tokens` says where groups stand', 'add `claims: { groups: ... }` to the issuer')
  } else if (!isTokenTaken) {
    never('group', 'only tokens of other issuers have groups', 'add `token` to `with`')
  }
  if (!isTokenTaken) {
    never('claim', 'only tokens of other issuers have claims', 'add `token` to `with`')
  }
}

const NEVER: Condition = () => null

function compileWhen(source: string, path: Path, { scope, report }: Desk): Condition {
  const when = compileCondition(source, scope)
  if (typeof when === 'function') return when
  const facts = [
    ...FACTS_OF_USER.map((name) => `user.${name}`),
    ...scope.claims.map((name) => `user.claims.${name}`),
    ...FACTS_OF_REQUEST.map((name) => `request.${name}`),
    ...scope.params.map((name) => `params.${name}`),
    'now',
  ]
  const cure = conditionCure(source, when.error) ?? cureOf(when.unknown, facts, scope)
  report([...path, 'when'], { message: when.error, cure })
  return NEVER
}

/** The facts that end in something like the unknown name, or else all there are. */
function cureOf(unknown: string | null, facts: readonly string[], { params, claims }: AccessScope): string {
  const lastOf = (fact: string): string => fact.slice(fact.lastIndexOf('.') + 1)
  const guess = unknown === null ? null : nearest(unknown, [...facts.map(lastOf), 'user', 'request', 'params'])
  if (guess !== null) {
    const meant = facts.filter((fact) => lastOf(fact) === guess).map((fact) => `\`${fact}\``)
    return `did you mean ${meant.length === 0 ? `\`${guess}\`` : meant.join(' or ')}?`
  }
  const names = params.map((name) => `params.${name}`)
  return [
    `conditions read request.{${FACTS_OF_REQUEST.join(',')}}, user.{${[...FACTS_OF_USER, 'claims'].join(',')}}, now and params`,
    names.length === 0 ? 'this pattern names no parameters' : `this pattern has ${names.join(', ')}`,
    claims.length === 0 ? 'no issuer under `tokens` maps a claim' : `claims here: ${claims.join(', ')}`,
  ].join('; ')
}
