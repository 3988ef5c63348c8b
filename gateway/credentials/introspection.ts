/**
 * Asks an issuer about an opaque token (RFC 7662). Only `active: true` counts, and what else the answer says is held to the
 * rules of the issuer's JWTs: issuer, audience, an end, the entry's own requirements. No answer is 503, never a pass.
 */

import { parseObject } from '../http/json.ts'
import { type ForeignClaims, type ForeignRules, faultOfClaims } from '../jwt/foreign.ts'
import { Refusal } from '../model.ts'
import type { Outbound } from '../ports.ts'

export interface IntrospectionSettings {
  /** Null: found by discovery. */
  readonly url: string | null
  readonly clientId: string
  readonly clientSecret: string
  /** What opaque tokens of this issuer begin with; null for whatever no other issuer claims. */
  readonly prefix: string | null
  readonly cacheMs: number
}

export interface Introspector {
  introspect(token: string, nowMs: number): Promise<ForeignClaims | Refusal>
}

const INACTIVE = Object.freeze(new Refusal('token.inactive'))
const UNAVAILABLE = Object.freeze(new Refusal('introspection.unavailable'))
const ISSUER = Object.freeze(new Refusal('token.issuer'))
const AUDIENCE = Object.freeze(new Refusal('token.audience'))
const TYPE = Object.freeze(new Refusal('token.type'))

/** An answer about one token, not a directory. */
const ANSWER_BYTES_MAX = 65_536
/** So that a token that was refused is not asked about at each attempt; one that was only just issued soon works. */
const INACTIVE_MS = 3000
const INACTIVE_ENTRIES_MAX = 10_000

export function createIntrospector(
  name: string,
  rules: ForeignRules,
  settings: IntrospectionSettings,
  deps: {
    /** Where to ask; rejects when that cannot be found out. */
    readonly endpoint: () => Promise<string>
    readonly timeoutMs: number
    readonly outbound: Outbound
    readonly sha256: (text: string) => string
    readonly monotonicMs: () => number
    readonly log: (error: unknown) => void
  },
): Introspector {
  const { sha256, monotonicMs, log } = deps
  const authorization = basicCredentials(settings.clientId, settings.clientSecret)
  /** By hash, and until when it is believed. */
  const inactive = new Map<string, number>()

  return {
    async introspect(token, nowMs) {
      const key = sha256(token)
      if ((inactive.get(key) ?? Number.NEGATIVE_INFINITY) > monotonicMs()) return INACTIVE
      let answer: Readonly<Record<string, unknown>>
      try {
        answer = await ask(token)
      } catch (error) {
        log(new Error(`tokens.${name} could not be asked about a token: ${messageOf(error)}`))
        return UNAVAILABLE
      }
      if (answer['active'] === true) return judge(rules, answer, nowMs)
      rememberInactive(key)
      return INACTIVE
    },
  }

  /** Rejects for whatever is no answer to the question: what it says about the token stays unknown then. */
  async function ask(token: string): Promise<Readonly<Record<string, unknown>>> {
    const url = await deps.endpoint()
    const { status, body } = await deps.outbound.send({
      method: 'POST',
      url,
      headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded', authorization },
      body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
      timeoutMs: deps.timeoutMs,
      bytesMax: ANSWER_BYTES_MAX,
    })
    if (status !== 200) throw new Error(`it answered ${status}`)
    const answer = parseObject(body)
    if (answer === null || typeof answer['active'] !== 'boolean') throw new Error('its answer is not one of RFC 7662')
    return answer
  }

  function rememberInactive(key: string): void {
    inactive.delete(key)
    if (inactive.size >= INACTIVE_ENTRIES_MAX) inactive.delete(inactive.keys().next().value!)
    inactive.set(key, monotonicMs() + INACTIVE_MS)
  }
}

/**
 * RFC 7662 lets an answer leave out `aud` and `exp`. We ask for both, as of a JWT: a token that is active somewhere is not one
 * for us, and one without an end could outlive the entry that revokes it (SECURITY rules 22 and 25).
 */
function judge(rules: ForeignRules, answer: Readonly<Record<string, unknown>>, nowMs: number): ForeignClaims | Refusal {
  const { iss, aud, token_type } = answer
  if (iss !== undefined && iss !== rules.issuer) return ISSUER
  const audiences = Array.isArray(aud) ? aud : [aud]
  if (!audiences.some((one) => typeof one === 'string' && rules.audiences.includes(one))) return AUDIENCE
  // Bound to a key that its sender would have to prove (RFC 9449 §6.2): as a bearer token it is stolen.
  if (token_type !== undefined && String(token_type).toLowerCase() !== 'bearer') return TYPE
  return faultOfClaims(rules, answer, nowMs) ?? { claims: answer as ForeignClaims['claims'], kid: null }
}

/** RFC 6749 §2.3.1: both parts are form-encoded before they are joined. */
function basicCredentials(clientId: string, clientSecret: string): string {
  return `Basic ${btoa(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`)}`
}

function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
