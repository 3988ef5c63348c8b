/**
 * node:http puts all fields of a request into a dictionary to look up five of them; the gateway reads the list as it came. These
 * are the five, so that the dictionary is not made.
 */

import { type IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isNamed } from '../http/header-list.ts'

const LOOKED_UP = ['content-length', 'expect', 'host', 'te', 'transfer-encoding'] as const

export class LeanRequest extends IncomingMessage {
  lookedUp: IncomingHttpHeaders | null = null
}

// The class that this one extends declares a field; it has a getter and a setter.
Object.defineProperty(LeanRequest.prototype, 'headers', {
  get(this: LeanRequest) {
    this.lookedUp ??= lookUp(this.rawHeaders)
    return this.lookedUp
  },
  set(this: LeanRequest, fields: IncomingHttpHeaders) {
    this.lookedUp = fields
  },
})

/** Of several lines of one name the values are joined: what is asked of these is whether they are there, or say something. */
function lookUp(lines: readonly string[]): IncomingHttpHeaders {
  const fields: IncomingHttpHeaders = {}
  for (let at = 0; at < lines.length; at += 2) {
    const name = lines[at]!
    for (const lower of LOOKED_UP) {
      if (!isNamed(name, lower)) continue
      const before = fields[lower]
      fields[lower] = before === undefined ? lines[at + 1]! : `${before}, ${lines[at + 1]}`
    }
  }
  return fields
}
