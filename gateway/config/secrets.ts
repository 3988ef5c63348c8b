/**
 * References to what must not stand in the file: `${env:NAME}`, `${env:NAME?}` and `${file:path}`.
 * They are resolved in secrets and addresses only, and a literal secret is refused (SECURITY rule 28).
 */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

import { type Issue, issueAt, type Path, type Places, type Trouble } from './issues.ts'

export interface Sources {
  readEnv(name: string): string | undefined
  /** Throws when the file cannot be read. */
  readFile(path: string): string
  /** Stands for a reference that leads nowhere, so that a policy can be judged without its secrets. Absent: that is an error. */
  standIn?(name: string): void
}

const REFERENCE = /\$\{([^}]*)\}/g
const KNOWN = /^(env|file):([^}?]+)(\?)?$/
const WHOLE = /^\$\{[^}]*\}$/
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

type FieldKind = 'secret' | 'store-url' | 'address' | 'plain'

/** Which fields may hold a reference, and how much of them must be one. */
function fieldKind(path: Path): FieldKind {
  const [first, second, third, fourth, fifth] = path
  if (path.length === 1) return first === 'origin' || first === 'listen' ? 'address' : 'plain'
  if (first === 'store') {
    if (second === 'secret' || second === 'secrets') return 'secret'
    return second === 'database' || second === 'redis' ? 'store-url' : 'plain'
  }
  if (first === 'tokens') {
    if (path.length === 3) return third === 'issuer' || third === 'jwks' ? 'address' : 'plain'
    if (third !== 'introspection' || path.length !== 4) return 'plain'
    if (fourth === 'clientSecret') return 'secret'
    return fourth === 'url' ? 'address' : 'plain'
  }
  if (first === 'admin') return second === 'listen' ? 'address' : 'plain'
  if (first !== 'upstreams') return 'plain'
  // A URL, a map with a `url`, or a list there of URLs and of maps with a `url` each.
  if (path.length === 2 || (path.length <= 4 && third === 'url')) return 'address'
  return path.length === 5 && third === 'url' && fifth === 'url' ? 'address' : 'plain'
}

/** A value of the right kind that leads nowhere. Nothing connects with it: it is for tools that judge a policy. */
function placeholder([first, second]: Path): string {
  if (first === 'store') {
    if (second === 'database') return 'postgres://unset.invalid/unset'
    return second === 'redis' ? 'redis://unset.invalid:6379' : PENDING_SECRET
  }
  // Issuers differ from each other, or a token could be of either.
  if (first === 'tokens') return `https://${second}.unset.invalid`
  if (first === 'upstreams') return 'http://127.0.0.1:9'
  if (first === 'origin') return 'http://localhost:8080'
  return first === 'admin' ? '127.0.0.1:8081' : '127.0.0.1:8080'
}

/** The tree with each reference replaced. A key whose optional reference is unset is absent. */
export function resolveReferences(
  tree: unknown,
  sources: Sources,
  places: Places,
): { readonly tree: unknown; readonly issues: Issue[] } {
  const issues: Issue[] = []
  const report = (path: Path, trouble: Trouble): void => {
    issues.push(issueAt(places, path, trouble))
  }
  const visit = (value: unknown, path: Path): unknown => {
    if (typeof value === 'string') return resolveText(value, path)
    if (Array.isArray(value))
      return value.map((item, at) => visit(item, [...path, at])).filter((item) => item !== ABSENT)
    if (typeof value !== 'object' || value === null) return value
    const resolved: Record<string, unknown> = {}
    for (const [key, item] of Object.entries(value)) {
      if (key.includes('${')) report([...path, key], { ...MISPLACED, isAboutKey: true })
      const found = visit(item, [...path, key])
      if (found !== ABSENT) resolved[key] = found
    }
    return resolved
  }
  const resolveText = (text: string, path: Path): unknown => {
    const kind = fieldKind(path)
    if (kind === 'plain') {
      if (text.includes('${')) report(path, MISPLACED)
      return text
    }
    if (kind === 'secret' && !WHOLE.test(text)) {
      report(path, LITERAL_SECRET)
      return PENDING_SECRET
    }
    const literal = text.replace(REFERENCE, '')
    if (kind === 'store-url' && PASSWORD.test(literal)) {
      report(path, LITERAL_PASSWORD)
      return ABSENT
    }
    let isAbsent = false
    let isBroken = false
    let isStoodIn = false
    const resolved = text.replace(REFERENCE, (whole, inner: string) => {
      const found = readReference(inner, WHOLE.test(text), sources)
      if (typeof found === 'string') return found
      if (found === null) isAbsent = true
      else if (found.isUnset === true && sources.standIn !== undefined) {
        isStoodIn = true
        sources.standIn(found.name)
      } else {
        isBroken = true
        report(path, found)
      }
      return whole
    })
    if (isBroken) return kind === 'secret' ? PENDING_SECRET : ABSENT
    if (isStoodIn) return kind === 'secret' ? PENDING_SECRET : placeholder(path)
    return isAbsent ? ABSENT : resolved
  }
  return { tree: visit(tree, []), issues }
}

