/** The gateway's own endpoints over the real identity provider and a database of their own, with a browser's habits: cookies kept, forms posted from our own origin. */

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { createEndpoints, type Endpoints } from '../../endpoints/app.ts'
import type { EndpointDeps } from '../../endpoints/deps.ts'
import { openIdentityProvider } from '../../identity-provider/provider.ts'
import type { Users } from '../../identity-provider/users.ts'
import { primitives } from '../../node/crypto.ts'
import type { Database, IdentityProvider, Sealer } from '../../ports.ts'
import { openDatabase } from '../../stores/database/open.ts'
import { memoryCounters } from '../../stores/memory/counters.ts'

export const ORIGIN = 'http://localhost:8080'
export const COOKIE = 'postern.session_token'

export interface OwnPages {
  readonly endpoints: Endpoints
  readonly sealer: Sealer
  readonly users: Users
  readonly database: Database
  /** What was given to the log. */
  readonly faults: unknown[]
  /** Changes what the endpoints are given, from now on. */
  readonly set: (more: Partial<EndpointDeps>) => void
  /** Sessions that are in the database. */
  readonly sessionCount: () => Promise<number>
  /** Another browser. */
  readonly client: () => Client
}

export interface Client {
  /** Cookies as a browser would keep them. */
  readonly cookies: Map<string, string>
  get(path: string, headers?: Record<string, string>): Promise<Response>
  post(path: string, fields: Record<string, string>, headers?: Record<string, string>): Promise<Response>
}

export interface OwnPagesOptions {
  readonly signup?: IdentityProvider['signup']
  /** Sign-ins that one address may try at once. */
  readonly signInBurst?: number
}

/** Closed again when the test that opened it is over. */
export async function openOwnPages(options: OwnPagesOptions = {}): Promise<OwnPages> {
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-own-pages-'))
  const database = await openDatabase(null, dataDir)
  const faults: unknown[] = []
  const identity = await openIdentityProvider({
    origin: ORIGIN,
    cookieName: COOKIE,
    secrets: [randomBytes(32).toString('base64')],
    database,
    primitives,
    counters: memoryCounters(1000),
    carrier: null,
    isAlone: true,
    credentialStore: null,
    maxStalenessMs: 5000,
    monotonicMs: () => performance.now(),
    login: {
      signup: options.signup ?? 'open',
      idleMs: 8 * 3_600_000,
      maxMs: 30 * 86_400_000,
      signInLimit: { burst: options.signInBurst ?? 1000, intervalMs: 60_000 },
      signUpLimit: { burst: 1000, intervalMs: 60_000 },
    },
    nowMs: Date.now,
    log: (error) => faults.push(error),
  })
  onTestFinished(async () => {
    identity.close()
    await database.close()
    await rm(dataDir, { recursive: true })
  })
  let deps: EndpointDeps = {
    origin: ORIGIN,
    sessionCookieName: COOKIE,
    provider: identity.provider,
    sessions: identity.sessions,
    sealer: identity.sealer,
    nowMs: Date.now,
    log: (error) => faults.push(error),
  }
  let endpoints = createEndpoints(deps)
  return {
    endpoints: { fetch: (request) => endpoints.fetch(request) },
    sealer: identity.sealer,
    users: identity.users,
    database,
    faults,
    set(more) {
      deps = { ...deps, ...more }
      endpoints = createEndpoints(deps)
    },
    async sessionCount() {
      const [row] = await database.query('select count(*) as n from session')
      return Number(row?.n)
    },
    client: () => clientOf((request) => endpoints.fetch(request)),
  }
}

function clientOf(fetch: (request: Request) => Promise<Response>): Client {
  const cookies = new Map<string, string>()
  async function send(request: Request): Promise<Response> {
    if (cookies.size > 0) request.headers.set('cookie', cookieLine(cookies))
    const response = await fetch(request)
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';')
      const at = pair.indexOf('=')
      if (/max-age=0/i.test(line)) cookies.delete(pair.slice(0, at))
      else cookies.set(pair.slice(0, at), pair.slice(at + 1))
    }
    return response
  }
  // What the runtime writes into every request it rebuilds.
  const runtime = { 'x-request-id': 'request-0001', 'x-postern-client-ip': '192.0.2.7' }
  return {
    cookies,
    get: (path, headers = {}) => send(new Request(ORIGIN + path, { headers: { ...runtime, ...headers } })),
    post: (path, fields, headers = { 'sec-fetch-site': 'same-origin' }) =>
      send(
        new Request(ORIGIN + path, {
          method: 'POST',
          headers: { ...runtime, 'content-type': 'application/x-www-form-urlencoded', ...headers },
          body: new URLSearchParams(fields).toString(),
        }),
      ),
  }
}

/** Where the page after a sign-in leads, or null when it is not that page. */
export async function leadsTo(response: Response): Promise<string | null> {
  const path = /http-equiv="refresh" content="0; url=([^"]*)"/.exec(await response.text())?.[1]
  return path?.replaceAll('&amp;', '&') ?? null
}

export function cookieLine(cookies: ReadonlyMap<string, string>): string {
  return [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
}
