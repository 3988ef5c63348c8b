/** Turns what the schema says into what a person can mend: one issue per mistake, the known keys, and a cure. */

import type { z } from 'zod'
import { isObject } from '../http/json.ts'
import { METHOD_WORDS } from './access-schema.ts'
import { type Issue, issueAt, nearest, type Path, type Places, type Trouble } from './issues.ts'
import { gatewayJsonSchema, hasOwnKeys, type JsonSchema, knownKeys, schemasAt } from './json-schema.ts'

type ZodIssue = z.core.$ZodIssue

/** Words of the language that this version refuses, so that nothing is ever ignored. */
const LATER_KEYS = new Set([
  ...['tls', 'mail', 'audit', 'console', 'streamMax', 'oidc', 'saml', 'passkey', 'magicLink', 'totp'],
  ...['google', 'github', 'gitlab', 'microsoft', 'apple', 'discord', 'facebook'],
])
const LATER_VALUES = new Set([
  ...['passkey', 'google', 'github', 'gitlab', 'microsoft', 'apple', 'discord', 'facebook', 'magicLink', 'totp'],
  ...['oidc', 'saml'],
])

/** What other gateways call it: too far from our word to be guessed from its letters. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  hosts: 'begin the patterns of `routes` with a host: `api.example.com/**`',
  rewrite: 'write `stripPrefix` and `addPrefix`',
  rateLimit: 'write `limit`, such as `limit: 20/min per user`',
  methods: 'write the methods in `access`: `{ GET: login, POST: { role: editor } }`',
  upstream: 'write `to`',
  backend: 'write `to`',
  service: 'write `to`',
  target: 'write `to`',
  auth: 'write `access`',
  allow: 'write `access`',
  policy: 'write `access`',
  condition: 'write `when`',
  if: 'write `when`',
  cel: 'write `when`',
  network: 'write `ip`',
  cidr: 'write `ip`',
  user: 'write `email`, or `when: \'user.id == "..."\'`',
  all: 'write the keys side by side: they are all required',
  and: 'write the keys side by side: they are all required',
  or: 'write `any`',
  users: 'write `people`',
  jwt: 'write `tokens`',
  issuers: 'write `tokens`',
  services: 'write `upstreams`',
}

/** All issues of one parse. `tree` is the file as written: what it holds is quoted, so it must not hold resolved secrets. */
export function explain(error: z.ZodError, tree: unknown, places: Places): Issue[] {
  const schema = schemaOnce()
  const found = error.issues.flatMap((issue) => explainOne(issue, [], { tree, places, schema }))
  // A misspelt key was meant to be the one that is missing: one mistake, said once.
  const meant = new Set(
    found.flatMap(
      ({ path, cure }) =>
        MEANT.exec(cure)
          ?.slice(1)
          .map((key) => beside(path, key)) ?? [],
    ),
  )
  return found.filter(({ path, message }) => !message.endsWith(MISSING) || !meant.has(path))
}

/** Made when a file is wrong for the first time, and kept: it takes longer than reading one. */
let made: JsonSchema | null = null
function schemaOnce(): JsonSchema {
  made ??= gatewayJsonSchema()
  return made
}

const MISSING = '` is missing'
const MEANT = /^did you mean `([^`]+)`\?/

function beside(path: string, key: string): string {
  return path.slice(0, path.lastIndexOf('.') + 1) + key
}

interface Scene {
  readonly tree: unknown
  readonly places: Places
  readonly schema: JsonSchema
}

function explainOne(issue: ZodIssue, base: Path, scene: Scene): Issue[] {
  const path = [...base, ...issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))]
  const value = valueAt(scene.tree, path)
  const at = (trouble: Trouble): Issue[] => [issueAt(scene.places, path, trouble)]
  const expected = exampleCure(scene.schema, path)
  switch (issue.code) {
    case 'unrecognized_keys':
      if (isMixed(value, path, scene)) return at(mixedTrouble(value))
      return issue.keys.map((key) => issueAt(scene.places, [...path, key], unknownKey(key, path, scene)))
    case 'invalid_union':
      return explainUnion(issue, path, value, scene)
    case 'invalid_key': {
      const key = String(path.at(-1))
      const parent = path.slice(0, -1)
      return [issueAt(scene.places, path, keyTrouble(key, parent, issue.issues[0]?.message ?? 'unexpected key', scene))]
    }
    case 'invalid_value':
      if (value === undefined) return at(missing(path, expected))
      return at(wordTrouble(value, issue.values.map(String)))
    case 'too_small':
    case 'too_big':
      return at({ message: sizeTrouble(issue, value), cure: expected })
    case 'invalid_type':
      if (value === undefined) return at(missing(path, expected))
      if (typeof value === 'string' && issue.expected === 'string') return at(absent(value))
      if (issue.message.startsWith('expected'))
        return at({ message: `${issue.message}, found ${kindOf(value)}`, cure: expected })
      return at({
        message: `expected ${TYPES[issue.expected] ?? issue.expected}, found ${kindOf(value)}`,
        cure: typeCure(issue.expected, value, path, expected),
      })
    case 'custom':
      // What a map asks for cannot be judged while its keys are not understood.
      return isMisread(value, path, scene) ? [] : at({ message: issue.message, cure: expected })
    default:
      return at({ message: issue.message.replace(/^Too/, 'too').replace(/^Invalid/, 'invalid'), cure: expected })
  }
}

function missing(path: Path, expected: string): Trouble {
  const key = String(path.at(-1) ?? '')
  return {
    message: `the key \`${key}${MISSING}`,
    cure: expected === '' ? `add \`${key}\`` : expected,
    isAboutKey: true,
  }
}