const ABSENT = Symbol('absent')
/** Stands for a secret that was reported already, so that its absence is not reported again. */
const PENDING_SECRET = '*'.repeat(64)
/** RFC 3986 §3.2.1: something between the colon of the user and the `@`. */
const PASSWORD = /:\/\/[^/?#@]*:[^/?#@]+@|[?&]password=[^&]/i

interface BadReference extends Trouble {
  readonly name: string
  /** It is written well, and what it names is not there. */
  readonly isUnset?: boolean
}

/** The text a reference stands for, null when an optional one is unset, or what is wrong with it. */
function readReference(inner: string, isWhole: boolean, sources: Sources): string | null | BadReference {
  const [, scheme, name, optional] = KNOWN.exec(inner) ?? []
  if (scheme === undefined || name === undefined) {
    const guess = ENV_NAME.test(inner) ? `\`\${env:${inner}}\`` : '`${env:NAME}` or `${file:path}`'
    return { name: inner, message: `\`\${${inner}}\` is not a reference`, cure: `write ${guess}` }
  }
  if (optional !== undefined && (!isWhole || scheme === 'file')) {
    const message = `\`\${${inner}}\` cannot be optional here`
    return { name, message, cure: '`?` is for `${env:NAME?}` as a whole value' }
  }
  if (scheme === 'env') {
    if (!ENV_NAME.test(name))
      return { name, message: `\`${name}\` is not the name of a variable`, cure: 'write `${env:NAME}`' }
    const value = sources.readEnv(name)
    if (value !== undefined && value !== '') return value
    if (optional !== undefined) return null
    const what = value === undefined ? 'not set' : 'empty'
    return {
      name,
      isUnset: true,
      message: `the variable ${name} is ${what}`,
      cure: `set it, or write \`\${env:${name}?}\` where the key may be absent`,
    }
  }
  try {
    const text = sources.readFile(name).replace(/\r?\n$/, '')
    if (text !== '') return text
    return { name, isUnset: true, message: `the file ${name} is empty`, cure: 'write the value into it' }
  } catch {
    const message = `the file ${name} cannot be read`
    return { name, isUnset: true, message, cure: 'check the path and its permissions' }
  }
}

const MISPLACED: Trouble = {
  message: 'references are read in secrets and addresses only',
  cure: 'write the value here, and keep `${...}` for secrets and for the addresses of `store`, `origin`, `listen`, `admin`, `tokens` and `upstreams`',
}
const LITERAL_SECRET: Trouble = {
  message: 'a secret must not stand in the file',
  cure: 'write `${env:POSTERN_SECRET}` or `${file:/run/secrets/postern}`, and make the secret with `openssl rand -base64 48`',
  isSecret: true,
}
const LITERAL_PASSWORD: Trouble = {
  message: 'a password must not stand in the file',
  cure: 'write the whole URL as `${env:DATABASE_URL}`, or the password as `${env:NAME}` in its place',
  isSecret: true,
}
