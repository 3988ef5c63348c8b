/** What the simulation of a policy says is what a running gateway does: random policies, real credentials, real sockets. */

import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compile } from '../../config/compile.ts'
import { formatIssues } from '../../config/issues.ts'
import { parsePolicy } from '../../config/parse.ts'
import type { NodeJournal } from '../../node/journal.ts'
import { openAll } from '../../node/open.ts'
import { type Explanation, explainRequest } from '../../policy/explain-request.ts'
import { personaOf } from '../../policy/people.ts'
import { simulate } from '../../policy/simulate.ts'
import { startTestGateway } from '../support/gateway.ts'
import { makeKey, signToken } from '../support/issuer.ts'
import {
  PEOPLE,
  type PersonName,
  policies,
  type RandomRequest,
  requests,
  type World,
  yamlOf,
} from '../support/random-policy.ts'

const ORIGIN = 'http://localhost:4711'
const COOKIE = 'postern.session_token'
const POLICIES = 20
const REQUESTS_PER_POLICY = 100

const agent = new Agent({ keepAlive: true })
const dataDir = mkdtempSync(join(tmpdir(), 'postern-agreement-'))
let upstream: Server
let world: World
let credentials: Readonly<Record<PersonName, Readonly<Record<string, string>>>>

beforeAll(async () => {
  upstream = await startUpstream()
  const { port } = upstream.address() as AddressInfo
  const key = await makeKey('k1')
  world = { origin: ORIGIN, upstreamUrl: `http://127.0.0.1:${port}`, jwks: [key.jwk] }
  credentials = await mint(key)
}, 60_000)

afterAll(() => {
  upstream?.close()
  agent.destroy()
  rmSync(dataDir, { recursive: true, force: true })
})

/** What the gateway tells an upstream of the caller; how it tells it that it is the gateway has a test of its own. */
function isOurs(name: string): boolean {
  return name.toLowerCase().startsWith('x-forwarded-')
}

/** The accept key of the simulation's Sec-WebSocket-Key (RFC 6455 §1.3). */
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
const SEEN_STATUS = 299