/** The file has text there, and it was taken away: an optional reference that is unset. */
function absent(reference: string): Trouble {
  return {
    message: `${reference} is not set, and this key cannot be absent`,
    cure: 'set the variable, or write the value',
  }
}

const TYPES: Readonly<Record<string, string>> = {
  object: 'a map',
  record: 'a map',
  array: 'a list',
  string: 'text',
  boolean: 'true or false',
}

function typeCure(type: string, value: unknown, path: Path, expected: string): string {
  if (isAccess(path) && path.some((step) => step === 'any' || step === 'not')) {
    return 'words such as `login` stand alone; write a requirement here, such as `{ role: editor }`'
  }
  const isList = Array.isArray(value) && (type === 'record' || type === 'object')
  return isList ? `write the entries as keys, without \`- \`${expected === '' ? '' : `: ${expected}`}` : expected
}

function sizeTrouble(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig, value: unknown): string {
  if (issue.message.startsWith('expected')) return issue.message
  const [most, bound] = issue.code === 'too_big' ? ['at most', issue.maximum] : ['at least', issue.minimum]
  if (issue.origin === 'string') return `expected ${most} ${bound} characters`
  if (issue.origin === 'array')
    return `expected ${most} ${bound} ${Number(bound) === 1 ? 'entry' : 'entries'} in this list`
  return `expected ${most} ${bound}, found ${kindOf(value)}`
}

/** Of the forms a value may take, the one it was meant to have is the one of its own kind. */
function explainUnion(issue: z.core.$ZodIssueInvalidUnion, path: Path, value: unknown, scene: Scene): Issue[] {
  if (isMixed(value, path, scene)) return [issueAt(scene.places, path, mixedTrouble(value))]
  const all = formsOf(issue)
  const options = all.filter((option) => !option.some((inner) => inner.path.length === 0 && isOtherKind(inner)))
  const words = all.flatMap((option) =>
    option.flatMap((inner) =>
      inner.code === 'invalid_value' && inner.path.length === 0 ? inner.values.map(String) : [],
    ),
  )
  if (typeof value === 'string' && words.length > 0) {
    const shape = options.flat().find((inner) => inner.path.length === 0 && inner.code !== 'invalid_value')
    const isWord = shape === undefined || nearest(value, words) !== null || LATER_VALUES.has(value)
    if (isWord) return [issueAt(scene.places, path, wordTrouble(value, words))]
    const others = `or write ${words.map((word) => `\`${word}\``).join(', ')}`
    const example = exampleCure(scene.schema, path)
    const cure = example === '' ? others : `${example}, ${others}`
    return [issueAt(scene.places, path, { message: shape.message, cure })]
  }
  const ranked = (options.length > 0 ? options : all).toSorted((a, b) => weight(a, value) - weight(b, value))
  const chosen = ranked[0] ?? []
  if (options.length === 0 && chosen.length > 0 && words.length > 0) {
    const trouble = wordTrouble(value, words)
    return [issueAt(scene.places, path, { ...trouble, cure: trouble.cure || exampleCure(scene.schema, path) })]
  }
  return chosen.flatMap((inner) => explainOne(inner, path, scene))
}

/** The forms of a union, those of unions in it among them. */
function formsOf({ errors }: z.core.$ZodIssueInvalidUnion): readonly (readonly ZodIssue[])[] {
  return errors.flatMap((option) => {
    const [only] = option
    const isNested = option.length === 1 && only?.code === 'invalid_union' && only.path.length === 0
    return isNested ? formsOf(only) : [option]
  })
}

function isOtherKind(issue: ZodIssue): boolean {
  return issue.code === 'invalid_type' || (issue.code === 'invalid_value' && typeof issue.input === 'object')
}

/** Method keys and requirement keys in one map: it cannot be told which requirement is for which method. */
function isMixed(value: unknown, path: Path, scene: Scene): value is Readonly<Record<string, unknown>> {
  if (!isObject(value) || !isAccess(path)) return false
  const keys = Object.keys(value)
  const known = knownKeys(scene.schema, path)
  return keys.some(isMethodKey) && keys.some((key) => known.includes(key) || nearest(key, known) !== null)
}

function mixedTrouble(value: Readonly<Record<string, unknown>>): Trouble {
  const keys = Object.keys(value)
  const method = keys.find(isMethodKey) ?? 'read'
  const other = keys.find((key) => !isMethodKey(key)) ?? 'role'
  return {
    message: `method keys (\`${method}\`) and requirement keys (\`${other}\`) never stand in one map`,
    cure: `give each method its own requirement: \`{ ${method}: { ${other}: ... } }\``,
  }
}

