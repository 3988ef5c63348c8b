/**
 * The session cookie: `<token>.<base64 HMAC-SHA-256 of it>`, percent-encoded, as the identity provider writes it
 * (RFC 6265 §4.1). It is read in the two spellings clients send, encoded and plain, and in no other.
 */

import type { Primitives } from '../ports.ts'
import { toBase64 } from './base64.ts'

export interface CookieRules {
  readonly name: string
  readonly isSecure: boolean
}

export interface CookieCodec {
  /** The token, and whether the newest key signed it; null for anything that none of our keys signed. */
  open(value: string): { readonly token: string; readonly isNewest: boolean } | null
  /** The value for a Cookie or Set-Cookie field, signed with the newest key. */
  sign(token: string): string
  /** Whole Set-Cookie values. Without `maxAgeMs` the cookie ends with the browser. */
  set(token: string, maxAgeMs: number | null): string
  readonly remove: string
}

const TOKEN = /^[A-Za-z0-9]{32}$/
const SIGNATURE_CHARS = 44

export function cookieCodec(primitives: Primitives, keys: readonly string[], rules: CookieRules): CookieCodec {
  const encoder = new TextEncoder()
  const keyBytes = keys.map((key) => encoder.encode(key))
  const attributes = `; Path=/; HttpOnly${rules.isSecure ? '; Secure' : ''}; SameSite=Lax`
  const signatureOf = (key: Uint8Array, token: string): string => toBase64(primitives.hmacSha256(key, token))
  const sign = (token: string): string => encodeURIComponent(`${token}.${signatureOf(keyBytes[0]!, token)}`)

  return {
    open(value) {
      const plain = decode(value)
      if (plain === null) return null
      const dot = plain.lastIndexOf('.')
      const token = plain.slice(0, dot)
      const signature = plain.slice(dot + 1)
      if (dot < 0 || signature.length !== SIGNATURE_CHARS || !TOKEN.test(token)) return null
      const presented = encoder.encode(signature)
      // Compared as text: the last character of a signature has bits to spare, and only one spelling is ours.
      const at = keyBytes.findIndex((key) => primitives.isEqual(presented, encoder.encode(signatureOf(key, token))))
      return at < 0 ? null : { token, isNewest: at === 0 }
    },
    sign,
    set: (token, maxAgeMs) =>
      `${rules.name}=${sign(token)}${maxAgeMs === null ? '' : `; Max-Age=${Math.max(0, Math.floor(maxAgeMs / 1000))}`}${attributes}`,
    remove: `${rules.name}=; Max-Age=0${attributes}`,
  }
}

function decode(value: string): string | null {
  if (!value.includes('%')) return value
  try {
    const plain = decodeURIComponent(value)
    return encodeURIComponent(plain) === value ? plain : null
  } catch {
    return null
  }
}
