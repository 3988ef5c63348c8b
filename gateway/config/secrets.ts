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
}

const REFERENCE = /\$\{([^}]*)\}/g
const KNOWN = /^(env|file):([^}?]+)(\?)?$/
const WHOLE = /^\$\{[^}]*\}$/
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/** Which fields may hold a reference, and how much of them must be one. */
function fieldKind(path: Path): 'secret' | 'store-url' | 'address' | 'plain' {
  const [first, second] = path
  if (first === 'store') {
    if (second === 'secret' || second === 'secrets') return 'secret'
    return second === 'database' || second === 'redis' ? 'store-url' : 'plain'
  }
  if (first === 'tokens' && path[2] === 'introspection' && path[3] === 'clientSecret') return 'secret'
  if (first === 'tokens' && path.length === 3 && (path[2] === 'issuer' || path[2] === 'jwks')) return 'address'
  if (first === 'admin' && second === 'listen') return 'address'
  if (path.length === 1 && (first === 'origin' || first === 'listen')) return 'address'
  if (first === 'upstreams' && (path.length === 2 || (path.length === 3 && path[2] === 'url'))) return 'address'
  return 'plain'
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
    const resolved = text.replace(REFERENCE, (whole, inner: string) => {
      const found = readReference(inner, WHOLE.test(text), sources)
      if (typeof found === 'string') return found
      if (found === null) isAbsent = true
      else {
        isBroken = true
        report(path, found)
      }
      return whole
    })
    if (isBroken) return kind === 'secret' ? PENDING_SECRET : ABSENT
    return isAbsent ? ABSENT : resolved
  }
  return { tree: visit(tree, []), issues }
}

const ABSENT = Symbol('absent')
/** Stands for a secret that was reported already, so that its absence is not reported again. */
const PENDING_SECRET = '*'.repeat(64)
/** RFC 3986 §3.2.1: something between the colon of the user and the `@`. */
const PASSWORD = /:\/\/[^/?#@]*:[^/?#@]+@|[?&]password=[^&]/i

/** The text a reference stands for, null when an optional one is unset, or what is wrong with it. */
function readReference(inner: string, isWhole: boolean, sources: Sources): string | null | Trouble {
  const [, scheme, name, optional] = KNOWN.exec(inner) ?? []
  if (scheme === undefined || name === undefined) {
    const guess = ENV_NAME.test(inner) ? `\`\${env:${inner}}\`` : '`${env:NAME}` or `${file:path}`'
    return { message: `\`\${${inner}}\` is not a reference`, cure: `write ${guess}` }
  }
  if (optional !== undefined && (!isWhole || scheme === 'file')) {
    return { message: `\`\${${inner}}\` cannot be optional here`, cure: '`?` is for `${env:NAME?}` as a whole value' }
  }
  if (scheme === 'env') {
    if (!ENV_NAME.test(name))
      return { message: `\`${name}\` is not the name of a variable`, cure: 'write `${env:NAME}`' }
    const value = sources.readEnv(name)
    if (value !== undefined && value !== '') return value
    if (optional !== undefined) return null
    const what = value === undefined ? 'not set' : 'empty'
    return {
      message: `the variable ${name} is ${what}`,
      cure: `set it, or write \`\${env:${name}?}\` where the key may be absent`,
    }
  }
  try {
    const text = sources.readFile(name).replace(/\r?\n$/, '')
    return text !== '' ? text : { message: `the file ${name} is empty`, cure: 'write the value into it' }
  } catch {
    return { message: `the file ${name} cannot be read`, cure: 'check the path and its permissions' }
  }
}

const MISPLACED: Trouble = {
  message: 'references are read in secrets and addresses only',
  cure: 'write the value here, and keep `${...}` for store, origin, listen and upstream URLs',
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
