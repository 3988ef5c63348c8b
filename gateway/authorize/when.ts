/**
 * Conditions in CEL, compiled when the policy loads: type-checked against declared facts, bounded in cost, free of credentials.
 * Only exactly `true` allows; a fact that is missing is an error, and what ends in an error is neither true nor false.
 */

import { Environment } from '@marcbachmann/cel-js'
import { isReserved } from '../http/field-names.ts'
import { nominatedNames } from '../http/header-list.ts'
import type { Principal, RequestHead } from '../model.ts'
import type { Condition, PolicyFacts } from '../rules.ts'
import { signedInAtMs } from './authorize.ts'

export interface ConditionScope {
  /** Names the route's pattern captures; any other is an error at load. */
  readonly params: readonly string[]
  /** Names that some issuer's entry gives a claim; any other is an error at load. */
  readonly claims: readonly string[]
  /** The upstream reads paths literally: other readings of a path need not meet the condition. */
  readonly isPathExact: boolean
  readonly allowUnverifiedEmail: boolean
  /** Names that explicit identity maps write, in lower case: beside the conventions', what a client sends under them is forged. */
  readonly reservedNames: ReadonlySet<string>
}

export interface ConditionError {
  readonly error: string
  /** The name that nobody knows, where the mistake is one. */
  readonly unknown: string | null
}

const SOURCE_CHARS_MAX = 1024
const LIMITS = { maxAstNodes: 256, maxDepth: 24, maxListElements: 64, maxMapEntries: 8, maxCallArguments: 4 }

/** What a condition may call. Everything here is linear in its input; `matches` is not, and case folding is not ASCII only. */
const FUNCTIONS = new Set([
  ...['has', 'size', 'startsWith', 'endsWith', 'contains', 'all', 'exists', 'exists_one'],
  ...['timestamp', 'duration', 'int', 'string'],
  ...['getHours', 'getMinutes', 'getDayOfWeek', 'getDayOfMonth', 'getMonth', 'getFullYear'],
])
const LOOPS = new Set(['all', 'exists', 'exists_one'])

/** What is longer is missing as a whole: a loop over the one that asks about the other takes the product of both. */
const NAMES_MAX = 1024
const HEADER_CHARS_MAX = 8192

/** Fields that carry a credential or that a client may forge: a condition reads neither (SECURITY rules 7 and 18). */
const HIDDEN = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key'])

/** `user.claims.<claim> in [...]`, and what the list holds: null where the text does not tell. */
interface Membership {
  readonly claim: string
  readonly type: string | null
}

interface Uses {
  /** A fact asked for by `has`, which the type check does not look into. */
  readonly unknownFact: string | null
  readonly paths: ReadonlySet<string>
  readonly hiddenHeader: string | null
  /** A header named in upper case: facts are in lower case, so it would never be found. */
  readonly capitalHeader: string | null
  readonly refusedCall: string | null
  /** The library reads a duration in the third power of its length, so none is read that a client could have sent. */
  readonly isDurationGiven: boolean
  readonly isNested: boolean
  readonly memberships: readonly Membership[]
}

