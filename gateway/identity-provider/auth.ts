/**
 * Better Auth as this gateway runs it: sessions in the database only, no cookie cache, no telemetry, nothing believed from
 * headers but what the gateway itself wrote, and how somebody signed in recorded once and never moved.
 */

import { apiKey } from '@better-auth/api-key'
import type { DBAdapter } from '@better-auth/core/db/adapter'
import { type BetterAuthOptions, betterAuth } from 'better-auth'
import { admin } from 'better-auth/plugins/admin'
import { bearer } from 'better-auth/plugins/bearer'
import { jwt } from 'better-auth/plugins/jwt'
import { organization } from 'better-auth/plugins/organization'
import type { Counters } from '../ports.ts'
import type { RateRule } from '../rules.ts'
import type { Hashing } from './hashing.ts'
import { LOG_TABLES } from './log-store.ts'
import { currentFacts } from './request-facts.ts'
import { IMPERSONATED_MS_MAX } from './session-rows.ts'
import { TOKEN_KEY_OPTIONS } from './token-keys.ts'

export const BASE_PATH = '/api/auth'
export const CLIENT_ADDRESS_HEADER = 'x-postern-client-ip'
const TOKEN_LIFE = '15m'
const PASSWORD_CHARS_MIN = 8
const PASSWORD_CHARS_MAX = 128
export const KEY_LIFE_DAYS_MAX = 3650

export interface AuthSettings {
  readonly origin: string
  readonly cookieName: string
  readonly secrets: readonly { readonly version: number; readonly value: string }[]
  readonly isSignupOpen: boolean
  readonly idleMs: number
  readonly signInLimit: RateRule
  readonly signUpLimit: RateRule
  readonly counters: Counters
  readonly hashing: Hashing
  readonly nowMs: () => number
  readonly log: (error: unknown) => void
}

/** Paths at which somebody proves a password, and so the only ones where a session learns when and how. */
const PASSWORD_PATHS: ReadonlySet<string> = new Set(['/sign-in/email', '/sign-up/email', '/change-password'])

/** `database` is a driver's own object, for migrations and to make an adapter; or a function that gives a finished adapter. */
export function authOptions(settings: AuthSettings, database: object | (() => DBAdapter)) {
  const { origin, cookieName, nowMs, log } = settings
  const isSecure = origin.startsWith('https:')
  return {
    appName: 'Postern',
    baseURL: origin,
    basePath: BASE_PATH,
    database: database as NonNullable<BetterAuthOptions['database']>,
    secrets: [...settings.secrets],
    trustedOrigins: [origin],
    telemetry: { enabled: false },
    logger: {
      level: 'error',
      // What follows a colon is quoted from the request: a callback, an origin. Logs keep none of it.
      log: (_level: string, message: string) => log(new Error(`identity provider: ${message.split(':', 1)[0]}`)),
    },
    // Left to itself it prints to the console, past our log: what clients send wrongly, and every outage.
    onAPIError: { onError: throwUnlessOfClient },
    emailAndPassword: {
      enabled: true,
      disableSignUp: !settings.isSignupOpen,
      minPasswordLength: PASSWORD_CHARS_MIN,
      maxPasswordLength: PASSWORD_CHARS_MAX,
      revokeSessionsOnPasswordReset: true,
      password: { hash: settings.hashing.hash, verify: (given) => verifyAndRemember(settings.hashing, given) },
    },
    session: {
      expiresIn: Math.max(1, Math.floor(settings.idleMs / 1000)),
      // The gateway extends sessions itself: it knows their absolute end, and whom not to remember.
      disableSessionRefresh: true,
      cookieCache: { enabled: false },
      // Which path asks for a fresh sign-in stands in the table of paths.
      freshAge: 0,
      additionalFields: {
        authenticatedAt: { type: 'date', required: false, input: false },
        amr: { type: 'string', required: false, input: false },
        isRemembered: { type: 'boolean', required: false, input: false },
      },
    },
    rateLimit: {
      enabled: true,
      customStorage: { consume: (key: string, rule: WindowRule) => consumeWindow(settings, key, rule) },
      customRules: {
        '/sign-in/email': toWindow(settings.signInLimit),
        '/sign-up/email': toWindow(settings.signUpLimit),
        '/change-password': toWindow(settings.signInLimit),
      },
    },
    advanced: {
      database: { validateSchema: false },
      ipAddress: { ipAddressHeaders: [CLIENT_ADDRESS_HEADER] },
      // Spelled out, because both are switched off by default where NODE_ENV says "test".
      disableCSRFCheck: false,
      disableOriginCheck: false,
      // Prefixes are in our own names: `__Host-` binds a cookie to this host and to https (RFC 6265bis §4.1.3.2).
      useSecureCookies: false,
      cookiePrefix: isSecure ? '__Host-postern' : 'postern',
      defaultCookieAttributes: { httpOnly: true, sameSite: 'lax', path: '/', secure: isSecure },
      cookies: { session_token: { name: cookieName } },
    },
    databaseHooks: {
      session: {
        create: {
          before: async (session: NewSession, context: HookContext | null | undefined) => {
            const isProven = PASSWORD_PATHS.has(context?.path ?? '')
            const startedAtMs = nowMs()
            const isImpersonated = session['impersonatedBy'] != null
            const lifeMs = isImpersonated ? Math.min(settings.idleMs, IMPERSONATED_MS_MAX) : settings.idleMs
            return {
              data: {
                ...session,
                userAgent: session.userAgent?.slice(0, USER_AGENT_CHARS_MAX) ?? null,
                expiresAt: new Date(startedAtMs + lifeMs),
                authenticatedAt: isProven ? new Date(startedAtMs) : null,
                amr: isProven ? 'pwd' : null,
                isRemembered: isRemembered(context),
              },
            }
          },
        },
      },
    },
    plugins: [
      LOG_TABLES,
      admin(),
      organization({ allowUserToCreateOrganization: false }),
      apiKey({
        enableMetadata: true,
        // The gateway counts requests and reads keys itself: a limit and a write per request are not wanted here.
        rateLimit: { enabled: false },
        keyExpiration: { minExpiresIn: 0, maxExpiresIn: KEY_LIFE_DAYS_MAX },
      }),
      bearer({ requireSignature: true }),
      jwt({
        disableSettingJwtHeader: true,
        ...TOKEN_KEY_OPTIONS,
        jwt: {
          issuer: origin,
          audience: origin,
          expirationTime: TOKEN_LIFE,
          getSubject: ({ user }) => user.id,
          definePayload: ({ user, session }) => ({
            email: user.email,
            email_verified: user.emailVerified,
            name: user.name,
            roles: rolesOf(user),
            sid: session.id,
            jti: crypto.randomUUID(),
          }),
        },
      }),
    ],
  } satisfies BetterAuthOptions
}

