/** Opens the issuers under `tokens`, and puts their verification beside our own. */

import { furtherClaims } from '../config/credential-checks.ts'
import { bearerTokens } from '../credentials/bearer.ts'
import { type IssuerSettings, openTokenIssuers, type TokenIssuers } from '../credentials/issuers.ts'
import type { OpenIdentityProvider } from '../identity-provider/provider.ts'
import { quietLog } from '../identity-provider/quiet.ts'
import type { TokenVerifier } from '../ports.ts'
import type { Config } from './config-file.ts'
import { primitives } from './crypto.ts'
import { nodeOutbound } from './outbound.ts'
import { startupError } from './startup-error.ts'

export interface OpenTokens {
  readonly verifier: TokenVerifier
  /** Age, number and last error of each key set, for readiness. */
  readonly status: TokenIssuers['status']
  close(): Promise<void>
}

/** An issuer that does not answer keeps nothing from starting: its tokens get 503 until it does. */
export async function openTokens(
  tokens: Config['tokens'],
  identity: Pick<OpenIdentityProvider, 'tokens' | 'sessions' | 'credentials' | 'directory'>,
  log: (error: unknown) => void,
): Promise<OpenTokens> {
  const { sessions, credentials, directory } = identity
  const outbound = nodeOutbound()
  try {
    const issuers = await openTokenIssuers(Object.entries(tokens).map(settingsOf), {
      credentials,
      directory,
      outbound,
      primitives,
      monotonicMs: () => performance.now(),
      log: quietLog(log, Date.now),
    })
    await issuers.start()
    return {
      verifier: bearerTokens({ own: identity.tokens, sessions, issuers: issuers.all, credentials }),
      status: issuers.status,
      close() {
        issuers.close()
        return outbound.close()
      },
    }
  } catch (error) {
    await outbound.close()
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
