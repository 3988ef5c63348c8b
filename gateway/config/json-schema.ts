/** The JSON Schema of the policy file, for editors: generated from the zod schema, so the two cannot disagree. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

import { z } from 'zod'
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

/** Wraps the value schemas of secrets and addresses, so that an editor accepts `${env:NAME}` where the gateway does. */
function allowReferences(schema: JsonSchema): JsonSchema {
  const root = schema as Mutable
  const { origin, listen, store, upstreams } = properties(root)
  const stored = properties(store)
  const upstream = upstreams!.additionalProperties as Mutable
  const options = (upstream.anyOf as Mutable[])[1]!
  for (const name of ['database', 'redis']) orReference(stored[name]!)
  onlyReference(stored.secret!)
  onlyReference(stored.secrets!.items as Mutable)
  orReference(origin!)
  orReference(listen!)
  orReference(properties(options).url!)
  const [plain] = upstream.anyOf as Mutable[]
  orReference(plain!)
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
export function knownKeys(schema: JsonSchema, path: readonly (string | number)[]): readonly string[] {
  let found = branches(schema)
  for (const step of path) {
    found = found.flatMap((branch) => {
      if (typeof step === 'number') return branches(branch.items)
      return branches(properties(branch as Mutable)[step] ?? branch.additionalProperties)
    })
  }
  return [...new Set(found.flatMap((branch) => Object.keys(properties(branch as Mutable))))]
}

/** A schema and, where it is a union, each of its members. */
function branches(schema: unknown): JsonSchema[] {
  if (typeof schema !== 'object' || schema === null) return []
  const { anyOf } = schema as JsonSchema
  return [schema as JsonSchema, ...(Array.isArray(anyOf) ? anyOf.flatMap(branches) : [])]
}
