/** Where the admin API may listen: a policy that would open it to the world, or to nobody, is a load error with its cure. */

import { expect, test } from 'vitest'
import { compile } from './compile.ts'
import { formatIssues, parsePolicy } from './parse.ts'

function mistakes(listen: string, more = 'keys: {}', upstream = 'http://127.0.0.1:9000'): string {
  const text = `version: 1
origin: http://localhost:8080
admin: { listen: "${listen}" }
${more}
upstreams: { up: { url: "${upstream}", assertion: false } }
routes: { /**: { to: up, access: login } }
`
  const parsed = parsePolicy(text, { file: 'test.yaml', readEnv: () => undefined, readFile: () => '' })
  if ('issues' in parsed) return formatIssues(parsed.issues)
  const compiled = compile(parsed.config, 'v', parsed.places)
  return 'issues' in compiled ? formatIssues(compiled.issues) : ''
}

const good = ['127.0.0.1:8081', '127.8.0.1:8081', '[::1]:8081', 'localhost:8081', '10.1.2.3:8081', '[fd00::1]:8081']
for (const listen of good) {
  test(`[FR-037] the admin API may listen on ${listen}`, () => expect(mistakes(listen)).toBe(''))
}

const bad = [
  ['0.0.0.0:8081', 'not an address of loopback or a private network'],
  ['[::]:8081', 'not an address of loopback or a private network'],
  ['203.0.113.7:8081', 'not an address of loopback or a private network'],
  ['admin.example.com:8081', 'not an address of loopback or a private network'],
  ['admin:8081', 'not an address of loopback or a private network'],
  ['127.0.0.1:8080', 'this is the port of the gateway itself'],
  ['127.0.0.1:0', 'needs a port that can be named'],
] as const
for (const [listen, message] of bad) {
  test(`[FR-037] the admin API must not listen on ${listen}`, () => expect(mistakes(listen)).toContain(message))
}

test('[FR-037] an admin API without keys is one that nobody could use', () => {
  expect(mistakes('127.0.0.1:8081', '')).toContain('postern keys create')
})

const inner = ['http://127.0.0.1:8081', 'http://localhost:8081', 'http://[::1]:8081'] as const
for (const upstream of inner) {
  test(`[FR-037] the admin API is no upstream: ${upstream}`, () => {
    expect(mistakes('127.0.0.1:8081', 'keys: {}', upstream)).toContain('the admin API of the gateway itself')
  })
}