/** Maps of methods are recognized by their keys; else the form with the fewest keys amiss was meant. */
function weight(issues: readonly ZodIssue[], value: unknown): number {
  let sum = 0
  for (const issue of issues) {
    if (issue.code === 'unrecognized_keys') sum += 2 * issue.keys.length
    else if (issue.code === 'invalid_key') sum += hasMethodKey(value) ? 1 : 3
    else if (issue.code === 'invalid_value' && issue.path.length === 0 && typeof value === 'object') sum += 100
    else sum += 1
  }
  return sum
}

function unknownKey(key: string, path: Path, scene: Scene): Trouble {
  return keyTrouble(key, path, `unknown key \`${key}\``, scene)
}

function keyTrouble(key: string, parent: Path, message: string, scene: Scene): Trouble {
  if (hasOwnKeys(scene.schema, parent))
    return { message: `\`${key}\`: ${message}`, cure: exampleCure(scene.schema, parent), isAboutKey: true }
  if (LATER_KEYS.has(key)) return { message: `\`${key}\` is not available yet`, cure: 'remove it', isAboutKey: true }
  if (/^(?:CONNECT|TRACE|TRACK)$/.test(key)) {
    return { message: `${key} is always refused`, cure: 'remove it', isAboutKey: true }
  }
  const isWithMethods = isMethodMap(parent)
  const known = [...knownKeys(scene.schema, parent), ...(isWithMethods ? METHOD_WORDS : [])]
  const elsewhere = Object.hasOwn(ELSEWHERE, key) ? ELSEWHERE[key]! : null
  const meant = elsewhere === null ? null : /^write `(\w+)`/.exec(elsewhere)?.[1]
  if (elsewhere !== null && (meant === undefined || known.includes(meant!))) {
    return { message: `unknown key \`${key}\``, cure: elsewhere, isAboutKey: true }
  }
  const homes = homesOf(key, parent, scene)
  const guess = nearest(key, known) ?? (isWithMethods ? nearestMethod(key) : null)
  if (guess !== null) {
    const also = homes === null ? '' : ` \`${key}\` itself is a key of ${homes}`
    return { message: `unknown key \`${key}\``, cure: `did you mean \`${guess}\`?${also}`, isAboutKey: true }
  }
  if (homes !== null)
    return { message: `\`${key}\` does not stand here`, cure: `it is a key of ${homes}`, isAboutKey: true }
  const cure = known.length === 0 ? '' : `known here: ${known.join(', ')}`
  return { message: `unknown key \`${key}\``, cure, isAboutKey: true }
}

const HOMES: readonly (readonly [name: string, path: Path])[] = [
  ['the file', []],
  ['a route', ['routes', '/']],
  ['`access`', ['routes', '/', 'access']],
  ['an upstream', ['upstreams', 'a']],
  ['`defaults`', ['defaults']],
  ['`login`', ['login']],
  ['`store`', ['store']],
]

