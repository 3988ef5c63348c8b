/** The reference of the policy file, one row per key, from the same schema that parses it: config/README.md holds its output. */

import { definition, gatewayJsonSchema, type JsonSchema } from './json-schema.ts'

/** A Markdown table of every key. `<name>` stands for a name the author chooses. */
export function referenceTable(): string {
  const schema = gatewayJsonSchema()
  const rows = [...keysOf(schema, '', schema)].map(({ key, description, standard, example }) => {
    return `| \`${key}\` | ${escapePipes(description)} | ${code(standard)} | ${code(example)} |`
  })
  return ['| key | meaning | default | example |', '|---|---|---|---|', ...rows].join('\n')
}

interface Row {
  readonly key: string
  readonly description: string
  readonly standard: string
  readonly example: string
}

/** Maps whose entries have keys worth a row each. */
const NAMED = new Set(['upstreams.', 'routes.', 'tokens.', 'people.'])

function* keysOf(schema: JsonSchema, prefix: string, root: JsonSchema): Generator<Row> {
  const { properties, additionalProperties, items, anyOf, $ref } = schema
  for (const [name, property] of Object.entries(asSchema(properties))) {
    const child = asSchema(property)
    const key = prefix + name
    yield {
      key,
      description: typeof child.description === 'string' ? child.description : '',
      standard: inline(child.default),
      example: inline(Array.isArray(child.examples) ? child.examples[0] : undefined),
    }
    // What a route asks for is said once, at its `access`; what `any` and `not` hold is the same again.
    if (!ACCESS_ELSEWHERE.test(key)) yield* keysOf(child, `${key}.`, root)
  }
  const named = asSchema(additionalProperties)
  if (NAMED.has(prefix)) yield* keysOf(named, `${prefix}<name>.`, root)
  if (prefix === 'tests.' || prefix.endsWith('.url.'))
    yield* keysOf(asSchema(items), prefix.replace(/\.$/, '[].'), root)
  if (typeof $ref === 'string') yield* keysOf(definition($ref, root) ?? {}, prefix, root)
  if (Array.isArray(anyOf)) for (const branch of anyOf) yield* keysOf(asSchema(branch), prefix, root)
}

const ACCESS_ELSEWHERE = /^defaults\.access$|\.proposed$|\.access\.(?:any|not)$/

function asSchema(value: unknown): JsonSchema {
  return typeof value === 'object' && value !== null ? (value as JsonSchema) : {}
}

function inline(value: unknown): string {
  if (value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function code(text: string): string {
  return text === '' ? '' : `\`${escapePipes(text)}\``
}

function escapePipes(text: string): string {
  return text.replaceAll('|', '\\|')
}
