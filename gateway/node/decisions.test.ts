/** Refusals are kept for whoever asks, within bounds; a proposal is counted and changes no byte; what is counted can be scraped. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startUpstream } from '../../upstream-mock/server.ts'
import { askAdmin, readDecisionFromLog } from '../cli/decision-source.ts'
import type { AccessRecord } from '../model.ts'
import { startTestGateway } from '../test/support/gateway.ts'
import { noPressure } from '../test/support/pressure.ts'
import { exchangeRaw } from '../test/support/raw.ts'
import type { Config } from './config-file.ts'
import { recentDecisions } from './decisions.ts'
import { openMetrics } from './metrics.ts'

const RECORD: AccessRecord = {
  requestId: 'r1',
  at: '2026-11-20T12:34:56.789Z',
  durationMs: 3,
  method: 'GET',
  path: '/a',
  status: 403,
  route: '/a b/**',
  upstream: null,
  subject: 'ada',
  credential: 'session',
  roles: [],
  scopes: [],
  policy: 'f'.repeat(12),
  proposed: null,
  clientAddress: '127.0.0.1',
  reason: 'role.missing',
  log: null,
  droppedHeaders: 0,
  droppedGroups: 0,
  isAborted: false,
}

test('[FR-051] the newest refusals are kept, by number and by bytes, and nothing that was allowed', () => {
  const few = recentDecisions(3)
  for (const requestId of ['a', 'b', 'c', 'd']) few.keep({ ...RECORD, requestId })
  few.keep({ ...RECORD, requestId: 'e', reason: null })
  expect(['a', 'b', 'c', 'd', 'e'].map((id) => few.find(id) !== null)).toEqual([false, true, true, true, false])
  expect(JSON.parse(few.find('d')!)).toEqual({ ...RECORD, requestId: 'd' })

  const small = recentDecisions(1000, 100_000)
  for (let at = 0; at < 1000; at++) small.keep({ ...RECORD, requestId: `r${at}`, path: `/${'x'.repeat(10_000)}` })
  expect(small.size).toBeLessThan(6)
  expect(small.find('r999')).not.toBe(null)
  // One that is larger than all of it leaves nothing behind.
  small.keep({ ...RECORD, requestId: 'huge', path: 'x'.repeat(100_000) })
  expect(small.size).toBe(0)
})

const POLICY = `
version: 1
origin: ORIGIN
admission: { perAddress: off }
upstreams: { up: { url: UPSTREAM, assertion: false } }
routes:
  /**: { to: up, access: public }
  /api/admin/**: { to: up, access: { role: admin } }
  /api/kept/**: { to: up, access: login }
`
const PROPOSALS = POLICY.replace('/**: { to: up, access: public', '/**: { to: up, access: public, proposed: login')
  .replace('access: { role: admin }', 'access: { role: admin }, proposed: public')
  .replace('access: login', 'access: login, proposed: deny')

test('[FR-050] no byte of any answer differs with proposals and without; the log says what they would have done', async () => {
  const upstream = await startUpstream()
  const gateway = await startTestGateway({ policy: POLICY, upstreamUrl: upstream.url })
  const host = new URL(gateway.origin).host
  const requests = [
    ['GET', '/api/health', []],
    ['GET', '/api/health', ['Authorization: Bearer nonsense']],
    ['GET', '/api/admin/stats', []],
    ['GET', '/api/admin/stats', ['Sec-Fetch-Mode: navigate', 'Sec-Fetch-Site: same-origin']],
    ['GET', '/api/admin/stats', ['Authorization: Bearer nonsense']],
    ['DELETE', '/api/kept/1', []],
    ['GET', '/x/..%2fapi', []],
  ] as const
  const answers = async () => {
    const all: string[] = []
    for (const [method, path, more] of requests) {
      const lines = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...more, '', '']
      const answer = await exchangeRaw(gateway.url, lines.join('\r\n'))
      const text = answer
        .replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
        .replace(/^date: .*$/gim, '<date>')
        .replace(/return=[^\s]*/, '<sealed>')
      all.push(text)
    }
    return all
  }
  try {
    const without = await answers()
    expect((await gateway.put(PROPOSALS)).outcome).toBe('done')
    expect(await answers()).toEqual(without)
    expect(without.map((text) => Number(text.slice(9, 12)))).toEqual([200, 200, 401, 302, 401, 401, 400])
    const [plain, proposed] = [gateway.records.slice(0, 7), gateway.records.slice(7)]
    expect(plain.map((record) => record.proposed)).toEqual(plain.map(() => null))
    const [health, presented, ...rest] = proposed.map((record) => record.proposed)
    expect([health, presented]).toEqual(['would-refuse', 'unknown'])
    expect(rest).toEqual(['would-allow', 'would-allow', 'would-allow', 'same', null])
  } finally {
    await gateway.close()
    await upstream.close()
  }
})

