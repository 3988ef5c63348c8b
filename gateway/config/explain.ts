/** Turns what the schema says into what a person can mend: one issue per mistake, the known keys, and a cure. */

import type { z } from 'zod'
import { METHOD_WORDS } from './access-schema.ts'
import { type Issue, issueAt, nearest, type Path, type Places, type Trouble } from './issues.ts'
import { gatewayJsonSchema, type JsonSchema, knownKeys } from './json-schema.ts'

type ZodIssue = z.core.$ZodIssue

/** Words of the language that this version refuses, so that nothing is ever ignored, and what to write meanwhile. */
const LATER_KEYS: Readonly<Record<string, string>> = {
  ...fromWords('people tests include tls limits mail audit console'),
  ...fromWords(
    'limit mfa fresh any not group claim ip proposed cors rewrite stripPrefix addPrefix encodedSlash health alias',
  ),
  ...fromWords(
    'google github gitlab microsoft apple discord facebook oidc saml passkey magicLink totp streamMax hosts',
  ),
  timeout: 'write it on the route or in `defaults`',
}
const LATER_VALUES = new Set([
  ...['passkey', 'google', 'github', 'gitlab', 'microsoft', 'apple', 'magicLink', 'totp', 'oidc', 'saml'],
  ...['authentik', 'pomerium', 'cloudflare', 'iap', 'kong', 'basic'],
])

function fromWords(words: string): Record<string, string> {
  return Object.fromEntries(words.split(' ').map((word) => [word, '']))
}

/** All issues of one parse. `tree` is the file as written: what it holds is quoted, so it must not hold resolved secrets. */
export function explain(error: z.ZodError, tree: unknown, places: Places): Issue[] {
  const schema = gatewayJsonSchema()
  return error.issues.flatMap((issue) => explainOne(issue, [], { tree, places, schema }))
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
      if (isMixed(value, path)) return at(mixedTrouble(value))
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
    case 'invalid_type':
      if (value === undefined) return at(missing(path, expected))
      if (issue.message.startsWith('expected'))
        return at({ message: `${issue.message}, found ${kindOf(value)}`, cure: expected })
      return at({
        message: `expected ${TYPES[issue.expected] ?? issue.expected}, found ${kindOf(value)}`,
        cure: expected,
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
    message: `the key \`${key}\` is missing`,
    cure: expected === '' ? `add \`${key}\`` : expected,
    isAboutKey: true,
  }
}

const TYPES: Readonly<Record<string, string>> = {
  object: 'a map',
  record: 'a map',
  array: 'a list',
  string: 'text',
  boolean: 'true or false',
}

/** Of the forms a value may take, the one it was meant to have is the one of its own kind. */
function explainUnion(issue: z.core.$ZodIssueInvalidUnion, path: Path, value: unknown, scene: Scene): Issue[] {
  if (isMixed(value, path)) return [issueAt(scene.places, path, mixedTrouble(value))]
  const options = issue.errors.filter(
    (option) => !option.some((inner) => inner.path.length === 0 && isOtherKind(inner)),
  )
  const ranked = (options.length > 0 ? options : issue.errors).toSorted((a, b) => weight(a, value) - weight(b, value))
  const chosen = ranked[0] ?? []
  if (options.length === 0 && chosen.length > 0) {
    const words = issue.errors.flatMap((option) =>
      option.flatMap((inner) => (inner.code === 'invalid_value' ? inner.values.map(String) : [])),
    )
    if (words.length > 0) return [issueAt(scene.places, path, wordTrouble(value, words))]
  }
  return chosen.flatMap((inner) => explainOne(inner, path, scene))
}

function isOtherKind(issue: ZodIssue): boolean {
  return issue.code === 'invalid_type' || (issue.code === 'invalid_value' && typeof issue.input === 'object')
}

const REQUIREMENT_KEYS: readonly string[] = ['role', 'scope', 'email', 'with', 'when']

/** Method keys and requirement keys in one map: it cannot be told which requirement is for which method. */
function isMixed(value: unknown, path: Path): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !isAccess(path)) return false
  const keys = Object.keys(value)
  return keys.some(isMethodKey) && keys.some((key) => REQUIREMENT_KEYS.includes(key) || Object.hasOwn(LATER_KEYS, key))
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
  const later = Object.hasOwn(LATER_KEYS, key) ? LATER_KEYS[key]! : null
  if (later !== null && !isNamedByUser(parent)) {
    return { message: `\`${key}\` is not available yet`, cure: later === '' ? 'remove it' : later, isAboutKey: true }
  }
  if (isNamedByUser(parent))
    return { message: `\`${key}\`: ${message}`, cure: exampleCure(scene.schema, parent), isAboutKey: true }
  if (/^(?:CONNECT|TRACE|TRACK)$/.test(key)) {
    return { message: `${key} is always refused`, cure: 'remove it', isAboutKey: true }
  }
  const known = [...knownKeys(scene.schema, parent), ...(isAccess(parent) ? METHOD_WORDS : [])]
  const guess = nearest(key, known) ?? (isAccess(parent) ? nearestMethod(key) : null)
  const list = known.length === 0 ? '' : `known here: ${known.join(', ')}`
  return {
    message: `unknown key \`${key}\``,
    cure: guess === null ? list : `did you mean \`${guess}\`? ${list}`,
    isAboutKey: true,
  }
}

function wordTrouble(value: unknown, known: readonly string[]): Trouble {
  const list = known.map((word) => `\`${word}\``).join(', ')
  if (typeof value !== 'string') return { message: `expected ${list}, found ${kindOf(value)}`, cure: '' }
  if (LATER_VALUES.has(value)) return { message: `\`${value}\` is not available yet`, cure: `use one of ${list}` }
  const guess = nearest(value, known)
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

function isAccess(path: Path): boolean {
  return path.includes('access')
}

const NAMED_BY_USER: readonly unknown[] = ['upstreams', 'routes', 'tokens']

/** Maps whose keys are the author's own names. */
function isNamedByUser(path: Path): boolean {
  const last = path.at(-1)
  return (path.length === 1 && NAMED_BY_USER.includes(last)) || last === 'identity' || last === 'require'
}

function isMisread(value: unknown, path: Path, scene: Scene): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const known = knownKeys(scene.schema, path)
  return known.length > 0 && Object.keys(value).some((key) => !known.includes(key))
}

/** `for example` from the schema's own examples. */
function exampleCure(schema: JsonSchema, path: Path): string {
  let node: unknown = schema
  for (const step of path) {
    if (typeof node !== 'object' || node === null) return ''
    const { properties, additionalProperties, items } = node as Record<string, unknown>
    node =
      typeof step === 'number'
        ? items
        : ((properties as Record<string, unknown> | undefined)?.[step] ?? additionalProperties)
  }
  if (typeof node !== 'object' || node === null) return ''
  const { examples } = node as { examples?: unknown }
  const [first] = Array.isArray(examples) ? examples : []
  const key = path.at(-1)
  if (first === undefined || typeof key !== 'string' || key.startsWith('/')) return ''
  return `for example \`${key}: ${typeof first === 'string' ? first : JSON.stringify(first)}\``
}

function valueAt(tree: unknown, path: Path): unknown {
  let value = tree
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<string | number, unknown>)[step]
  }
  return value
}

function kindOf(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  if (typeof value === 'string') return 'text'
  return typeof value === 'number' || typeof value === 'boolean' ? `\`${value}\`` : typeof value
}
