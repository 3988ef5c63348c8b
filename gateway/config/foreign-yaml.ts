/** YAML and JSON of other tools, for imports: anything that YAML allows, within bounds. Our own files go through `yaml.ts`. */

import { parseDocument } from 'yaml'

const CHARS_MAX = 16 * 1024 ** 2
/** An alias stands for a whole tree: without a bound a small file is a large one. */
const ALIASES_MAX = 1000

/** The first document, or why there is none. */
export function readForeignYaml(text: string): { readonly tree: unknown } | { readonly error: string } {
  if (text.length > CHARS_MAX) return { error: 'the file is larger than 16 MiB' }
  try {
    const document = parseDocument(text, { prettyErrors: true, logLevel: 'error', uniqueKeys: true })
    const [error] = document.errors
    if (error !== undefined) return { error: error.message.split('\n')[0]! }
    return { tree: document.toJS({ maxAliasCount: ALIASES_MAX }) as unknown }
  } catch (error) {
    return { error: error instanceof Error ? error.message : 'it cannot be read' }
  }
}
