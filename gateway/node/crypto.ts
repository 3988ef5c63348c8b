/** Keyed hashing by OpenSSL: synchronous, so that a session in memory is checked without an await. */

import { createHmac, hash, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { Primitives } from '../ports.ts'

/** Fixed, so that every node derives the same keys; RFC 5869 §3.1 allows a salt that is not secret. */
const SALT = 'postern'

export const primitives: Primitives = {
  hmacSha256: (key, text) => createHmac('sha256', key).update(text).digest(),
  sha256: (text) => hash('sha256', text, 'base64url'),
  isEqual: (left, right) => left.byteLength === right.byteLength && timingSafeEqual(left, right),
  hkdfSha256: (secret, use) => new Uint8Array(hkdfSync('sha256', secret, SALT, use, 32)),
}
