/** OpenAPI 3.0 and 3.1: paths and their `security` become routes and access. The document comes with its references resolved. */

import { isObject, type JsonObject } from '../../http/json.ts'
import { parsePattern } from '../../route/pattern.ts'
import { type SecuritySchemes, securityAccess } from './openapi-security.ts'
import { bothOf } from './overlaps.ts'
import {
  HERE,
  ImportError,
  type Imported,
  type ImportedAccess,
  type ImportedRoute,
  type ImportedTest,
  type ImportTarget,
  type Loss,
  UPSTREAM_HERE,
} from './policy.ts'

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'] as const
const OWN = { scheme: 'http', authority: 'localhost' } as const

/** References that lead out of the document: nothing is fetched for an import (SECURITY rule 34). */
export function outerReferences(document: unknown): readonly string[] {
  const found = new Set<string>()
  const seen = new Set<object>()
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return
    seen.add(value)
    for (const [key, item] of Object.entries(value)) {
      if (key === '$ref' && typeof item === 'string' && !item.startsWith('#')) found.add(item)
      walk(item)
    }
  }
  walk(document)
  return [...found]
}

export function importOpenApi(document: unknown, target: ImportTarget): Imported {
  if (!isObject(document) || typeof document.openapi !== 'string' || !/^3\.[01]\./.test(document.openapi)) {
    throw new ImportError('This is not OpenAPI 3.0 or 3.1: convert the document first.')
  }
  const losses: Loss[] = []
  const components = isObject(document.components) ? document.components : {}
  const schemes = (isObject(components.securitySchemes) ? components.securitySchemes : {}) as SecuritySchemes
  const base = basePathOf(document.servers, losses)
  const routes = new Map<string, ImportedRoute>()
  const tests: ImportedTest[] = []
  /** Patterns that match the same paths by their shape, so that `/a/{x}` and `/a/{y}` meet. */
  const shapes = new Map<string, string>()
  let keyHeader: string | null = null
  const keyHeaderOf = (name: string): boolean => {
    keyHeader ??= name
    return keyHeader.toLowerCase() === name.toLowerCase()
  }

  for (const [path, item] of Object.entries(isObject(document.paths) ? document.paths : {})) {
    if (!isObject(item)) continue
    const { pattern, fault, sample } = patternOf(base + path)
    const access = new Map<string, ImportedAccess>()
    for (const name of METHODS) {
      const operation = item[name]
      if (!isObject(operation)) continue
      const method = name.toUpperCase()
      const where = `${method} ${path}`
      const lose = (what: string): void => {
        losses.push({ where, what, instead: 'denied' })
      }
      if (method === 'TRACE') {
        losses.push({ where, what: 'TRACE is never forwarded', instead: 'refused' })
        continue
      }
      let asked: ImportedAccess = 'deny'
      if (fault !== null) lose(fault)
      else if (operation.servers !== undefined || item.servers !== undefined) lose('it has servers of its own')
      else asked = securityAccess(operation.security ?? document.security, schemes, lose, keyHeaderOf)
      access.set(method, asked)
      if (method !== 'OPTIONS' && sample !== null) tests.push({ method, path: sample, expect: expected(asked) })
    }
    if (pattern === null || access.size === 0) continue
    const isDenied = [...access.values()].every((single) => single === 'deny')
    const route: ImportedRoute = {
      to: isDenied ? null : 'api',
      access: isDenied ? DENIED : access,
      more: {},
      comment: null,
    }
    const shape = pattern.replace(/(?<=\/):\w+/g, '*')
    const twin = shapes.get(shape)
    shapes.set(shape, twin ?? pattern)
    routes.set(twin ?? pattern, twin === undefined ? route : merged(routes.get(twin)!, route))
  }
  const title = isObject(document.info) && typeof document.info.title === 'string' ? document.info.title : 'an API'
  const tokens = tokensOf(schemes, document.servers, title, losses)
  return {
    title: `${title}, from OpenAPI ${document.openapi}`,
    origin: target.origin ?? HERE,
    upstreams: { api: target.upstream ?? UPSTREAM_HERE },
    sections: {
      ...(Object.keys(tokens).length === 0 ? {} : { tokens }),
      ...(keyHeader === null ? {} : { keys: { header: keyHeader } }),
    },
    routes,
    tests,
    losses,
  }
}

const DENIED: ReadonlyMap<string, ImportedAccess> = new Map([['*', 'deny']])

function expected(access: ImportedAccess): ImportedTest['expect'] {
  if (access === 'deny') return 404
  return access === 'public' || access === 'optional' ? 'allow' : 401
}

