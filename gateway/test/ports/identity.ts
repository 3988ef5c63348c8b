/** Opens the identity provider on a real database of its own, and talks to it as browsers do: cookies kept, Origin sent. */

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { AuthSettings } from '../../identity-provider/auth.ts'
import { hashing } from '../../identity-provider/hashing.ts'
import {
  type IdentityOptions,
  type LoginSettings,
  type OpenIdentityProvider,
  openIdentityProvider,
} from '../../identity-provider/provider.ts'
import { primitives } from '../../node/crypto.ts'
import type { Database } from '../../ports.ts'
import { openDatabase } from '../../stores/database/open.ts'
import { memoryCounters } from '../../stores/memory/counters.ts'

export const ORIGIN = 'http://localhost:8080'
export const COOKIE = 'postern.session_token'
export const PASSWORD = 'a long enough password'
export const STORE_KINDS = ['sqlite', 'postgres'] as const
export type StoreKind = (typeof STORE_KINDS)[number]

/** A fresh, empty database and how to open it, as often as a test has nodes. */
export interface TestStore {
  readonly kind: StoreKind
  /** Empty for a file. */
  readonly url: string
  open(): Promise<Database>
  remove(): Promise<void>
}

export async function createStore(kind: StoreKind): Promise<TestStore> {
  if (kind === 'sqlite') {
    const dataDir = mkdtempSync(join(tmpdir(), 'postern-test-'))
    return {
      kind,
      url: '',
      open: () => openDatabase(null, dataDir),
      remove: async () => rmSync(dataDir, { recursive: true, force: true }),
    }
  }
  const server = process.env.POSTERN_TEST_DATABASE_URL
  if (server === undefined)
    throw new Error('POSTERN_TEST_DATABASE_URL names no Postgres: run the tests with `npm test`')
  const name = `postern_${randomBytes(6).toString('hex')}`
  await administer(server, `create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return {
    kind,
    url: url.href,
    open: () => openDatabase(url.href, ''),
    remove: () => administer(server, `drop database ${name} with (force)`),
  }
}

async function administer(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(sql)
  await client.end()
}

export const LOGIN: LoginSettings = {
  signup: 'open',
  idleMs: 28_800_000,
  maxMs: 30 * 86_400_000,
  signInLimit: { burst: 1000, intervalMs: 1 },
  signUpLimit: { burst: 1000, intervalMs: 1 },
}

/** Settings of the identity provider alone, for tests that go past our own doors to see what stands behind them. */
export const AUTH_SETTINGS: AuthSettings = {
  origin: ORIGIN,
  cookieName: COOKIE,
  secrets: [{ version: 1, value: 'a value that is long enough for anyone' }],
  isSignupOpen: true,
  idleMs: LOGIN.idleMs,
  signInLimit: LOGIN.signInLimit,
  signUpLimit: LOGIN.signUpLimit,
  counters: memoryCounters(10),
  hashing: hashing(1),
  nowMs: () => Date.now(),
  log: () => {},
}

export interface TestNode extends OpenIdentityProvider {
  readonly database: Database
  readonly logged: unknown[]
  readonly client: (headers?: Record<string, string>) => TestClient
  readonly stop: () => Promise<void>
}

/** One node of the gateway's identity provider. Its clock is the machine's, plus whatever a test adds. */
export async function startNode(
  store: TestStore,
  more: Omit<Partial<IdentityOptions>, 'login'> & { readonly login?: Partial<LoginSettings> } = {},
): Promise<TestNode> {
  const database = more.database ?? (await store.open())
  const logged: unknown[] = []
  const options: IdentityOptions = {
    origin: ORIGIN,
    cookieName: COOKIE,
    secrets: ['the first secret, which is long enough'],
    database,
    primitives,
    counters: memoryCounters(1000),
    carrier: null,
    isAlone: store.kind === 'sqlite',
    credentialStore: null,
    maxStalenessMs: 5000,
    monotonicMs: () => performance.now(),
    nowMs: () => Date.now(),
    log: (error) => logged.push(error),
    ...more,
    login: { ...LOGIN, ...more.login },
  }
  const opened = await openIdentityProvider(options)
  return {
    ...opened,
    database,
    logged,
    client: (headers) => createClient(opened, options, headers),
    async stop() {
      opened.close()
      await database.close()
    },
  }
}

export interface TestClient {
  readonly cookies: Map<string, string>
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>
  signUp(email: string, name?: string): Promise<Response>
  signIn(email: string, more?: Record<string, unknown>): Promise<Response>
  /** The session cookie as this client would present it. */
  readonly session: string
}

function createClient(
  { provider }: OpenIdentityProvider,
  { origin, cookieName }: IdentityOptions,
  always: Record<string, string> = {},
): TestClient {
  const cookies = new Map<string, string>()
  const client: TestClient = {
    cookies,
    get session() {
      return cookies.get(cookieName) ?? ''
    },
    async send(method, path, body, headers = {}) {
      const fields: Record<string, string> = { 'x-postern-client-ip': '192.0.2.7', ...always }
      if (method !== 'GET') Object.assign(fields, { origin, 'content-type': 'application/json' })
      if (cookies.size > 0) fields.cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
      const response = await provider.handle(
        new Request(`${origin}/api/auth${path}`, {
          method,
          headers: { ...fields, ...headers },
          ...(method === 'GET' ? {} : { body: JSON.stringify(body ?? {}) }),
        }),
      )
      for (const line of response.headers.getSetCookie()) keep(cookies, line)
      return response
    },
    signUp: (email, name = 'Ada') => client.send('POST', '/sign-up/email', { email, password: PASSWORD, name }),
    signIn: (email, more = {}) => client.send('POST', '/sign-in/email', { email, password: PASSWORD, ...more }),
  }
  return client
}

function keep(cookies: Map<string, string>, line: string): void {
  const [pair = '', ...attributes] = line.split('; ')
  const at = pair.indexOf('=')
  if (attributes.includes('Max-Age=0')) cookies.delete(pair.slice(0, at))
  else cookies.set(pair.slice(0, at), pair.slice(at + 1))
}

/** What a compact JWS says, unverified. */
export function claimsOf(jws: string): Record<string, unknown> & { readonly exp: number; readonly iat: number } {
  return JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString())
}

export function headerOf(jws: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jws.split('.')[0] ?? '', 'base64url').toString())
}
