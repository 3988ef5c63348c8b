/** The JSON Schema of the policy file, for editors: generated from the zod schema, so the two cannot disagree. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

import { z } from 'zod'
import { INCLUDED_SECTIONS } from './include.ts'
import type { Path } from './issues.ts'
import { GatewayConfig } from './schema.ts'

export interface JsonSchema {
  readonly [keyword: string]: unknown
}

/** Fields that may hold a reference in place of their value (config/secrets.ts resolves the same ones). */
const REFERENCE = { type: 'string', pattern: '\\$\\{(?:env|file):[^}]+\\}' }

export function gatewayJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(GatewayConfig, {
    io: 'input',
    target: 'draft-2020-12',
    reused: 'inline',
    override: ({ zodSchema, jsonSchema }) => {
      const meta = z.globalRegistry.get(zodSchema)
      if (Array.isArray(meta?.examples)) jsonSchema.examples = meta.examples
      if (meta?.description !== undefined) jsonSchema.description = meta.description
    },
  })
  const { $schema, ...rest } = schema
  const titled = {
    $schema,
    title: 'Postern policy',
    description: 'One file: where the gateway listens, what stands behind it, who may do what.',
    ...rest,
  }
  return allowReferences(JSON.parse(JSON.stringify(titled)) as JsonSchema)
}

/** What an included file may be, for editors too: config/include.ts reads the same sections. */
export function includedJsonSchema(): JsonSchema {
  const { $schema, properties: all, $defs } = gatewayJsonSchema()
  const sections = all as Mutable
  return {
    $schema,
    title: 'Postern policy, an included file',
    description: 'A part of a policy: the main file names it under `include`.',
    type: 'object',
    properties: Object.fromEntries(INCLUDED_SECTIONS.map((name) => [name, sections[name]])),
    additionalProperties: false,
    $defs,
  }
}

/** Wraps the value schemas of secrets and addresses, so that an editor accepts `${env:NAME}` where the gateway does. */
function allowReferences(schema: JsonSchema): JsonSchema {
  const root = schema as Mutable
  const { origin, listen, store, upstreams, tokens, admin } = properties(root)
  const stored = properties(store)
  for (const name of ['database', 'redis']) orReference(stored[name]!)
  onlyReference(stored.secret!)
  onlyReference(stored.secrets!.items as Mutable)
  orReference(origin!)
  orReference(listen!)
  orReference(properties(admin).listen!)
  const issuer = properties(tokens!.additionalProperties as Mutable)
  const introspection = properties(issuer.introspection)
  orReference(issuer.issuer!)
  orReference(issuer.jwks!)
  orReference(introspection.url!)
  onlyReference(introspection.clientSecret!)
  const [plain, options] = (upstreams!.additionalProperties as Mutable).anyOf as Mutable[]
  const { url } = properties(options)
  const [one, many] = url!.anyOf as Mutable[]
  const [server, weighted] = (many!.items as Mutable).anyOf as Mutable[]
  for (const address of [plain, one, server, properties(weighted).url]) orReference(address!)
  return root
}

type Mutable = Record<string, unknown>

function properties(schema: Mutable | undefined): Record<string, Mutable> {
  return (schema?.properties ?? {}) as Record<string, Mutable>
}

const ANNOTATIONS = new Set(['description', 'examples', 'default', 'title'])

function orReference(schema: Mutable): void {
  const value: Mutable = {}
  for (const [keyword, given] of Object.entries(schema)) {
    if (ANNOTATIONS.has(keyword)) continue
    value[keyword] = given
    delete schema[keyword]
  }
  schema.anyOf = [REFERENCE, value]
}

function onlyReference(schema: Mutable): void {
  for (const keyword of Object.keys(schema)) if (!ANNOTATIONS.has(keyword)) delete schema[keyword]
  Object.assign(schema, { type: 'string', pattern: '^\\$\\{(?:env|file):[^}]+\\}$' })
}

/** Names of the keys a map at this path may have; empty where any key may stand. */
export function knownKeys(schema: JsonSchema, path: Path): readonly string[] {
  const keys = schemasAt(schema, path).flatMap((branch) => Object.keys(properties(branch as Mutable)))
  return [...new Set(keys)]
}

/** The author chooses the keys of a map at this path. */
export function hasOwnKeys(schema: JsonSchema, path: Path): boolean {
  const maps = schemasAt(schema, path).filter(({ type }) => type === 'object')
  return maps.length > 0 && maps.every((map) => map.properties === undefined)
}

/** The schemas that a value at this path may satisfy, with references and unions resolved. */
export function schemasAt(schema: JsonSchema, path: Path): readonly JsonSchema[] {
  let found = branches(schema, schema)
  for (const step of path) {
    found = found.flatMap((branch) => {
      if (typeof step === 'number') return branches(branch.items, schema)
      const own = properties(branch as Mutable)
      return branches(Object.hasOwn(own, step) ? own[step] : branch.additionalProperties, schema)
    })
  }
  return found
}

/** A schema, what it refers to and, where it is a union, each of its members. */
function branches(schema: unknown, root: JsonSchema): JsonSchema[] {
  if (typeof schema !== 'object' || schema === null) return []
  const { anyOf, $ref } = schema as JsonSchema
  const named = typeof $ref === 'string' ? definition($ref, root) : undefined
  const inner = [...(Array.isArray(anyOf) ? anyOf : []), ...(named === undefined ? [] : [named])]
  return [schema as JsonSchema, ...inner.flatMap((one) => branches(one, root))]
}

export function definition(reference: string, { $defs }: JsonSchema): JsonSchema | undefined {
  return ($defs as Readonly<Record<string, JsonSchema>> | undefined)?.[reference.replace('#/$defs/', '')]
}
