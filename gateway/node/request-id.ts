/**
 * Ids of requests: UUIDs of version 4 (RFC 9562 §5.4), from 122 random bits of the system. Ids of clients and proxies are never
 * taken over (SECURITY rule 28). Written many at a time as bytes: `randomUUID` puts every one together from twenty pieces of
 * text, which whoever reads it has to put in a row.
 */

import { randomFillSync } from 'node:crypto'

const IDS = 128
const ID_BYTES = 16
const ID_CHARS = 36
const DASH = 0x2d
const DIGITS = Buffer.from('0123456789abcdef', 'latin1')

const random = Buffer.alloc(IDS * ID_BYTES)
const written = Buffer.alloc(IDS * ID_CHARS)
let at = written.length

export function newRequestId(): string {
  if (at === written.length) refill()
  at += ID_CHARS
  return written.toString('latin1', at - ID_CHARS, at)
}

function refill(): void {
  randomFillSync(random)
  let to = 0
  for (let from = 0; from < random.length; from++) {
    const place = from % ID_BYTES
    let byte = random[from]!
    if (place === 6) byte = (byte & 0x0f) | 0x40
    else if (place === 8) byte = (byte & 0x3f) | 0x80
    if (place === 4 || place === 6 || place === 8 || place === 10) written[to++] = DASH
    written[to++] = DIGITS[byte >> 4]!
    written[to++] = DIGITS[byte & 0x0f]!
  }
  at = 0
}