export function compileCondition(source: string, scope: ConditionScope): Condition | ConditionError {
  if (source.length > SOURCE_CHARS_MAX) return wrong(`the condition is longer than ${SOURCE_CHARS_MAX} characters`)
  const facts = factsOf(scope)
  const environment = LANGUAGE.clone()
    .registerVariable('user', { schema: facts.user })
    .registerVariable('params', { schema: facts.params })
    .registerVariable('request', { schema: facts.request })
    .registerVariable('now', 'google.protobuf.Timestamp')
  let run: ReturnType<Environment['parse']>
  try {
    run = environment.parse(source)
  } catch (error) {
    return wrong(`the condition is not valid CEL: ${firstLine(error)}`)
  }
  const checked = run.check()
  if (!checked.valid) {
    const line = firstLine(checked.error)
    return wrong(`the condition does not type-check: ${line}`, UNKNOWN_NAME.exec(line)?.[1] ?? null)
  }
  if (checked.type === 'dyn')
    return wrong('the condition may yield anything, and must yield bool: compare it, as in `== true`')
  if (checked.type !== 'bool') return wrong(`the condition yields ${checked.type}, and must yield bool`)
  const uses = usesOf(run.ast, scope.reservedNames, facts)
  if (uses.unknownFact !== null) {
    return wrong(`the condition does not type-check: No such key: ${uses.unknownFact}`, uses.unknownFact)
  }
  if (uses.refusedCall !== null) return wrong(`\`${uses.refusedCall}\` is not available in conditions`)
  if (uses.isDurationGiven) return wrong('a duration is written out in a condition, as in `duration("15m")`')
  if (uses.isNested) return wrong('a loop inside a loop is not available in conditions')
  if (uses.hiddenHeader !== null) return wrong(`conditions never see the header \`${uses.hiddenHeader}\``)
  if (uses.capitalHeader !== null) {
    return wrong(`headers are named in lower case here: \`${uses.capitalHeader.toLowerCase()}\``)
  }
  const isPathRead = uses.paths.has('request.path') || uses.paths.has('request')

  const evaluate = (facts: PolicyFacts, principal: Principal, path: string): boolean | null => {
    if (!uses.memberships.every((one) => isComparable(one, principal))) return null
    try {
      const found: unknown = run(contextOf(uses.paths, facts, principal, path, scope))
      return typeof found === 'boolean' ? found : null
    } catch {
      return null
    }
  }
  return (facts, principal) => {
    const { path, readings } = facts.head.target
    const found = evaluate(facts, principal, path)
    if (found === null || !isPathRead || scope.isPathExact) return found
    // A condition on the path must come out the same for every way an upstream could read it (SECURITY rule 4).
    return readings.every((reading) => evaluate(facts, principal, reading) === found) ? found : null
  }
}

/** Pairs of types that a claim may have and be compared with. A claim that is text in one token is a list in another. */
const DIFFERENT = [
  ...['bool', 'int', 'double'].map((other) => ['string', other] as const),
  ...['int', 'double'].map((other) => ['bool', other] as const),
  ...['string', 'bool', 'int', 'double'].map((other) => ['list<dyn>', other] as const),
]

/** To the library they are unequal, and `!=` would let in whom it is to keep out: neither can be told, as of `claim`. */
const LANGUAGE = DIFFERENT.reduce(
  (environment, [one, other]) => {
    return environment.registerOperator(`dyn<${one}> == ${other}`, () => {
      throw new TypeError(`${one} and ${other} cannot be compared`)
    })
  },
  new Environment({ limits: LIMITS }),
)

/** What is of another type than the members of a list is not known to be absent from it. */
function isComparable({ claim, type }: Membership, { claims }: Principal): boolean {
  if (!Object.hasOwn(claims, claim)) return true // reading it is an error by itself
  const given = typeof claims[claim]
  return type === null ? given !== 'object' : given === type
}

const UNKNOWN_NAME = /^(?:No such key|Unknown variable): (\S+)$/

function wrong(error: string, unknown: string | null = null): ConditionError {
  return { error, unknown }
}

/** A claim is text, a number, a truth value or a list of them: which, only the token tells. */
function factsOf({ params, claims }: ConditionScope) {
  return {
    user: { ...USER, claims: Object.fromEntries(claims.map((name) => [name, 'dyn'])) },
    params: Object.fromEntries(params.map((name) => [name, 'string'])),
    request: REQUEST,
  }
}

type Facts = Readonly<Record<string, Readonly<Record<string, unknown>>>>

const USER = {
  id: 'string',
  email: 'string',
  name: 'string',
  roles: 'list<string>',
  groups: 'list<string>',
  scopes: 'list<string>',
  mfa: 'bool',
  signedInAt: 'google.protobuf.Timestamp',
}

const REQUEST = {
  method: 'string',
  host: 'string',
  path: 'string',
  query: 'map<string, string>',
  headers: 'map<string, string>',
  ip: 'string',
}

/** For whoever writes a condition; `user.claims` beside them has the names of the policy. */
export const FACTS_OF_USER: readonly string[] = Object.keys(USER)
export const FACTS_OF_REQUEST: readonly string[] = Object.keys(REQUEST)

