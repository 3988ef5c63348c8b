/** OpenAPI's `security`: alternatives, each of schemes that are needed together. What cannot be asked for is never let in. */

import type { JsonObject } from '../../http/json.ts'
import type { ImportedAccess } from './policy.ts'

export type SecuritySchemes = Readonly<Record<string, JsonObject>>

/** One alternative, in our words. */
interface Alternative {
  readonly kind: 'session' | 'token' | 'key'
  /** All of them are needed. */
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
}

/** `lose` says what is dropped. `isKeyHeader`: is this the one header that API keys come in? */
export function securityAccess(
  security: unknown,
  schemes: SecuritySchemes,
  lose: (what: string) => void,
  isKeyHeader: (name: string) => boolean,
): ImportedAccess {
  if (!Array.isArray(security)) {
    lose('it says nothing about security; `security: []` says that anybody may')
    return 'deny'
  }
  if (security.length === 0) return 'public'
  let isOptional = false
  const alternatives: Alternative[] = []
  for (const one of security as readonly JsonObject[]) {
    const names = Object.keys(one)
    if (names.length === 0) isOptional = true
    else {
      const read = alternativeOf(one, schemes, isKeyHeader)
      if (typeof read === 'string') lose(`\`${names.join('` with `')}\`: ${read}`)
      else alternatives.push(read)
    }
  }
  if (isOptional) {
    if (alternatives.some(({ kind }) => kind === 'key')) lose('an API key that may be left out')
    return alternatives.some(({ kind }) => kind !== 'key') ? 'optional' : 'public'
  }
  return requirementOf(alternatives)
}

/** Why not, in words, where it cannot be asked for. */
function alternativeOf(
  one: JsonObject,
  schemes: SecuritySchemes,
  isKeyHeader: (name: string) => boolean,
): Alternative | string {
  const parts: Alternative[] = []
  for (const [name, listed] of Object.entries(one)) {
    const scheme = schemes[name]
    if (scheme === undefined) return 'there is no such scheme'
    const names = Array.isArray(listed) ? listed.filter((item) => typeof item === 'string') : []
    const part = schemeOf(scheme, names, isKeyHeader)
    if (typeof part === 'string') return part
    parts.push(part)
  }
  const [first, ...rest] = parts
  if (rest.some(({ kind }) => kind !== first!.kind)) return 'two kinds of credentials at once'
  return {
    kind: first!.kind,
    scopes: [...new Set(parts.flatMap(({ scopes }) => scopes))],
    roles: [...new Set(parts.flatMap(({ roles }) => roles))],
  }
}

function schemeOf(
  scheme: JsonObject,
  names: readonly string[],
  isKeyHeader: (name: string) => boolean,
): Alternative | string {
  const { type } = scheme
  if (type === 'oauth2' || type === 'openIdConnect') return { kind: 'token', scopes: names, roles: [] }
  if (type === 'http') {
    const word = String(scheme.scheme).toLowerCase()
    // Of schemes without scopes, 3.1 lists roles.
    return word === 'bearer' ? { kind: 'token', scopes: [], roles: names } : `HTTP ${word} is not a way in here`
  }
  if (type !== 'apiKey') return `\`${String(type)}\` is not a way in here`
  if (scheme.in === 'cookie') return { kind: 'session', scopes: [], roles: names }
  if (scheme.in !== 'header') return `a key in the ${String(scheme.in)} ends up in logs, and is not taken from there`
  const header = String(scheme.name)
  if (/^authorization$/i.test(header)) return { kind: 'token', scopes: [], roles: names }
  return isKeyHeader(header) ? { kind: 'key', scopes: [], roles: names } : 'a second header for keys'
}

function requirementOf(alternatives: readonly Alternative[]): ImportedAccess {
  const kinds = [...new Set(alternatives.map(({ kind }) => kind))]
  if (alternatives.length === 0) return 'deny'
  const [first] = alternatives
  if (alternatives.length === 1) return { with: first!.kind, ...factsOf(first!) }
  if (alternatives.every(({ scopes, roles }) => scopes.length + roles.length === 0)) return { with: kinds }
  return { with: kinds, any: alternatives.map((one) => ({ with: one.kind, ...factsOf(one) })) }
}

/** A list would mean any one of them, so each further one is an alternative without another. */
function factsOf({ scopes, roles }: Alternative): JsonObject {
  const facts = [...scopes.map((scope) => ({ scope })), ...roles.map((role) => ({ role }))]
  return facts.reduceRight<JsonObject>(
    (rest, fact) => (Object.keys(rest).length === 0 ? fact : { ...fact, any: [rest] }),
    {},
  )
}