test('[FR-051] metrics name routes, classes and families alone, and counts of a proposal begin anew when it changes', async () => {
  const metrics = openMetrics({
    policy: () => ({ version: 'f'.repeat(64), inForceSinceMs: 1000 }),
    reloads: () => ({ done: 2, refused: 1, isLastRefused: true }),
    certificateEndsAtMs: () => 1_800_000_000_000,
    openExchanges: () => 3,
    pressure: noPressure().pressure,
    peers: null,
    upstreams: () => [],
    log: () => ({ sequence: 7, ageMs: 500, isFresh: true }),
    limits: () => ({ isShared: false }),
    decisions: () => 4,
  })
  metrics.count(RECORD)
  metrics.count({ ...RECORD, reason: 'role.other', proposed: 'would-allow' })
  metrics.count({ ...RECORD, reason: 'role.other', proposed: 'would-refuse', policy: '0'.repeat(12) })
  metrics.count({ ...RECORD, status: 200, reason: null, route: null, path: '/somebody', subject: 'somebody' })
  const { contentType, text } = await metrics.scrape()
  expect(contentType).toMatch(/^text\/plain/)
  for (const line of [
    'postern_requests_total{route="/a b/**",status="4xx",reason="role"} 3',
    'postern_requests_total{route="",status="2xx",reason="none"} 1',
    'postern_proposals_total{route="/a b/**",verdict="would-allow"} 1',
    'postern_proposals_total{route="/a b/**",verdict="would-refuse"} 0',
    'postern_policy_reloads_total{outcome="done"} 2',
    'postern_policy_reloads_total{outcome="refused"} 1',
    `postern_policy_info{sha256="${'f'.repeat(64)}"} 1`,
    'postern_policy_reload_refused 1',
    'postern_tls_certificate_ends_seconds 1800000000',
    'postern_open_exchanges 3',
    'postern_revocation_sequence 7',
    'postern_revocation_log_age_seconds 0.5',
    'postern_request_duration_seconds_count 4',
  ]) {
    expect(text).toContain(`${line}\n`)
  }
  expect(text).not.toMatch(/somebody|ada|r1/)
  expect((await metrics.scrape()).text).toBe(text)

  const policy = (proposed: string) =>
    ({ defaults: { access: 'deny' }, routes: { '/a b/**': { access: 'login', proposed } } }) as unknown as Config
  metrics.policyChanged(policy('public'), policy('public'))
  expect((await metrics.proposals())['/a b/**']).toMatchObject({ wouldAllow: 1, wouldRefuse: 0 })
  metrics.policyChanged(policy('public'), policy('deny'))
  expect(await metrics.proposals()).toEqual({})
  metrics.policyChanged(policy('deny'), { ...policy('deny'), routes: {} })
  expect((await metrics.scrape()).text).not.toContain('/a b/**')
})

test('[FR-051] an admin key goes to the address that was named, and not where that one points', async () => {
  const heard: (string | undefined)[] = []
  const server = createServer((request, response) => {
    heard.push(request.url)
    response.writeHead(307, { location: '/elsewhere' }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = server.address() as AddressInfo
    await expect(askAdmin(`http://127.0.0.1:${port}`, 'key', 'a/b')).rejects.toThrow(/cannot be asked/)
    expect(heard).toEqual(['/v1/decisions/a%2Fb'])
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('[FR-051] a decision is found in a log by its id, among lines that are none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-log-'))
  const file = join(folder, 'access.log')
  const kept = { ...RECORD, requestId: 'wanted', place: 'gateway.yaml:3', findings: [] }
  const lines = [
    'not json wanted',
    '{"level":"warn","note":"wanted"}',
    JSON.stringify({ ...RECORD, path: '/wanted' }),
    `2026-11-20 app-1 | ${JSON.stringify({ level: 'info', ...kept })}`,
    JSON.stringify({ ...RECORD, requestId: 'fine', status: 200, reason: null }),
  ]
  writeFileSync(file, lines.join('\n'))
  try {
    expect(await readDecisionFromLog(file, 'wanted')).toEqual(kept)
    expect(await readDecisionFromLog(file, 'fine')).toMatchObject({ status: 200, place: null, findings: [] })
    expect(await readDecisionFromLog(file, 'never')).toBe(null)
    await expect(readDecisionFromLog(join(folder, 'none'), 'a')).rejects.toThrow(/cannot be read/)
    await expect(askAdmin('ftp://a', 'key', 'a')).rejects.toThrow(/is no address/)
    await expect(askAdmin('http://127.0.0.1:9', 'key', 'a')).rejects.toThrow(/cannot be asked/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
