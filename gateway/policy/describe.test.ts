/** The words that access is told in, and the advice that follows from them. */

import { expect, test } from 'vitest'
import { compile } from '../config/compile.ts'
import { formatIssues, parsePolicy } from '../config/parse.ts'
import type { Access } from '../rules.ts'
import { describeAccess } from './describe.ts'
import { stepsToPass } from './to-pass.ts'

function accessOf(text: string): Access {
  const policy = `
version: 1
origin: http://localhost:8080
keys: {}
tokens: { ci: { issuer: https://ci.example.com, audience: books } }
upstreams: { api: http://127.0.0.1:8000 }
routes: { /a: { to: api, access: ${text} } }
`
  const parsed = parsePolicy(policy, { file: 'gateway.yaml', readEnv: () => undefined, readFile: () => '' })
  if ('issues' in parsed) throw new Error(formatIssues(parsed.issues))
  const compiled = compile(parsed.config, 'f'.repeat(64), parsed.places)
  if ('issues' in compiled) throw new Error(formatIssues(compiled.issues))
  return [...compiled.snapshot.routes.all![0]!.access.values()][0]!
}

const TOLD = [
  ['{ role: [editor, admin], fresh: 15m }', 'role editor or admin, and signed in within 15 minutes'],
  ['{ with: token, scope: a, any: [{ scope: b }] }', 'with a token, scope a, and scope b'],
  ['{ any: [{ role: editor }, { ip: 10.0.0.0/8 }] }', 'either (role editor) or (from 10.0.0.0/8)'],
  ['{ any: [{ role: a }, { role: b }, { role: c }] }', 'either (role a), (role b) or (role c)'],
] as const

for (const [access, words] of TOLD) {
  test(`[FR-047] ${access} is told as: ${words}`, () => {
    expect(describeAccess(accessOf(access))).toBe(words)
  })
}

const ADVISED = [
  ['login', 'sign in'],
  ['{ role: editor }', 'sign in: role editor'],
  ['{ with: [session, key], role: editor }', 'sign in: with a session or an API key, and role editor'],
  ['{ with: token, scope: books }', 'come with a token, and scope books'],
  ['{ with: key }', 'come with an API key'],
] as const

for (const [access, advice] of ADVISED) {
  test(`[FR-047] who has nothing to show to ${access} is told: ${advice}`, () => {
    const facts = { head: null as never, params: {} }
    expect(stepsToPass(accessOf(access), null, facts, false)).toEqual([advice])
  })
}
