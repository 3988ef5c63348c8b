/** What is written of a decision: how a proposal compares, from memory alone, and why a request was refused. */

import { expect, test } from 'vitest'
import { type AccessRecord, type Authentication, type RawHead, type RecordedDecision, Refusal } from '../model.ts'
import { loadPolicy } from '../node/config-file.ts'
import { decide, record } from '../pipeline.ts'
import type { Ports } from '../ports.ts'
import { memoryCounters } from '../stores/memory/counters.ts'
import { principalOf } from '../test/support/principal.ts'

const TEXT = `
version: 1
origin: http://books.test
login: { allowUnverifiedEmail: true }
upstreams: { up: { url: "http://127.0.0.1:9", assertion: false } }
routes:
  /plain: { to: up, access: login }
  /stricter: { to: up, access: login, proposed: { role: editor } }
  /looser: { to: up, access: { role: editor }, proposed: login }
  /closing: { to: up, access: public, proposed: login }
  /opening: { to: up, access: login, proposed: public }
  /methods: { to: up, access: { read: login }, proposed: { read: login, write: login } }
  /denied: { to: up, access: deny, proposed: login }
  /denying: { to: up, access: login, proposed: deny }
  /nested:
    to: up
    access: { email: [root@books.test], any: [{ role: editor }, { scope: write }] }
  /limited: { to: up, access: login, proposed: { role: editor }, limit: 1/h per ip }
`
const NOW_MS = Date.UTC(2026, 0, 1)

/** Every call of a port is counted: a record makes none. */
function setUp(found: Authentication | Refusal) {
  const { snapshot } = loadPolicy({ text: TEXT, file: 'test.yaml' }, {}, { port: null, upstreamUrl: null })
  let calls = 0
  const counters = memoryCounters(100)
  const counted = <Port extends object>(port: Port): Port =>
    new Proxy(port, {
      get(target, name) {
        calls += 1
        return Reflect.get(target, name)
      },
    })
  const ports: Ports = {
    counters: counted(counters),
    sessions: null,
    tokens: counted({ verifyToken: () => found }),
    keys: null,
    revocations: null,
    servers: null,
    assertions: null,
    sealer: null,
    journal: counted({ record: () => {}, fault: () => {} }),
  }
  return async (method: string, path: string, isPresented: boolean, times = 1) => {
    const raw: RawHead = {
      requestId: 'r1',
      receivedAtMs: NOW_MS,
      method,
      target: `${path}?q=secret`,
      httpVersion: '1.1',
      headers: ['Host', 'books.test', ...(isPresented ? ['Authorization', 'Bearer credential'] : [])],
      peerAddress: '192.0.2.1',
      isUpgrade: false,
    }
    for (let at = 1; at < times; at++) await decide(snapshot, ports, raw)
    const outcome = await decide(snapshot, ports, raw)
    const before = calls
    const written = record(snapshot, outcome, NOW_MS, {
      status: outcome.kind === 'refuse' ? 400 : 200,
      endedAtMs: NOW_MS,
      isAborted: false,
      failure: null,
      asked: null,
    })
    expect(calls).toBe(before)
    return written
  }
}

const somebody = (roles: readonly string[]): Authentication => ({
  principal: principalOf('ada', { roles }),
  proofs: [],
  rate: null,
  setCookies: [],
})
const READER = somebody(['reader'])
const EDITOR = somebody(['editor'])
const BAD = new Refusal('token.signature')
const UNKNOWN = new Refusal('introspection.unavailable')

const rows: readonly (readonly [
  who: string,
  found: Authentication | Refusal | null,
  method: string,
  path: string,
  proposed: AccessRecord['proposed'],
])[] = [
  ['a reader', READER, 'GET', '/plain', null],
  ['a reader', READER, 'GET', '/stricter', 'would-refuse'],
  ['an editor', EDITOR, 'GET', '/stricter', 'same'],
  ['nobody', null, 'GET', '/stricter', 'same'],
  ['a bad token', BAD, 'GET', '/stricter', 'same'],
  ['an issuer out of reach', UNKNOWN, 'GET', '/stricter', 'unknown'],
  ['a reader', READER, 'GET', '/looser', 'would-allow'],
  ['an editor', EDITOR, 'GET', '/looser', 'same'],
  ['nobody', null, 'GET', '/closing', 'would-refuse'],
  ['a token nobody looked at', READER, 'GET', '/closing', 'unknown'],
  ['nobody', null, 'GET', '/opening', 'would-allow'],
  ['a bad token', BAD, 'GET', '/opening', 'would-allow'],
  ['an issuer out of reach', UNKNOWN, 'GET', '/opening', 'unknown'],
  ['a store out of reach', new Refusal('credential.unavailable'), 'GET', '/opening', 'unknown'],
  ['a reader', READER, 'GET', '/opening', 'same'],
  ['nobody', null, 'POST', '/methods', 'same'],
  ['a token nobody kept', READER, 'POST', '/methods', 'unknown'],
  ['nobody', null, 'GET', '/denied', 'same'],
  ['a token nobody looked at', READER, 'GET', '/denied', 'unknown'],
  ['a reader', READER, 'GET', '/denying', 'would-refuse'],
]

for (const [who, found, method, path, proposed] of rows) {
  test(`[FR-050] ${who}, ${method} ${path}: ${proposed ?? 'nothing is proposed'}`, async () => {
    const ask = setUp(found ?? READER)
    expect((await ask(method, path, found !== null)).proposed).toBe(proposed)
  })
}

test('[FR-050] a proposal is compared with the access, whatever else refused the request', async () => {
  const ask = setUp(READER)
  const limited = await ask('GET', '/limited', true, 2)
  expect(limited).toMatchObject({ reason: 'route.limit', proposed: 'unknown' })
})

test('[FR-051] a refusal says check by check what was needed and had; what is personal is left out', async () => {
  const written = (await setUp(READER)('GET', '/nested', true)) as RecordedDecision
  expect(written).toMatchObject({ reason: 'email.missing', place: 'test.yaml:15', route: '/nested', subject: 'ada' })
  const byKey = new Map(written.findings.map((finding) => [finding.key, finding]))
  expect(byKey.get('email')).toMatchObject({ needed: 'root@books.test', had: 'another', verdict: 'unmet' })
  expect(byKey.get('any')?.of.length).toBe(2)
  expect(JSON.stringify(byKey.get('any'))).toContain('reader')
  for (const secret of ['secret', 'Bearer', 'ada@']) expect(JSON.stringify(written)).not.toContain(secret)
})

test('[FR-051] a route that is denied is known to the log, and to nobody else', async () => {
  const written = (await setUp(READER)('GET', '/denied', true)) as RecordedDecision
  expect(written).toMatchObject({ reason: 'route.denied', route: '/denied', place: 'test.yaml:13', findings: [] })
})

test('[FR-051] of a credential that was refused the checks say nothing; of a method they do', async () => {
  expect(await setUp(BAD)('GET', '/plain', true)).toMatchObject({ reason: 'token.signature', findings: [] })
  const method = (await setUp(READER)('POST', '/methods', true)) as RecordedDecision
  expect(method.findings).toMatchObject([{ key: 'method', verdict: 'unmet' }])
})

test('[FR-051] what was allowed is an ordinary line', async () => {
  const written = await setUp(READER)('GET', '/plain', true)
  expect(Object.keys(written)).not.toContain('findings')
})
