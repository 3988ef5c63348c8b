/**
 * Policy text to a parsed config, or every mistake in it at once. Pure: the caller brings the environment and the files.
 *
 * For runtimes: `readPolicy(text, {file, readEnv, readFile, listFiles}, sha256)` yields `{config, snapshot, warnings, places}`
 * or `{issues}`; `formatIssues` prints them.
 */

import { type CompiledPolicy, compile } from './compile.ts'
import { explain } from './explain.ts'
import { type Files, type PolicyText, readFiles, versionText } from './include.ts'
import { type Issue, issueAt, type Path, type Places } from './issues.ts'
import { checkPeople } from './people-checks.ts'
import { withoutMistakes } from './salvage.ts'
import { GatewayConfig } from './schema.ts'
import { resolveReferences, type Sources } from './secrets.ts'

export { formatIssues } from './issues.ts'

export interface ParseOptions extends Sources, Files {}

export interface ParsedPolicy {
  readonly config: GatewayConfig
  readonly places: Places
  /** What was read, the main file first. */
  readonly texts: readonly PolicyText[]
}

export interface ReadPolicy extends ParsedPolicy, CompiledPolicy {}

export interface Mistakes {
  readonly issues: Issue[]
}

/** Parses and compiles. What is amiss in one line hides nothing that is amiss in another. */
export function readPolicy(
  text: string,
  options: ParseOptions,
  sha256: (text: string) => string,
): ReadPolicy | Mistakes {
  const parsed = parsePolicy(text, options)
  if ('issues' in parsed) return parsed
  const compiled = compile(parsed.config, sha256(versionText(parsed.texts)), parsed.places)
  return 'issues' in compiled ? compiled : { ...parsed, ...compiled }
}

/** Mistakes include those of compiling whatever could be read. */
export function parsePolicy(text: string, options: ParseOptions): ParsedPolicy | Mistakes {
  const files = readFiles(text, options)
  if ('unread' in files) return { issues: files.unread }
  const { tree, places, texts } = files
  const resolved = resolveReferences(tree, options, places)
  const input = resolved.tree ?? {}
  const parsed = GatewayConfig.safeParse(input)
  const reported = new Set(resolved.issues.map(({ path }) => path))
  const issues = [...files.issues, ...resolved.issues]
  const report = (path: Path, trouble: Parameters<typeof issueAt>[2]): void => {
    issues.push(issueAt(places, path, trouble))
  }
  if (parsed.success) {
    checkPeople(parsed.data, report)
    if (issues.length === 0) return { config: parsed.data, places, texts }
    const compiled = compile(parsed.data, '', places)
    const more = 'issues' in compiled ? compiled.issues : []
    return {
      issues: together(
        issues,
        more.filter(({ path }) => !reported.has(path)),
      ),
    }
  }
  // A reference that could not be resolved was reported once; what its absence leads to is not another mistake.
  issues.push(...explain(parsed.error, tree, places).filter((issue) => !reported.has(issue.path)))
  if (issues.length === 0) report([], UNEXPLAINED)
  const rest = withoutMistakes(input, parsed.error)
  if (rest === null) return { issues: together(issues, []) }
  const more: Issue[] = []
  checkPeople(rest.config, (path, trouble) => more.push(issueAt(places, path, trouble)))
  const compiled = compile(rest.config, '', places)
  if ('issues' in compiled) more.push(...compiled.issues)
  return {
    issues: together(
      issues,
      more.filter(({ path }) => !rest.isPatched(path) && !reported.has(path)),
    ),
  }
}

/** What is wrong in one place is said once. */
function together(issues: readonly Issue[], more: readonly Issue[]): Issue[] {
  const byPlace = new Map<string, Issue>()
  for (const issue of [...issues, ...more]) {
    const key = `${issue.file}:${issue.line}:${issue.column}:${issue.line === 0 ? issue.path : ''}:${issue.message}`
    if (!byPlace.has(key)) byPlace.set(key, issue)
  }
  return [...byPlace.values()]
}

/** Refused is refused, even where no better words were found. */
const UNEXPLAINED = { message: 'the policy is not valid', cure: 'compare it with config/README.md' }