/** Only what the condition mentions is built. A fact that is absent is left out: reading it is an error, and so a refusal. */
function contextOf(
  uses: ReadonlySet<string>,
  { head, params }: PolicyFacts,
  principal: Principal,
  path: string,
  { allowUnverifiedEmail, reservedNames }: ConditionScope,
): Record<string, unknown> {
  const { roles, groups, scopes, claims, hasSecondFactor: mfa } = principal
  const user: Record<string, unknown> = { id: principal.subject, claims, mfa }
  if (roles.length <= NAMES_MAX) user.roles = roles
  if (groups.length <= NAMES_MAX) user.groups = groups
  if (scopes.length <= NAMES_MAX) user.scopes = scopes
  const signedInMs = signedInAtMs(principal, head.receivedAtMs)
  if (signedInMs !== null) user.signedInAt = new Date(signedInMs)
  if (principal.name !== null) user.name = principal.name
  if (principal.email !== null && (principal.emailVerified || allowUnverifiedEmail)) user.email = principal.email
  const request: Record<string, unknown> = {
    method: head.method,
    host: head.target.authority,
    ip: head.clientAddress,
  }
  const isWhole = uses.has('request')
  if (isWhole || uses.has('request.path')) request.path = decodedPath(path)
  if (isWhole || uses.has('request.query')) request.query = queryOf(head.target.query)
  if (isWhole || uses.has('request.headers')) request.headers = headersOf(head, reservedNames)
  return { user, params, request, now: new Date(head.receivedAtMs) }
}

/**
 * Decoded as patterns and params are: `/1%3Arun` is `/1:run` to an upstream. It throws at what is not UTF-8. An encoded slash
 * stays one, in one spelling: decoded, it would look like the end of a segment.
 */
function decodedPath(path: string): string {
  return decodeURIComponent(path.replace(/%2f/gi, '%252F'))
}

/**
 * A parameter given twice is read differently by different servers, so it satisfies no condition. To some of them `;` parts
 * parameters too, names have no case, and `x[]` is `x`.
 */
function queryOf(query: string): Record<string, string> {
  if (query.includes(';')) throw new Error('a query that servers part differently')
  const found: Record<string, string> = Object.create(null)
  const folded = new Set<string>()
  const bracketed = new Set<string>()
  for (const [name, value] of new URLSearchParams(query)) {
    const bracket = name.indexOf('[')
    if (bracket >= 0) bracketed.add(name.slice(0, bracket).toLowerCase())
    const key = name.toLowerCase()
    if (folded.has(key)) throw new Error('a query parameter stands twice')
    folded.add(key)
    found[name] = value
  }
  for (const name of bracketed) if (folded.has(name)) throw new Error('a query parameter stands alone and as a list')
  return found
}

function headersOf({ headers, names }: RequestHead, reservedNames: ReadonlySet<string>): Record<string, string> {
  const found: Record<string, string> = Object.create(null)
  const nominated = nominatedNames(headers) // the upstream never sees them, so nothing is decided by them
  for (const [at, name] of names.entries()) {
    if (isHidden(name, reservedNames) || nominated?.has(name)) continue
    const value = headers[2 * at + 1]!
    found[name] = name in found ? `${found[name]}, ${value}` : value
    if (found[name].length > HEADER_CHARS_MAX) throw new Error('a header is too long to be read')
  }
  return found
}

function isHidden(name: string, reservedNames: ReadonlySet<string>): boolean {
  return HIDDEN.has(name) || isReserved(name, reservedNames)
}

/** One walk over the syntax tree: which facts are read, and what is not allowed in a condition. */
function usesOf(ast: unknown, reservedNames: ReadonlySet<string>, facts: Facts): Uses {
  const paths = new Set<string>()
  let unknownFact: string | null = null
  let refusedCall: string | null = null
  let hiddenHeader: string | null = null
  let capitalHeader: string | null = null
  let isDurationGiven = false
  let isNested = false
  const memberships: Membership[] = []
  const walk = (node: unknown, isInLoop: boolean): void => {
    if (Array.isArray(node)) for (const child of node) walk(child, isInLoop)
    if (!isNode(node)) return
    const { op, args } = node
    let isLoop = false
    if (op === 'id' && typeof args === 'string') paths.add(args)
    if ((op === 'call' || op === 'rcall') && Array.isArray(args) && typeof args[0] === 'string') {
      if (!FUNCTIONS.has(args[0])) refusedCall ??= args[0]
      if (args[0] === 'has') unknownFact ??= unknownIn(args[1], facts)
      if (args[0] === 'duration') isDurationGiven ||= !isWrittenOut(args.at(-1))
      isLoop = LOOPS.has(args[0])
      if (isLoop && isInLoop) isNested = true
    }
    const membership = membershipIn(node)
    if (membership !== null) memberships.push(membership)
    const header = headerRead(node)
    if (header !== null && isHidden(header.toLowerCase(), reservedNames)) hiddenHeader ??= header
    if (header !== null && /[A-Z]/.test(header)) capitalHeader ??= header
    const fact = factRead(node)
    if (fact === null) walk(args, isInLoop || isLoop)
    else paths.add(fact)
  }
  walk(ast, false)
  return { unknownFact, paths, hiddenHeader, capitalHeader, refusedCall, isDurationGiven, isNested, memberships }
}