/** Where else a key would be known: one that stands a level too high or too low is the commonest slip of indentation. */
function homesOf(key: string, parent: Path, { schema }: Scene): string | null {
  if (parent[0] === 'people' || parent[0] === 'tests') return null
  const found = HOMES.filter(([, path]) => knownKeys(schema, path).includes(key)).map(([name]) => name)
  return found.length === 0 ? null : found.join(' and of ')
}

function wordTrouble(value: unknown, known: readonly string[]): Trouble {
  const list = known.map((word) => `\`${word}\``).join(', ')
  if (known.length === 1 && known[0] === 'true') {
    return { message: `expected \`true\`, found ${shown(value)}`, cure: 'write `true`, or leave the key out' }
  }
  if (typeof value !== 'string') return { message: `expected ${list}, found ${kindOf(value)}`, cure: '' }
  if (LATER_VALUES.has(value)) return { message: `\`${value}\` is not available yet`, cure: `use one of ${list}` }
  const guess = nearest(value, known)
  if (known.length === 1) return { message: `expected ${list}, found ${shown(value)}`, cure: '' }
  return {
    message: `\`${value.slice(0, 64)}\` is not one of ${list}`,
    cure: guess === null ? '' : `did you mean \`${guess}\`?`,
  }
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'REPORT'] as const

function nearestMethod(key: string): string | null {
  return METHODS.find((method) => method === key.toUpperCase()) ?? null
}

function isMethodKey(key: string): boolean {
  return key === 'read' || key === 'write' || /^[A-Z][A-Z-]*$/.test(key)
}

function hasMethodKey(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).some((key) => isMethodKey(key) || nearestMethod(key) !== null)
  )
}

/** At or within what a route asks of its caller. */
function isAccess([section, name, key]: Path): boolean {
  if (section === 'defaults') return name === 'access'
  return section === 'routes' && (key === 'access' || key === 'proposed')
}

/** Where methods may be keys: at the top of `access`, never deeper. */
function isMethodMap(path: Path): boolean {
  return isAccess(path) && path.length === (path[0] === 'defaults' ? 2 : 3)
}

function isMisread(value: unknown, path: Path, scene: Scene): boolean {
  if (!isObject(value)) return false
  const known = knownKeys(scene.schema, path)
  return known.length > 0 && Object.keys(value).some((key) => !known.includes(key))
}

/** `for example` from the schema's own examples. */
function exampleCure(schema: JsonSchema, path: Path): string {
  const key = path.at(-1)
  if (typeof key !== 'string') return ''
  const parent = path.slice(0, -1)
  // What the author named has its example in that of the map it stands in.
  if (hasOwnKeys(schema, parent)) {
    const [entry] = Object.values(firstExample(schema, parent, true) ?? {})
    return entry === undefined ? '' : `for example \`${key}: ${inYaml(entry)}\``
  }
  const example = firstExample(schema, path)
  return example === undefined ? '' : `for example \`${key}: ${inYaml(example)}\``
}

function firstExample(schema: JsonSchema, path: Path, isMapWanted = false): unknown {
  const all = schemasAt(schema, path).flatMap(({ examples }) =>
    Array.isArray(examples) ? (examples as unknown[]) : [],
  )
  return all.find((example) => !isMapWanted || (typeof example === 'object' && !Array.isArray(example)))
}

/** As the file would have it: without the quotes that JSON needs and YAML does not. */
function inYaml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inYaml).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    return `{ ${Object.entries(value)
      .map(([key, item]) => `${key}: ${inYaml(item)}`)
      .join(', ')} }`
  }
  if (typeof value !== 'string') return JSON.stringify(value)
  return /[{}[\],#&*!|>'"%@`]|^$|: /.test(value) || /^(?:\d|true$|false$|null$)/.test(value) ? quoted(value) : value
}

function quoted(value: string): string {
  return PLAIN_NUMBERED.test(value) ? value : JSON.stringify(value)
}

/** Begins with a digit, and is text all the same. */
const PLAIN_NUMBERED = /^\d+(?:\.\d+)*[a-zA-Z/:][\w/. :-]*$/

function valueAt(tree: unknown, path: Path): unknown {
  let value = tree
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<string | number, unknown>)[step]
  }
  return value
}

function shown(value: unknown): string {
  return typeof value === 'string' ? `\`${value.slice(0, 64)}\`` : kindOf(value)
}

function kindOf(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  if (typeof value === 'string') return 'text'
  return typeof value === 'number' || typeof value === 'boolean' ? `\`${value}\`` : typeof value
}