export function createAuth(options: ReturnType<typeof authOptions>) {
  return betterAuth(options)
}

/** The identity provider without our adapter around it: for migrations, and for reading past it. */
export function createPlainAuth(options: BetterAuthOptions) {
  return betterAuth(options)
}

export type Auth = ReturnType<typeof createAuth>
export type AuthContext = Awaited<Auth['$context']>

const USER_AGENT_CHARS_MAX = 512

/** With the columns that plug-ins add. */
interface NewSession {
  readonly userAgent?: string | null | undefined
  readonly [column: string]: unknown
}

interface HookContext {
  readonly path?: string | undefined
  readonly headers?: Headers | undefined
  readonly body?: { readonly rememberMe?: unknown } | undefined
}

/** Asked when somebody signs in; a password that is changed leaves it as it was, which the browser's own cookie tells. */
function isRemembered(context: HookContext | null | undefined): boolean {
  if (context?.path === '/change-password') return !(context.headers?.get('cookie') ?? '').includes('dont_remember=')
  return context?.body?.rememberMe !== false
}

/** The session that follows is only for an account that still has the password that was compared. */
async function verifyAndRemember(
  { verify }: Hashing,
  given: { readonly hash: string; readonly password: string },
): Promise<boolean> {
  const isRight = await verify(given)
  const facts = isRight ? await currentFacts() : null
  if (facts !== null) facts.comparedHash = given.hash
  return isRight
}

/** An error with a status below 500 is an ordinary answer; any other ends the request, and the handler says so once. */
function throwUnlessOfClient(error: unknown): void {
  const status = (error as { statusCode?: unknown } | null)?.statusCode
  if (typeof status !== 'number' || status >= 500) throw error
}

/** The admin plug-in keeps roles as one text with commas. */
function rolesOf(user: Readonly<Record<string, unknown>>): readonly string[] {
  const { role } = user
  if (typeof role !== 'string') return []
  return role
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}

/** Better Auth counts `max` per window in seconds; our counters let as many through at once and then one each interval. */
interface WindowRule {
  readonly window: number
  readonly max: number
}

function toWindow(rule: RateRule): WindowRule {
  return { window: (rule.burst * rule.intervalMs) / 1000, max: rule.burst }
}

async function consumeWindow(settings: AuthSettings, key: string, { window, max }: WindowRule) {
  const rule: RateRule = { burst: max, intervalMs: (window * 1000) / max }
  const consumption = await settings.counters.consume(`identity:${key}`, rule, settings.nowMs())
  return consumption.admitted
    ? { allowed: true, retryAfter: null }
    : { allowed: false, retryAfter: Math.ceil(consumption.retryAfterMs / 1000) }
}
