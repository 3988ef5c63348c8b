/**
 * What is left of a policy when the parts that are amiss are taken out, so that the rest can still be judged. It is compiled
 * for its mistakes only and never decides anything: what is taken out leaves something that lets nobody in.
 */

import type { z } from 'zod'
import { isObject } from '../http/json.ts'
import { GatewayConfig } from './schema.ts'

export interface Salvaged {
  readonly config: GatewayConfig
  /** Does this path lie in what was taken out, or does it hang on it? Then what is said of it is no mistake of the author. */
  isPatched(path: string): boolean
}

type Tree = Record<string, unknown>

/** A mistake in one of these says nothing about where the route's requests go or who may make them. */
const BESIDE_ACCESS: readonly unknown[] = [
  ...['limit', 'body', 'timeout', 'cors', 'headers', 'serviceWorker', 'sharedCache'],
  ...['allowHeaderNames', 'allowRequestHeaders', 'allowResponseHeaders'],
]
const NAMED: readonly unknown[] = ['routes', 'upstreams', 'tokens', 'people']
const HARMLESS: Readonly<Record<string, unknown>> = {
  version: 1,
  origin: 'http://localhost:8080',
  tls: { certificate: 'tls.pem', key: 'tls.key' },
  trust: ['127.0.0.1/32'],
  keys: {},
  upstreams: {},
  routes: {},
}

export function withoutMistakes(input: unknown, error: z.ZodError): Salvaged | null {
  if (!isObject(input)) return null
  const tree: Tree = { ...input }
  for (const name of NAMED)
    if (isObject(tree[name as string])) tree[name as string] = { ...(tree[name as string] as Tree) }
  if (Array.isArray(tree.tests)) tree.tests = [...tree.tests]
  const patched = new Set<string>()
  const gone = new Set<string>()

  for (const issue of error.issues) {
    const [section, name, key] = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))
    if (section === undefined) {
      if (issue.code !== 'unrecognized_keys') return null
      for (const unknown of issue.keys) delete tree[unknown]
      continue
    }
    const part = tree[section]
    if (section === 'tests' && typeof name === 'number' && Array.isArray(part)) {
      part[name] = { GET: '/', expect: 'allow' }
      patched.add(`tests.${name}`)
    } else if (section === 'defaults' && name !== undefined && isObject(part)) {
      const { [name]: _amiss, ...rest } = part
      tree.defaults = rest
      patched.add(`defaults.${name}`)
    } else if (NAMED.includes(section) && typeof name === 'string' && isObject(part)) {
      const isNameAmiss = issue.code === 'invalid_key' && key === undefined
      if (isNameAmiss || section === 'tokens') gone.add(section as string)
      if (section === 'routes' && BESIDE_ACCESS.includes(key) && isObject(part[name])) {
        const { [key as string]: _amiss, ...rest } = part[name]
        part[name] = rest
        patched.add(`routes.${name}.${key}`)
      } else if (isNameAmiss) delete part[name]
      else part[name] = stub(section, name, part[name])
      if (section !== 'routes' || !BESIDE_ACCESS.includes(key)) patched.add(`${section}.${name}`)
    } else {
      if (Object.hasOwn(HARMLESS, section)) tree[section] = HARMLESS[section]
      else delete tree[section]
      gone.add(String(section))
      patched.add(String(section))
    }
  }
  const parsed = GatewayConfig.safeParse(tree)
  if (!parsed.success) return null
  return {
    config: parsed.data,
    isPatched: (path) => {
      for (const prefix of patched) if (path === prefix || path.startsWith(`${prefix}.`)) return true
      if (gone.has('upstreams') && /^routes\..*\.to$/.test(path)) return true
      if (gone.has('people') && path.startsWith('tests.')) return true
      return gone.has('tokens') && /^people\.|\.(?:claim|when|group)(?:\.|$)/.test(path)
    },
  }
}

/** In the place of an entry that cannot be read: it keeps its name, so that what names it is not wrong too. */
function stub(section: string | number, name: string, given: unknown): unknown {
  if (section === 'routes') return { access: 'deny' }
  if (section === 'people') return {}
  if (section === 'tokens') return { issuer: `https://${name}.unset.invalid`, audience: 'unset' }
  return { url: 'http://127.0.0.1:9', ...(isObject(given) && given.paths === 'exact' ? { paths: 'exact' } : {}) }
}
