/** The gateway's own endpoints over a real Better Auth and a database in memory, with a browser's habits: cookies kept, forms posted from our own origin. */

import { createHmac } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import { admin } from 'better-auth/plugins'
import { createEndpoints, type Endpoints } from '../../endpoints/app.ts'
import type { EndpointDeps } from '../../endpoints/deps.ts'
import type { Authentication, Principal, Refusal } from '../../model.ts'
import type { IdentityProvider, Sealer } from '../../ports.ts'

export const ORIGIN = 'http://localhost:8080'
export const COOKIE = 'postern.session_token'

export interface OwnPages {
  readonly endpoints: Endpoints
  readonly sealer: Sealer
  readonly faults: unknown[]
  /** Changes what the deps hold from now on. */
  readonly set: (more: Partial<EndpointDeps>) => void
  /** Sessions alive in the database. */
  readonly sessionCount: () => number
  readonly sql: (text: string) => void
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
  readonly isRateLimited?: boolean
}

export async function openOwnPages(options: OwnPagesOptions = {}): Promise<OwnPages> {
  const database = new DatabaseSync(':memory:')
  const auth = betterAuth({
    baseURL: ORIGIN,
    basePath: '/api/auth',
    secret: 'a secret that only this test knows, 32+ bytes',
    database,
    emailAndPassword: { enabled: true },
    telemetry: { enabled: false },
    logger: { disabled: true },
    rateLimit: { enabled: options.isRateLimited === true },
    advanced: { cookiePrefix: 'postern', ipAddress: { ipAddressHeaders: ['x-postern-client-ip'] } },
    plugins: [admin()],
  })
  await (await getMigrations(auth.options)).runMigrations()
  const provider: IdentityProvider = {
    signup: options.signup ?? 'open',
    handle: (request) => auth.handler(request),
    publicKeys: async () => ({ keys: [{ kty: 'EC', kid: 'k1' }] }),
    isReady: async () => true,
  }
  const sealer = testSealer('seal key')
  const faults: unknown[] = []
  let more: Partial<EndpointDeps> = {}
  const base: EndpointDeps = {
    origin: ORIGIN,
    sessionCookieName: COOKIE,
    provider,
    sealer,
    sessions: {
      async verifyCookie(cookie): Promise<Authentication | Refusal> {
        const found = await auth.api.getSession({ headers: new Headers({ cookie: `${COOKIE}=${cookie}` }) })
        if (found === null)
          return { principal: null, setCookies: [`${COOKIE}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax`] }
        return { principal: principalOf(found), setCookies: [] }
      },
    },
    nowMs: () => Date.now(),
    log: (error) => faults.push(error),
  }
  let endpoints = createEndpoints(base)
  return {
    endpoints: { fetch: (request) => endpoints.fetch(request) },
    sealer,
    faults,
    set(change) {
      more = { ...more, ...change }
      endpoints = createEndpoints({ ...base, ...more })
    },
    sessionCount: () => Number(database.prepare('select count(*) as n from session').get()?.n),
    sql: (text) => database.exec(text),
    client: () => clientOf((request) => endpoints.fetch(request)),
  }
}

function clientOf(fetch: (request: Request) => Promise<Response>): Client {
  const cookies = new Map<string, string>()
  async function send(request: Request): Promise<Response> {
    if (cookies.size > 0)
      request.headers.set('cookie', [...cookies].map(([name, value]) => `${name}=${value}`).join('; '))
    const response = await fetch(request)
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';')
      const at = pair.indexOf('=')
      if (/max-age=0/i.test(line)) cookies.delete(pair.slice(0, at))
      else cookies.set(pair.slice(0, at), pair.slice(at + 1))
    }
    return response
  }
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

export function testSealer(key: string): Sealer {
  const mac = (text: string) => createHmac('sha256', key).update(text).digest('base64url')
  return {
    seal(purpose, text, expiresAtMs) {
      const body = Buffer.from(JSON.stringify([purpose, text, expiresAtMs])).toString('base64url')
      return `${body}.${mac(body)}`
    },
    open(purpose, sealed, nowMs) {
      const [body = '', tag] = sealed.split('.')
      if (tag !== mac(body)) return null
      const [writtenFor, text, expiresAtMs] = JSON.parse(Buffer.from(body, 'base64url').toString())
      return writtenFor === purpose && nowMs < expiresAtMs ? text : null
    },
  }
}

function principalOf(found: {
  readonly user: { id: string; email: string; emailVerified: boolean; name: string; role?: string | null | undefined }
  readonly session: { id: string; createdAt: Date; expiresAt: Date }
}): Principal {
  const { user, session } = found
  return {
    kind: 'user',
    credential: 'session',
    subject: user.id,
    issuer: ORIGIN,
    email: user.email,
    emailVerified: user.emailVerified,
    name: user.name,
    roles: user.role?.split(',') ?? [],
    scopes: [],
    groups: [],
    sessionId: session.id,
    tokenId: null,
    authenticatedAtMs: session.createdAt.getTime(),
    methods: ['pwd'],
    expiresAtMs: session.expiresAt.getTime(),
  }
}
