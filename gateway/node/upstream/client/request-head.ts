/**
 * The head of a request as it is written. Whoever composed it is trusted, and still each part is looked at before a byte leaves:
 * one line end too many is a request that nobody decided about.
 */

import type { HeaderList } from '../../../model.ts'
import type { UpstreamRequest } from '../transport.ts'
import { isFieldValue, isToken } from './fields.ts'

const PATH = /^[\x21-\x7e\x80-\xff]+$/
/** Methods whose content a server expects, and so is told that there is none (RFC 9110 §8.6). */
const WITH_CONTENT = new Set(['POST', 'PUT', 'PATCH'])
/** What belongs to the connection, or frames, is written here and nowhere else. */
const OWN_NAMES = new Set([
  ...['connection', 'content-length', 'expect', 'keep-alive', 'proxy-connection'],
  ...['transfer-encoding', 'upgrade', 'http2-settings'],
])

/** `host` is used where the request names none. An Error says what cannot be sent. */
export function requestHead({ method, path, headers, bodyBytes }: UpstreamRequest, host: string): string | Error {
  if (!isToken(method) || method === 'CONNECT') return unsendable(`the method ${JSON.stringify(method)}`)
  if (!PATH.test(path)) return unsendable('a path with a blank or control character')
  let hosts = 0
  let isTrailed = false
  let head = `${method} ${path} HTTP/1.1`
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!
    const value = headers[at + 1]!
    const start = isFieldValue(value) ? lineStart(name) : null
    if (start === null) return unsendable(`the field ${JSON.stringify(name)}`)
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
    else if (name.length === 2 && name.toLowerCase() === 'te') isTrailed = true
    head += start + value
  }
  if (isTrailed) head += '\r\nConnection: TE' // RFC 9110 §10.1.4
  if (hosts > 1) return unsendable('two Host fields')
  if (hosts === 0) head += `\r\nHost: ${host}`
  if (bodyBytes < 0) head += '\r\nTransfer-Encoding: chunked'
  else if (bodyBytes > 0 || WITH_CONTENT.has(method)) head += `\r\nContent-Length: ${bodyBytes}`
  return `${head}\r\n\r\n`
}

/** The end of a chunked body. */
export function lastChunk(trailers: HeaderList): string | Error {
  let text = '0'
  for (let at = 0; at < trailers.length; at += 2) {
    const name = trailers[at]!
    const value = trailers[at + 1]!
    const start = isFieldValue(value) ? lineStart(name) : null
    if (start === null) return unsendable(`the trailer ${JSON.stringify(name)}`)
    text += start + value
  }
  return `${text}\r\n\r\n`
}

/** Names that were found to be right, as they are spelt, with what is written of them: a request has the same ones as the last. */
const known = new Map<string, string>()
const KNOWN_NAMES_MAX = 1000

/** The end of the line before, and the name; null for one that is not to be written. */
function lineStart(name: string): string | null {
  const before = known.get(name)
  if (before !== undefined) return before
  if (!isToken(name) || OWN_NAMES.has(name.toLowerCase())) return null
  const start = `\r\n${name}: `
  if (known.size < KNOWN_NAMES_MAX) known.set(name, start)
  return start
}

function unsendable(what: string): Error {
  return Object.assign(new Error(`${what} cannot be sent`), { code: 'gateway.bug' })
}
