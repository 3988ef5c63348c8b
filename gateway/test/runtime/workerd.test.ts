/** The scenario table and the table of HTTP in workerd: the built Worker, a policy compiled for it, and real upstreams. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { convertV4MiniflareOptions, Miniflare } from 'miniflare'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RawUpstream, startRawUpstream } from '../scenario/http/raw-upstream.ts'
import { type HttpRuntime, runHttpRows } from '../scenario/http/run.ts'
import { withWire } from '../scenario/http/table.ts'
import { mintPeople } from '../scenario/people.ts'
import { type Exchange, type Observed, type Runtime, runScenarios, startEcho } from '../scenario/run.ts'
import { SCENARIO_POLICY } from '../scenario/table.ts'

const ORIGIN = 'http://books.test'
const folder = mkdtempSync(join(tmpdir(), 'postern-worker-'))
let echo: Awaited<ReturnType<typeof startEcho>>
let miniflare: Miniflare
let wire: RawUpstream
let runtime: Runtime
let httpRuntime: HttpRuntime

beforeAll(async () => {
  echo = await startEcho()
  wire = await startRawUpstream()
  const { people, jwks } = await mintPeople(ORIGIN)
  const policy = join(folder, 'gateway.yaml')
  const text = withWire(SCENARIO_POLICY).replace('WIRE', wire.url)
  writeFileSync(policy, text.replace('UPSTREAM', echo.url).replace('ORIGIN', ORIGIN))
  const env = {
    ...process.env,
    POSTERN_CONFIG: policy,
    WRANGLER_SEND_METRICS: 'false',
    CI: '1',
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  }
  execFileSync('npx', ['wrangler', 'deploy', '--dry-run', '--outdir', folder], { env, stdio: 'pipe' })
  const contents = readFileSync(join(folder, 'worker.js'), 'utf8')
  miniflare = new Miniflare(
    convertV4MiniflareOptions({
      cf: false,
      host: '127.0.0.1',
      port: 0,
      workers: [
        {
          name: 'postern',
          modules: [{ type: 'ESModule', path: 'worker.js', contents }],
          compatibilityDate: '2026-11-02',
          bindings: { POSTERN_JWKS: JSON.stringify(jwks) },
        },
      ],
    }),
  )
  const { port } = await miniflare.ready
  runtime = { people, send: (exchange) => send(Number(port), exchange) }
  const { token } = people.reader
  httpRuntime = { url: `http://127.0.0.1:${port}`, origin: ORIGIN, token, upstream: wire }
}, 60_000)

afterAll(async () => {
  await miniflare?.dispose()
  echo?.server.close()
  wire?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Over node:http, because `fetch` would normalize the very targets that are tested. */
async function send(port: number, exchange: Exchange): Promise<Observed> {
  echo.forget()
  const { method, target, headers, body } = exchange
  const lines = [
    'Host',
    new URL(ORIGIN).host,
    ...headers,
    ...(body === null ? [] : ['Content-Length', String(body.length)]),
  ]
  const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port, method, path: target, headers: lines, setHost: false },
      (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk) => (text += chunk))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      },
    )
    sent.on('error', reject).end(body ?? undefined)
  })
  return { status, body: text, upstream: echo.lastSeen() }
}

runScenarios('workerd', () => runtime)
runHttpRows('workerd', () => httpRuntime)

test('[FR-026] workerd: two Authorization fields are refused, joined or not', async () => {
  const { reader } = runtime.people
  const headers = ['Authorization', `Bearer ${reader.token}`, 'Authorization', `Bearer ${reader.token}`]
  const observed = await runtime.send({ method: 'GET', target: '/api/whoami', headers, body: null })
  expect(observed.status).toBe(401)
  expect(observed.upstream).toBeNull()
})
