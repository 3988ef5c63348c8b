/** Policies from text or plain values, for tests that compare whole policies. */

import { createHash } from 'node:crypto'
import { formatIssues, readPolicy } from '../../config/parse.ts'

export type TestPolicy = Exclude<ReturnType<typeof readPolicy>, { issues: unknown }>

/** JSON is YAML. A policy that does not compile is the test's mistake. */
export function policyOf(policy: string | object, file = 'gateway.yaml'): TestPolicy {
  const read = tryPolicy(policy, file)
  if ('issues' in read) throw new Error(formatIssues(read.issues))
  return read
}

export function tryPolicy(policy: string | object, file = 'gateway.yaml'): ReturnType<typeof readPolicy> {
  const text = typeof policy === 'string' ? policy : JSON.stringify(policy, null, 1)
  const sha256 = (value: string) => createHash('sha256').update(value).digest('hex')
  return readPolicy(text, { file, readEnv: () => undefined, readFile: () => '' }, sha256)
}