function isWrittenOut(args: unknown): boolean {
  return Array.isArray(args) && args.every((node) => isNode(node) && node.op === 'value')
}

interface AstNode {
  readonly op: string
  readonly args: unknown
}

function isNode(value: unknown): value is AstNode {
  return typeof value === 'object' && value !== null && 'op' in value && 'args' in value && typeof value.op === 'string'
}

/** `request.path` for a plain selection of a fact, else null. A fact reached in any other way counts as the whole of its root. */
function factRead(node: AstNode): string | null {
  if (node.op !== '.' || !Array.isArray(node.args)) return null
  const [object, field] = node.args as unknown[]
  if (!isNode(object) || object.op !== 'id' || object.args !== 'request' || typeof field !== 'string') return null
  return `request.${field}`
}

/** Of `has(user.claims.x)`: the first name that is no fact, or null. A misspelt one would make `!has(...)` true for everybody. */
function unknownIn(args: unknown, facts: Facts): string | null {
  const names: string[] = []
  let node: unknown = Array.isArray(args) ? args[0] : null
  while (isNode(node) && node.op === '.' && Array.isArray(node.args) && typeof node.args[1] === 'string') {
    names.unshift(node.args[1])
    node = node.args[0]
  }
  if (!isNode(node) || node.op !== 'id' || typeof node.args !== 'string') return null
  let known: unknown = facts[node.args]
  for (const name of names) {
    if (typeof known !== 'object' || known === null) return null // within a map, whose names are the client's
    if (!Object.hasOwn(known, name)) return name
    known = (known as Readonly<Record<string, unknown>>)[name]
  }
  return null
}

/** The header a condition names: `request.headers["x-a"]`, `request.headers.host` or `"x-a" in request.headers`. */
function headerRead(node: AstNode): string | null {
  if (!Array.isArray(node.args)) return null
  const [first, second] = node.args as unknown[]
  const [object, key] = node.op === 'in' ? [second, first] : [first, second]
  if (!isNode(object) || factRead(object) !== 'request.headers') return null
  if (typeof key === 'string') return key
  return isNode(key) && key.op === 'value' && typeof key.args === 'string' ? key.args : null
}

function membershipIn({ op, args }: AstNode): Membership | null {
  if (op !== 'in' || !Array.isArray(args)) return null
  const claim = claimRead(args[0])
  return claim === null ? null : { claim, type: typeOfMembers(args[1]) }
}

/** The claim of `user.claims.x` or `user.claims["x"]`. */
function claimRead(node: unknown): string | null {
  if (!isNode(node) || !Array.isArray(node.args)) return null
  const [object, key] = node.args as unknown[]
  if (!isNode(object) || !Array.isArray(object.args) || object.args[1] !== 'claims') return null
  if (typeof key === 'string') return key
  return isNode(key) && typeof key.args === 'string' ? key.args : null
}

/** Of a list that is written out; the facts that are lists hold text. */
function typeOfMembers(node: unknown): string | null {
  if (!isNode(node) || !Array.isArray(node.args)) return null
  if (node.op === '.' && typeof node.args[1] === 'string' && node.args[1] in USER) return 'string'
  const first: unknown = node.op === 'list' ? node.args[0] : null
  if (!isNode(first) || first.op !== 'value') return null
  return typeof first.args === 'bigint' ? 'number' : typeof first.args
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!
}
