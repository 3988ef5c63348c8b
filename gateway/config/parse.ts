/**
 * Policy text to a parsed config, or every mistake in it at once. Pure: the caller brings the environment and the files.
 *
 * For runtimes: `parsePolicy(text, {file, readEnv, readFile})` yields `{config, places}` or `{issues}`; then
 * `compile(config, version, places)` of config/compile.ts yields `{snapshot, warnings}` or `{issues}`; `formatIssues` prints both.
 */

import { explain } from './explain.ts'
import { type Issue, issueAt, type Places } from './issues.ts'
import { GatewayConfig } from './schema.ts'
import { resolveReferences, type Sources } from './secrets.ts'
import { readYaml } from './yaml.ts'

export { formatIssues } from './issues.ts'

export interface ParseOptions extends Sources {
  /** Name of the file, as it is printed. */
  readonly file: string
}

export interface ParsedPolicy {
  readonly config: GatewayConfig
  readonly places: Places
}

export function parsePolicy(text: string, options: ParseOptions): ParsedPolicy | { readonly issues: Issue[] } {
  const yaml = readYaml(text, options.file)
  if ('issues' in yaml) return yaml
  const { tree, places } = yaml
  const resolved = resolveReferences(tree, options, places)
  const parsed = GatewayConfig.safeParse(resolved.tree ?? {})
  const issues = [...resolved.issues]
  if (!parsed.success) {
    const reported = new Set(resolved.issues.map((issue) => issue.path))
    // A reference that could not be resolved was reported once; what its absence leads to is not another mistake.
    issues.push(...explain(parsed.error, tree, places).filter((issue) => !reported.has(issue.path)))
    if (issues.length === 0) issues.push(issueAt(places, [], UNEXPLAINED))
  }
  if (issues.length > 0 || !parsed.success) return { issues }
  return { config: parsed.data, places }
}

/** Refused is refused, even where no better words were found. */
const UNEXPLAINED = { message: 'the policy is not valid', cure: 'compare it with config/README.md' }
