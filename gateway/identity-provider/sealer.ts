/**
 * Seals a short text: `expiry.text.mac`, base64url. The seal binds purpose, format, expiry and text (SECURITY rule 24), so
 * none of them can be swapped; the text is readable, only its author is proven.
 */

import type { Primitives, Sealer } from '../ports.ts'
import { fromBase64Url, toBase64Url } from './base64.ts'

const FORMAT = 'postern-seal-1'
const SEALED_CHARS_MAX = 16_384

export function createSealer(primitives: Primitives, keys: readonly Uint8Array[]): Sealer {
  const macOf = (key: Uint8Array, purpose: string, body: string): Uint8Array =>
    primitives.hmacSha256(key, `${FORMAT}\n${purpose.length}\n${purpose}\n${body}`)

  return {
    seal(purpose, text, expiresAtMs) {
      const body = `${Math.ceil(expiresAtMs).toString(36)}.${toBase64Url(new TextEncoder().encode(text))}`
      return `${body}.${toBase64Url(macOf(keys[0]!, purpose, body))}`
    },
    open(purpose, sealed, nowMs) {
      if (sealed.length > SEALED_CHARS_MAX) return null
      const parts = sealed.split('.')
      if (parts.length !== 3) return null
      const [expiry = '', text = '', mac = ''] = parts
      const presented = fromBase64Url(mac)
      if (presented === null) return null
      const body = `${expiry}.${text}`
      if (!keys.some((key) => primitives.isEqual(presented, macOf(key, purpose, body)))) return null
      if (!(Number.parseInt(expiry, 36) > nowMs)) return null
      const bytes = fromBase64Url(text)
      return bytes === null ? null : new TextDecoder().decode(bytes)
    },
  }
}
