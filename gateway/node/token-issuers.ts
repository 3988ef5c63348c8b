/** Opens the issuers under `tokens`, and puts their verification beside our own. */

import { furtherClaims } from '../config/credential-checks.ts'
import { bearerTokens } from '../credentials/bearer.ts'
import { type IssuerSettings, openTokenIssuers, type TokenIssuers } from '../credentials/issuers.ts'
import type { OpenIdentityProvider } from '../identity-provider/provider.ts'
import { quietLog } from '../identity-provider/quiet.ts'
import type { TokenVerifier } from '../ports.ts'
import type { Config } from './config-file.ts'
import { primitives } from './crypto.ts'
import { type NodeOutbound, nodeOutbound } from './outbound.ts'
import { startupError } from './startup-error.ts'

export interface OpenTokens {
  readonly verifier: TokenVerifier
  /** Age, number and last error of each key set, for readiness. */
  readonly status: TokenIssuers['status']
  readonly issuers: TokenIssuers
  readonly outbound: NodeOutbound
  /** Others that were opened with these as `before` are in force: what they did not take over ends. */
  retire(next: OpenTokens): void
  /** For the last ones: those before them asked over the same connections. */
  close(): Promise<void>
}

/**
 * An issuer that does not answer keeps nothing from starting: its tokens get 503 until it does. One that was there before, with
 * the same entry, goes on as it was.
 */
export async function openTokens(
  tokens: Config['tokens'],
  identity: Pick<OpenIdentityProvider, 'tokens' | 'sessions' | 'credentials' | 'directory'>,
  log: (error: unknown) => void,
  before: OpenTokens | null = null,
): Promise<OpenTokens> {
  const { sessions, credentials, directory } = identity
  const outbound = before?.outbound ?? nodeOutbound()
  try {
    const issuers = await openTokenIssuers(
      Object.entries(tokens).map(settingsOf),
      {
        credentials,
        directory,
        outbound,
        primitives,
        monotonicMs: () => performance.now(),
        log: quietLog(log, Date.now),
      },
      before?.issuers,
    )
    await issuers.start()
    return {
      verifier: bearerTokens({ own: identity.tokens, sessions, issuers: issuers.all, credentials }),
      status: issuers.status,
      issuers,
      outbound,
      retire: (next) => issuers.close(next.issuers),
      close() {
        issuers.close()
        return outbound.close()
      },
    }
  } catch (error) {
    if (before === null) await outbound.close()
    throw startupError(error instanceof Error ? error.message : String(error), error)
  }
}

function settingsOf([name, entry]: [string, Config['tokens'][string]]): IssuerSettings {
  const { introspection, claims, keyCache } = entry
  return {
    name,
    issuer: entry.issuer,
    audiences: entry.audience,
    algorithms: entry.algorithms,
    jwksUrl: entry.jwks ?? null,
    keys: entry.keys ?? null,
    allowOrigins: entry.allowKeyOrigins,
    introspection:
      introspection === undefined
        ? null
        : {
            url: introspection.url ?? null,
            clientId: introspection.clientId,
            clientSecret: introspection.clientSecret,
            prefix: introspection.prefix ?? null,
            cacheMs: introspection.cache,
          },
    claims: {
      roles: claims.roles,
      scopes: claims.scopes,
      groups: claims.groups ?? null,
      email: claims.email ?? null,
      name: claims.name ?? null,
      more: furtherClaims(claims),
    },
    require: Object.fromEntries(Object.entries(entry.require).map(([path, value]) => [path, [value].flat()])),
    roles: entry.roles,
    mfa: entry.mfa,
    isLocal: entry.subjects === 'local',
    leewayMs: entry.leeway,
    keyCache: {
      maxAgeMs: keyCache.maxAge,
      keepMs: keyCache.keep,
      cooldownMs: keyCache.cooldown,
      timeoutMs: keyCache.timeout,
      bytesMax: keyCache.bytes,
    },
  }
}
