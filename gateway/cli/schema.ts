/** `postern schema`: the JSON Schema of the policy file, for editors that complete and explain it. */

import { gatewayJsonSchema } from '../config/json-schema.ts'

export function schemaText(): string {
  return `${JSON.stringify(gatewayJsonSchema(), null, 2)}\n`
}

export function printSchema(): void {
  process.stdout.write(schemaText())
}
