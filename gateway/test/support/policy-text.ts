/** Policies from text or plain values, for tests that compare whole policies. */

import { createHash } from 'node:crypto'
import { formatIssues, readPolicy } from '../../config/parse.ts'
import type { Imported } from '../../policy/import/policy.ts'
import { type Verified, verifyImport } from '../../policy/import/verify.ts'

export type TestPolicy = Exclude<ReturnType<typeof readPolicy>, { issues: unknown }>

/** JSON is YAML. A policy that does not compile is the test's mistake. */
export function policyOf(policy: string | object, file = 'gateway.yaml'): TestPolicy {
  const read = tryPolicy(policy, file)
  if ('issues' in read) throw new Error(formatIssues(read.issues))
  return read
}

export function tryPolicy(policy: string | object, file = 'gateway.yaml'): ReturnType<typeof readPolicy> {
  const text = typeof policy === 'string' ? policy : JSON.stringify(policy, null, 1)
  return readPolicy(text, { file, readEnv: () => undefined, readFile: () => '' }, sha256)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

export function verified(imported: Imported): Promise<Verified> {
  return verifyImport(imported, { command: 'postern import', sha256, nowMs: 0 })
}

/** Access by pattern of what an import makes, which must compile. */
export async function carried(imported: Imported) {
  const { text, losses } = await verified(imported)
  const { config } = policyOf(text)
  const routes = Object.fromEntries(Object.entries(config.routes).map(([pattern, { access }]) => [pattern, access]))
  return { routes, losses: losses.map(({ where, what }) => `${where}: ${what}`), config, text }
}
