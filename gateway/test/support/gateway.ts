/** The real gateway on a free port with a data folder of its own, for tests that stand where a client stands. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AccessRecord } from '../../model.ts'
import type { NodeJournal } from '../../node/journal.ts'
import { type RunningGateway, startGateway } from '../../node/main.ts'
import type { Reloaded } from '../../node/reload.ts'
import { freePort } from './ports.ts'
import { until } from './until.ts'

export interface TestGateway extends RunningGateway {
  /** Finished exchanges so far. */
  readonly records: readonly AccessRecord[]
  /** Bugs and outages so far. */
  readonly faults: readonly unknown[]
  /** What operators were told so far. */
  readonly notes: readonly string[]
  /** Puts another policy in force, with `ORIGIN` and `UPSTREAM` replaced as before. */
  put(policy: string): Promise<Reloaded>
  readonly dataDir: string
  /** Resolves with the first record that `isWanted`, now or later. */
  recordOf(isWanted: (record: AccessRecord) => boolean): Promise<AccessRecord>
}

export interface TestGatewayOptions {
  /** The policy; `ORIGIN` and `UPSTREAM` in it are replaced. */
  readonly policy: string
  readonly upstreamUrl?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Nodes of one gateway share an origin; absent: `http://localhost:<port>`. */
  readonly origin?: string
  /** Kept by its owner; absent: a new one that goes with the gateway. */
  readonly dataDir?: string
}

const WAIT_MS = 10_000

/** Everything public, to one upstream: for tests of what carries requests rather than of who may send them. */
export const OPEN_POLICY = `
version: 1
origin: ORIGIN
upstreams:
  up: { url: UPSTREAM, assertion: false }
defaults: { body: 1MiB, timeout: 2s }
admission: { perAddress: off }
routes:
  /**: { to: up, access: public }
`

export async function startTestGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const port = await freePort()
  const origin = options.origin ?? `http://localhost:${port}`
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'postern-test-'))
  const fileOf = (policy: string) => {
    const text = policy.replaceAll('ORIGIN', origin).replaceAll('UPSTREAM', options.upstreamUrl ?? '')
    return { text: `${text.replace(/^listen:.*$/m, '')}\nlisten: 127.0.0.1:${port}\n`, file: 'test.yaml' }
  }
  const records: AccessRecord[] = []
  const faults: unknown[] = []
  const notes: string[] = []
  const heard = new Set<() => void>()
  const journal: NodeJournal = {
    record(record) {
      records.push(record)
      for (const hear of heard) hear()
    },
    fault: (_requestId, error) => void faults.push(error),
    note: (message) => void notes.push(message),
    audit() {},
    async flush() {},
  }
  const removeData = () => {
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true })
  }
  let gateway: RunningGateway
  try {
    gateway = await startGateway({ policy: fileOf(options.policy), env: options.env ?? {}, dataDir, journal })
  } catch (error) {
    removeData()
    throw error
  }
  return {
    ...gateway,
    records,
    faults,
    notes,
    put: (policy) => gateway.reload(fileOf(policy)),
    dataDir,
    recordOf: (isWanted) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          heard.delete(look)
          reject(new Error(`no such record; there are ${JSON.stringify(records)}`))
        }, WAIT_MS)
        const look = () => {
          const found = records.find(isWanted)
          if (found === undefined) return
          clearTimeout(timer)
          heard.delete(look)
          resolve(found)
        }
        heard.add(look)
        look()
      }),
    async close(how) {
      await gateway.close(how)
      removeData()
    },
  }
}

/** Someone who is signed in: the Cookie value and a bearer token. */
export interface SignedIn {
  readonly id: string
  readonly email: string
  readonly cookie: string
  readonly token: string
}

const PASSWORD = 'correct horse battery staple'

/** Makes a user and signs in over HTTP, as a browser would. */
export async function signIn(gateway: TestGateway, email: string, roles: readonly string[]): Promise<SignedIn> {
  const { origin, url, users } = gateway
  const known = await users.findByEmail(email)
  const id = known?.id ?? (await users.create({ email, password: PASSWORD, name: email.split('@')[0]!, roles }))
  const own = { host: new URL(origin).host, origin }
  const signedIn = await ownRequest(url, '/api/auth/sign-in/email', own, JSON.stringify({ email, password: PASSWORD }))
  const cookie = signedIn.setCookies.map((line) => line.split(';')[0]).join('; ')
  if (signedIn.status !== 200 || cookie === '') throw new Error(`sign-in failed: ${signedIn.status} ${signedIn.body}`)
  const issued = await ownRequest(url, '/api/auth/token', { ...own, cookie }, null)
  if (issued.status !== 200) throw new Error(`no token: ${issued.status} ${issued.body}`)
  const { token } = JSON.parse(issued.body) as { token: string }
  return { id, email, cookie, token }
}

/** `fetch` would not let a test say which Host it asks for. */
async function ownRequest(url: string, path: string, headers: Record<string, string>, json: string | null) {
  const { request } = await import('undici')
  const {
    statusCode,
    headers: answered,
    body,
  } = await request(url + path, {
    method: json === null ? 'GET' : 'POST',
    headers: json === null ? headers : { ...headers, 'content-type': 'application/json' },
    body: json,
  })
  const setCookies = answered['set-cookie'] ?? []
  return {
    status: statusCode,
    setCookies: Array.isArray(setCookies) ? setCookies : [setCookies],
    body: await body.text(),
  }
}

/** Resolves once no request holds a place at a server or waits for one. */
export async function allPlacesFree(gateway: TestGateway): Promise<void> {
  const places = () =>
    gateway.upstreams().flatMap(({ queued, servers }) => [queued, ...servers.map((one) => one.underWay)])
  await until(() => places().every((taken) => taken === 0), 'every place has been given back')
}
