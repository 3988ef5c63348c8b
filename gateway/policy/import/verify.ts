/**
 * The last word on an import: the text is compiled, and asked for each operation what somebody without a credential gets.
 * A line that does not compile is denied and listed; a request that gets further than the source allows is no policy at all.
 */

import type { Issue } from '../../config/issues.ts'
import { formatIssues, readPolicy } from '../../config/parse.ts'
import { NOBODY_NAME, personaOf } from '../people.ts'
import { simulate } from '../simulate.ts'
import { withIntersections } from './overlaps.ts'
import { ImportError, type Imported, type ImportedRoute, type ImportedTest, importedText, type Loss } from './policy.ts'

export interface Verified {
  readonly text: string
  readonly losses: readonly Loss[]
  readonly routesCount: number
  readonly testsCount: number
}

export interface VerifyOptions {
  /** What is said to have made the file. */
  readonly command: string
  readonly sha256: (text: string) => string
  readonly nowMs: number
}

const ROUNDS_MAX = 20

export async function verifyImport(imported: Imported, { command, sha256, nowMs }: VerifyOptions): Promise<Verified> {
  const losses = [...imported.losses]
  const { host, protocol } = new URL(imported.origin)
  const own = { scheme: protocol === 'https:' ? 'https' : 'http', authority: host } as const
  let routes = withIntersections(imported.routes, own, losses)
  const textOf = (tests: readonly ImportedTest[]): string =>
    importedText({ ...imported, routes, tests, losses }, command)
  const read = (text: string) =>
    readPolicy(text, { file: 'import.yaml', readEnv: () => undefined, readFile: noFile }, sha256)

  let policy = read(textOf([]))
  for (let round = 0; 'issues' in policy; round += 1) {
    const mended = denyBroken(routes, policy.issues, losses)
    if (mended === null || round >= ROUNDS_MAX) throw new ImportError(unfit(policy.issues))
    routes = mended
    policy = read(textOf([]))
  }

  const nobody = personaOf(policy.config, policy.snapshot, NOBODY_NAME, nowMs)
  if (typeof nobody === 'string') throw new ImportError(nobody)
  const tests: ImportedTest[] = []
  for (const one of imported.tests) {
    const { method, path } = one
    const asked = { method, url: path, from: null, atMs: nowMs, headers: {} }
    const { outcome, answer } = await simulate(policy.snapshot, nobody, asked)
    const found = outcome.kind === 'forward' ? 'allow' : (answer?.status ?? 500)
    if (found === 'allow' && one.expect !== 'allow') {
      throw new ImportError(
        `The policy would let everybody do ${method} ${path}, which the source does not; nothing was written.`,
      )
    }
    // What became stricter on the way was listed above.
    tests.push({ ...one, expect: found })
  }
  const text = textOf(tests)
  const whole = read(text)
  if ('issues' in whole) throw new ImportError(unfit(whole.issues))
  return { text, losses, routesCount: routes.size, testsCount: tests.length }
}

function unfit(issues: readonly Issue[]): string {
  return `What was made does not compile, so it is not written:\n${formatIssues(issues)}`
}

function noFile(): never {
  throw new Error('an import reads no file but its source')
}

/** Each route with a mistake denies instead; a pattern that cannot be read is left out, which denies too. Null for other mistakes. */
function denyBroken(
  routes: ReadonlyMap<string, ImportedRoute>,
  issues: readonly Issue[],
  losses: Loss[],
): ReadonlyMap<string, ImportedRoute> | null {
  const mended = new Map(routes)
  for (const { path, message } of issues) {
    const pattern = [...routes.keys()].find((key) => path === `routes.${key}` || path.startsWith(`routes.${key}.`))
    if (pattern === undefined) return null
    const route = mended.get(pattern)
    if (route === undefined) continue
    const isDenied = route.to === null
    losses.push({ where: pattern, what: message, instead: isDenied ? 'left out, so denied' : 'denied' })
    if (isDenied) mended.delete(pattern)
    else mended.set(pattern, { to: null, access: new Map([['*', 'deny']]), more: {}, comment: message })
  }
  return mended
}