/** Two templates of one shape: a method that both have asks what both ask, and what one denies stays denied. */
function merged(a: ImportedRoute, b: ImportedRoute): ImportedRoute {
  if (a.to === null || b.to === null) {
    const denied = a.to === null ? a : b
    const other = a.to === null ? b : a
    return denied.access.has('*') ? { ...denied, comment: 'Another template of the same shape is denied.' } : other
  }
  const both = bothOf(a, b)
  const access = new Map([...a.access, ...b.access])
  for (const [method, single] of both.access) if (access.has(method)) access.set(method, single)
  return { ...a, access }
}

interface ReadPath {
  /** Null where no pattern can stand for the path. */
  readonly pattern: string | null
  /** Why its operations are denied. */
  readonly fault: string | null
  /** A path that the pattern matches; null where none is sure to. */
  readonly sample: string | null
}

/** `/books/{id}` as `/books/:id`. */
function patternOf(path: string): ReadPath {
  const names = new Set<string>()
  let fault: string | null = null
  const samples: string[] = []
  const segments = path
    .split('/')
    .slice(1)
    .map((segment) => {
      const whole = /^\{([^{}]+)\}$/.exec(segment)?.[1]
      if (whole === undefined && !segment.includes('{')) {
        samples.push(segment)
        return segment
      }
      samples.push('sample-1')
      if (whole === undefined) {
        fault = `\`${segment}\` is a template in part of a segment`
        return '*'
      }
      const name = nameOf(whole, names)
      names.add(name)
      return `:${name}`
    })
  const pattern = `/${segments.join('/')}`
  const parsed = parsePattern(pattern, OWN)
  if ('message' in parsed) return { pattern: null, fault: parsed.message, sample: null }
  if (parsed.isPeculiar) {
    const what = pattern.endsWith('/')
      ? 'it ends in a slash, which servers read in two ways'
      : 'servers read it in two ways'
    return {
      pattern: null,
      fault: `${what}; \`paths: exact\` on an upstream that tells them apart allows such a line`,
      sample: null,
    }
  }
  return { pattern, fault, sample: fault === null ? `/${samples.join('/')}` : null }
}

function nameOf(text: string, taken: ReadonlySet<string>): string {
  const plain =
    text
      .replace(/[^A-Za-z0-9_]/g, '_')
      .replace(/^[^A-Za-z]+/, '')
      .slice(0, 60) || 'value'
  let name = plain
  for (let at = 2; taken.has(name); at += 1) name = `${plain}${at}`
  return name
}

/** The path of the first server: clients go on asking for it, and the upstream goes on seeing it. */
function basePathOf(servers: unknown, losses: Loss[]): string {
  if (!Array.isArray(servers) || !isObject(servers[0]) || typeof servers[0].url !== 'string') return ''
  const [{ url: text, variables }] = servers as [{ url: string; variables?: unknown }]
  const url = text.replace(/\{([^{}]+)\}/g, (whole: string, name: string) => {
    const variable = isObject(variables) ? variables[name] : null
    return isObject(variable) && typeof variable.default === 'string' ? variable.default : whole
  })
  const path = URL.parse(url, HERE)?.pathname.replace(/\/$/, '') ?? ''
  if (servers.length > 1) {
    losses.push({
      where: 'servers',
      what: `only the first of ${servers.length} is read`,
      instead: `paths begin with \`${path || '/'}\``,
    })
  }
  return path
}

/** Discovery names its issuer by where it stands (OpenID Connect Discovery §4). Other schemes do not say who issues their tokens. */
function tokensOf(schemes: SecuritySchemes, servers: unknown, title: string, losses: Loss[]): JsonObject {
  const tokens: Record<string, unknown> = {}
  for (const [name, scheme] of Object.entries(schemes)) {
    const where = `securitySchemes.${name}`
    const isBearer = scheme.type === 'http' && /^bearer$/i.test(String(scheme.scheme))
    if (scheme.type !== 'oauth2' && scheme.type !== 'openIdConnect' && !isBearer) continue
    const issuer = /^(https:\/\/[^\s?#]+?)\/\.well-known\/openid-configuration$/.exec(
      String(scheme.openIdConnectUrl),
    )?.[1]
    const key = name.toLowerCase().replace(/[^a-z0-9-]/g, '-')
    if (scheme.type !== 'openIdConnect' || issuer === undefined || !ISSUER_NAME.test(key) || key in tokens) {
      losses.push({
        where,
        what: 'it does not say who issues its tokens',
        instead: 'name the issuer and your audience under `tokens`',
      })
      continue
    }
    const server = Array.isArray(servers) && isObject(servers[0]) ? String(servers[0].url) : ''
    const audience = /^https?:\/\/[^\s{}]+$/.test(server) ? server : title
    tokens[key] = { issuer, audience }
    losses.push({
      where,
      what: 'what stands in `aud` of its tokens is not said',
      instead: `guessed; set \`tokens.${key}.audience\``,
    })
  }
  return tokens
}

const ISSUER_NAME = /^(?!postern$|own$|local$)[a-z][a-z0-9-]{0,31}$/
