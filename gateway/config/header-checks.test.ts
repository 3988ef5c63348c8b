/** Headers that a policy may not change, and other origins it may not trust: each refused where it stands, with a cure. */

import { expect, test } from 'vitest'
import { compile } from './compile.ts'
import type { Issue } from './issues.ts'
import { parsePolicy } from './parse.ts'

interface Found {
  readonly errors: readonly Issue[]
  readonly warnings: readonly Issue[]
}

function load(route: string, identity = 'forwarded'): Found {
  const text = `version: 1
origin: http://localhost:8080
keys: { header: X-Books-Key, prefix: bk_ }
upstreams:
  a: { url: "http://127.0.0.1:9000", identity: ${identity} }
  mapped: { url: "http://127.0.0.1:9001", identity: { X-Books-Owner: id } }
routes:
  /**: { to: a, access: login, ${route} }
  /mapped: { to: mapped, access: login }
`
  const sources = {
    file: 'gateway.yaml',
    readEnv: () => undefined,
    readFile: () => {
      throw new Error('no such file')
    },
  }
  const parsed = parsePolicy(text, sources)
  if ('issues' in parsed) throw new Error(JSON.stringify(parsed.issues))
  const compiled = compile(parsed.config, 'v', parsed.places)
  if ('issues' in compiled) return { errors: compiled.issues, warnings: [] }
  return { errors: [], warnings: compiled.warnings }
}

const identityNames = ['X-Forwarded-User', 'Remote-User', 'X-authentik-meta-x', 'X-Books-Owner', 'X-Postern-Assertion']
const proxyNames = ['Forwarded', 'X-Forwarded-For', 'X-Real-IP', 'X-HTTP-Method-Override', 'X-Books-Key']
const framing = ['Content-Length', 'Transfer-Encoding', 'Connection', 'Upgrade', 'TE', 'Expect', 'Sec-WebSocket-Key']
const requestNames = [...identityNames, ...proxyNames, ...framing, 'Host', 'Authorization', 'X-API-Key', 'X-Request-Id']
for (const name of requestNames) {
  test(`[FR-043] no policy sets, adds or removes ${name} of a request, in any case`, () => {
    for (const edit of [
      `set: { ${name}: a }`,
      `add: { ${name.toUpperCase()}: a }`,
      `remove: [${name.toLowerCase()}]`,
    ]) {
      const { errors } = load(`headers: { request: { ${edit} } }`)
      expect(errors, edit).toHaveLength(1)
      expect(errors[0]!.message).toMatch(new RegExp(`^\`${name}\`: `, 'i'))
    }
  })
}

const responseNames = ['Set-Cookie', 'Access-Control-Allow-Origin', 'RateLimit', 'RateLimit-Policy', 'X-Request-Id']
for (const name of [...responseNames, ...framing.filter((one) => one !== 'TE')]) {
  test(`[FR-043] no policy sets, adds or removes ${name} of an answer`, () => {
    for (const edit of [`set: { ${name}: a }`, `add: { ${name}: a }`, `remove: [${name}]`]) {
      expect(load(`headers: { response: { ${edit} } }`).errors, edit).toHaveLength(1)
    }
  })
}

const fine = [
  'headers: { request: { remove: [Cookie, Referer], set: { X-Site: books }, add: { Accept-Language: en } } }',
  'headers: { response: { remove: [Server, X-Envoy-Upstream-Service-Time], set: { Cache-Control: "public, max-age=60" } } }',
  'headers: { response: { set: { Link: "</a>" }, add: { Link: "</b>" } } }',
  'headers: { response: { set: { Clear-Site-Data: "x" } } }, allowResponseHeaders: [Clear-Site-Data]',
  'cors: { origins: ["https://app.example.com", "http://localhost:5173", "http://[::1]:3000"], credentials: true }',
  'cors: { origins: ["*"] }',
]
for (const route of fine) {
  test(`[FR-043] ${route} is fine`, () => expect(load(route)).toEqual({ errors: [], warnings: [] }))
}

const wrong = [
  ['headers: { request: { set: { Cookie: a=1 } } }', 'one Cookie header'],
  ['headers: { response: { set: { X-Forwarded-User: a } } }', 'means nothing to a client'],
  ['headers: { response: { set: { Clear-Site-Data: "x" } } }', '`allowResponseHeaders` names it too'],
  ['headers: { response: { set: { X-A: a, x-a: b } } }', 'twice under `set`'],
  ['headers: { response: { remove: [X-A], set: { x-a: b } } }', '`set` does that by itself'],
  ['cors: { origins: ["*"], credentials: true }', 'any page could read'],
  ['cors: { origins: ["https://app.example.com:443"] }', 'browsers never send'],
  ['cors: { origins: ["http://[0:0::1]"] }', 'browsers never send'],
] as const
for (const [route, message] of wrong) {
  test(`[FR-043] ${route} is refused`, () => {
    const { errors } = load(route)
    expect(errors).toHaveLength(1)
    expect(errors[0]!.message).toContain(message)
    expect(errors[0]!.line).toBe(8)
    expect(errors[0]!.cure).not.toBe('')
  })
}

const unwise = [
  ['cors: { origins: ["http://localhost:8080"] }', 'need no permission'],
  ['cors: { origins: ["*", "https://a.example.com"] }', 'every origin already'],
  ['cors: { origins: ["https://a.example.com"], headers: [X-Forwarded-User] }', 'would never see it'],
] as const
for (const [route, message] of unwise) {
  test(`[FR-043] ${route} is warned of`, () => {
    const { errors, warnings } = load(route)
    expect(errors).toEqual([])
    expect(warnings.map((warning) => warning.message).join()).toContain(message)
  })
}

test('[FR-044] a client’s Authorization cannot be asked for where the upstream reads who calls from it', () => {
  const route = 'allowRequestHeaders: [Authorization]'
  expect(load(route).errors).toEqual([])
  expect(load(route, 'basic').errors[0]!.message).toContain('is told who calls by Authorization')
})

test('[FR-044] a claim of a stranger is no login name', () => {
  const { errors } = load('body: 1MiB', '{ X-Remote-User: claims.preferred_username }')
  expect(errors).toHaveLength(1)
  expect(errors[0]!.message).toContain('log people in by this header')
})
