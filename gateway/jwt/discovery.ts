/**
 * Finds an issuer's key set and introspection endpoint (OpenID Connect Discovery §4, RFC 8414 §3). What it is told counts
 * only where the document is the issuer's own, and where it sends us is a place the policy allows (SECURITY rule 25).
 */

import { parseObject } from '../http/json.ts'
import type { Outbound } from '../ports.ts'

export interface DiscoverySettings {
  /** Exactly as `iss` says it. */
  readonly issuer: string
  /** Other origins than the issuer's own that it may send us to. */
  readonly allowOrigins: readonly string[]
  readonly maxAgeMs: number
  readonly cooldownMs: number
  readonly timeoutMs: number
  readonly bytesMax: number
}

/** What is looked for. Where an issuer keeps the rest is judged by who asks for that. */
export type Wanted = 'jwks_uri' | 'introspection_endpoint'

export interface Discovery {
  /** Reads the address now. Rejects, within the time-out, when it cannot be had. */
  read(): Promise<string>
  /** As read within `maxAge`; after a failure it rejects at once until the cooldown is over. */
  recent(): Promise<string>
}

interface Limits {
  readonly timeoutMs: number
  readonly bytesMax: number
}

export function createDiscovery(
  wanted: Wanted,
  settings: DiscoverySettings,
  outbound: Outbound,
  monotonicMs: () => number,
): Discovery {
  let reading: Promise<string> | null = null
  let last: { readonly found: string | null; readonly beganAtMs: number } | null = null

  return {
    read,
    recent() {
      const ageMs = last === null ? Number.POSITIVE_INFINITY : monotonicMs() - last.beganAtMs
      if (last?.found != null && ageMs < settings.maxAgeMs) return Promise.resolve(last.found)
      if (last?.found === null && ageMs < settings.cooldownMs && reading === null) {
        return Promise.reject(new Error('discovery failed a moment ago'))
      }
      return read()
    },
  }

  function read(): Promise<string> {
    if (reading !== null) return reading
    const beganAtMs = monotonicMs()
    const done = (found: string | null): void => {
      reading = null
      last = { found, beganAtMs }
    }
    const next = discover(wanted, settings, outbound, monotonicMs)
    reading = next
    next.then(done, () => done(null))
    return next
  }
}

async function discover(
  wanted: Wanted,
  settings: DiscoverySettings,
  outbound: Outbound,
  monotonicMs: () => number,
): Promise<string> {
  const endsAtMs = monotonicMs() + settings.timeoutMs
  for (const url of documentUrls(settings.issuer)) {
    const limits = { timeoutMs: Math.max(1, endsAtMs - monotonicMs()), bytesMax: settings.bytesMax }
    const document = await readJson(outbound, url, limits)
    if (document === null) continue
    const { issuer, [wanted]: address } = document as Readonly<Record<string, unknown>>
    if (issuer !== settings.issuer) throw new Error(`${url} is the document of another issuer`)
    if (address === undefined) throw new Error(`discovery names no ${wanted}`)
    return allowed(address, settings)
  }
  throw new Error('there is no discovery document')
}

/** RFC 8414 §3.1 puts the well-known part before the issuer's path, OpenID Connect behind it. */
function documentUrls(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ]
}

/** An object, or null where the answer is any status but 200. Rejects for all else: garbage, time-outs, too many bytes. */
export async function readJson(outbound: Outbound, url: string, limits: Limits): Promise<object | null> {
  const { status, body } = await outbound.send({
    method: 'GET',
    url,
    headers: { accept: 'application/json' },
    body: null,
    ...limits,
  })
  if (status !== 200) return null
  return parseObject(body) ?? Promise.reject(new Error(`${url} did not answer with a JSON object`))
}

function allowed(url: unknown, { issuer, allowOrigins }: DiscoverySettings): string {
  const parsed = typeof url === 'string' ? URL.parse(url) : null
  if (parsed === null || parsed.username !== '' || parsed.password !== '' || parsed.hash !== '') {
    throw new Error('discovery names an address that is no URL for us')
  }
  const isSecure = parsed.protocol === 'https:' || (parsed.protocol === 'http:' && LOOPBACK.test(parsed.hostname))
  const origins = [issuer, ...allowOrigins].map((one) => new URL(one).origin)
  if (!isSecure || !origins.includes(parsed.origin)) {
    throw new Error(
      `discovery sends us to ${parsed.origin}, which is neither the issuer's origin nor one that is listed`,
    )
  }
  return parsed.href
}

const LOOPBACK = /^(?:localhost|127\.0\.0\.1|\[::1\])$/