async function startUpstream(): Promise<Server> {
  const saw = ({ headers, url }: IncomingMessage) => {
    const said = Object.entries(headers).filter(([name]) => isOurs(name))
    return encodeURIComponent(JSON.stringify({ headers: Object.fromEntries(said), path: url }))
  }
  const server = createServer((request, response) => {
    response.writeHead(SEEN_STATUS, { 'x-saw': saw(request) }).end()
  })
  server.on('upgrade', (request, socket) => {
    const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
    socket.end([...lines, `Sec-WebSocket-Accept: ${ACCEPT}`, `X-Saw: ${saw(request)}`, '', ''].join('\r\n'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

const JOURNAL: NodeJournal = { record() {}, fault() {}, note() {}, audit() {}, async flush() {} }

/** Made once, in a database that every gateway of this test then serves from. */
async function mint(key: Awaited<ReturnType<typeof makeKey>>): Promise<typeof credentials> {
  const [tree] = fc.sample(policies(world), { numRuns: 1, seed: 1 })
  const policy = { text: yamlOf({ ...tree, routes: {} }), file: 'mint.yaml' }
  const opened = await openAll({ policy, env: {}, dataDir, journal: JOURNAL, isCommand: true })
  try {
    const { testPeople, apiKeys } = opened.identity
    const minted: Record<string, Record<string, string>> = { nobody: {} }
    const settledIds = new Set<string>()
    const isUser = (person: object): person is { id: string; email: string; name: string; roles: readonly string[] } =>
      'id' in person
    for (const [name, person] of Object.entries(PEOPLE)) {
      if (!isUser(person)) continue
      const settled = {
        ...person,
        emailVerified: !('emailVerified' in person),
        methods: 'mfa' in person ? ['pwd', 'otp'] : ['pwd'],
        authenticatedAtMs: Date.now() - (person.name === 'carol' ? 20 * 3_600_000 : 120_000),
      }
      // A change of roles ends the sessions that were there, so nobody is settled twice.
      if (!settledIds.has(settled.id)) await testPeople.settle(settled)
      settledIds.add(settled.id)
      const session = await testPeople.signIn(settled)
      minted[name] =
        'with' in person
          ? { Authorization: `Bearer ${await testPeople.jwtOf(session)}` }
          : { Cookie: `${COOKIE}=${encodeURIComponent(session)}`, 'Sec-Fetch-Site': 'same-origin' }
    }
    for (const name of ['robot', 'meter'] as const) {
      const { owner, ...rest } = PEOPLE[name]
      const wanted = {
        ownerId: PEOPLE[owner].id,
        name,
        scopes: 'scopes' in rest ? rest.scopes : [],
        expiresAtMs: null,
        rate: null,
      }
      minted[name] = { 'X-API-Key': (await apiKeys.create(wanted)).key }
    }
    const now = Math.floor(Date.now() / 1000)
    const { builder, intern, drifter } = PEOPLE
    const claims = {
      builder: {
        email: builder.email,
        email_verified: true,
        roles: builder.roles,
        scope: builder.scopes.join(' '),
        groups: builder.groups,
        dept: 'eng',
        amr: ['mfa'],
        auth_time: now - 120,
      },
      intern: { scope: intern.scopes.join(' '), groups: intern.groups, dept: 'sales', auth_time: now - 72_000 },
      drifter: { auth_time: now - 120 },
    }
    for (const [name, sub] of [
      ['builder', builder.sub],
      ['intern', intern.sub],
      ['drifter', drifter.sub],
    ] as const) {
      const token = await signToken(key, { iss: 'https://ci.example.com', sub, ...claims[name] })
      minted[name] = { Authorization: `Bearer ${token}` }
    }
    return minted as typeof credentials
  } finally {
    await opened.close()
  }
}

interface Answered {
  readonly status: number
  readonly code: string | null
  readonly saw: { readonly headers: Readonly<Record<string, string>>; readonly path: string } | null
}

function send(gatewayUrl: string, { method, url, as, headers }: RandomRequest): Promise<Answered> {
  const whole = /^http:\/\/([^/]*)(.*)$/.exec(url)
  const isUpgrade = method === 'WEBSOCKET'
  const says = Object.keys(headers).some((name) => name === 'Sec-Fetch-Site' || name === 'Origin')
  const { 'Sec-Fetch-Site': site, ...presented } = credentials[as]
  const sent: Record<string, string> = {
    Host: whole?.[1] ?? new URL(ORIGIN).host,
    ...presented,
    ...(site === undefined || says ? {} : { 'Sec-Fetch-Site': site }),
    ...(isUpgrade
      ? {
          Connection: 'Upgrade',
          Upgrade: 'websocket',
          'Sec-WebSocket-Version': '13',
          'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        }
      : {}),
    ...headers,
  }
  const { hostname, port } = new URL(gatewayUrl)
  return new Promise((resolve, reject) => {
    const path = whole === null ? url : whole[2]!
    const request = httpRequest({ hostname, port, agent, method: isUpgrade ? 'GET' : method, path, headers: sent })
    request.on('error', reject)
    request.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve({ status: SEEN_STATUS, code: null, saw: sawOf(response) })
    })
    request.on('response', async (response) => {
      let body = ''
      for await (const chunk of response) body += chunk
      const isProblem = response.headers['content-type'] === 'application/problem+json' && body !== ''
      const code = isProblem ? (JSON.parse(body) as { code: string }).code : null
      resolve({ status: response.statusCode!, code, saw: sawOf(response) })
    })
    request.end()
  })
}

function sawOf({ headers }: IncomingMessage): Answered['saw'] {
  const text = headers['x-saw']
  return typeof text === 'string' ? JSON.parse(decodeURIComponent(text)) : null
}

test(`[FR-047] ${POLICIES} running gateways decide as the simulation of their policies`, async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  let [served, allowed, refused] = [0, 0, 0]
  for (const [at, tree] of fc.sample(policies(world), { numRuns: 2 * POLICIES, seed }).entries()) {
    if (served === POLICIES) break
    const text = yamlOf(tree)
    const parsed = parsePolicy(text, { file: 'random.yaml', readEnv: () => undefined, readFile: () => '' })
    if ('issues' in parsed) throw new Error(formatIssues(parsed.issues))
    const compiled = compile(parsed.config, 'f'.repeat(64), parsed.places)
    if ('issues' in compiled) continue
    served += 1
    const { config } = parsed
    const { snapshot } = compiled
    const gateway = await startTestGateway({ policy: text, origin: ORIGIN, dataDir })
    try {
      for (const request of fc.sample(requests(ORIGIN), { numRuns: REQUESTS_PER_POLICY, seed: seed + at })) {
        const persona = personaOf(config, snapshot, request.as, Date.now())
        if (typeof persona === 'string') throw new Error(persona)
        const asked = { ...request, from: '127.0.0.1', atMs: Date.now() }
        const said = explainRequest(snapshot, await simulate(snapshot, persona, asked))
        const found = await send(gateway.url, request)
        if (said.verdict === 'allow') allowed += 1
        else refused += 1
        expect(found, `seed ${seed}, ${JSON.stringify(request)} under\n${text}`).toEqual(answerOf(said, request))
      }
      expect(gateway.faults).toEqual([])
    } finally {
      await gateway.close()
    }
  }
  process.stdout.write(`seed ${seed}; ${served} gateways, ${allowed} allowed, ${refused} refused\n`)
  expect(served).toBe(POLICIES)
  expect(allowed).toBeGreaterThan(0)
}, 120_000)

/** The answer that an explanation promises. HEAD has no body, and a redirect none that says why. */
function answerOf({ verdict, status, code, upstream }: Explanation, { method }: RandomRequest): Answered {
  if (verdict !== 'allow') {
    const isToldWhy = method !== 'HEAD' && status !== 302
    return { status: status!, code: isToldWhy ? code : null, saw: null }
  }
  const told = upstream!.headers.filter(([name]) => isOurs(name)).map(([name, value]) => [name.toLowerCase(), value])
  return { status: SEEN_STATUS, code: null, saw: { headers: Object.fromEntries(told), path: upstream!.path } }
}
