/**
 * The head of a request as it is written. Whoever composed it is trusted, and still each part is looked at before a byte leaves:
 * one line end too many is a request that nobody decided about.
 */

import { areFieldValues, isToken } from '../../../http/field-line.ts'
import { isNamed } from '../../../http/header-list.ts'
import { remembered } from '../../../http/remembered.ts'
import type { HeaderList } from '../../../model.ts'
import { WITH_CONTENT } from '../framing.ts'
import type { UpstreamRequest } from '../transport.ts'

const KNOWN_NAMES_MAX = 1000
const PATH = /^[\x21-\x7e\x80-\xff]+$/
/** What belongs to the connection, or frames, is written here and nowhere else. */
const OWN_NAMES = new Set([
  ...['connection', 'content-length', 'expect', 'keep-alive', 'proxy-connection'],
  ...['transfer-encoding', 'upgrade', 'http2-settings'],
])

/** `host` is used where the request names none. An Error says what cannot be sent. */
export function requestHead({ method, path, headers, bodyBytes }: UpstreamRequest, host: string): string | Error {
  if (!isToken(method) || method === 'CONNECT') return unsendable(`the method ${JSON.stringify(method)}`)
  if (!PATH.test(path)) return unsendable('a path with a blank or control character')
  if (!areFieldValues(headers)) return unsendable('a field with a control character')
  let hosts = 0
  let isTrailed = false
  let head = `${method} ${path} HTTP/1.1`
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!
    const start = lineStart(name)
    if (start === '') return unsendable(`the field ${JSON.stringify(name)}`)
    if (isNamed(name, 'host')) hosts++
    else if (isNamed(name, 'te')) isTrailed = true
    head += start + headers[at + 1]
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
  if (!areFieldValues(trailers)) return unsendable('a trailer with a control character')
  let text = '0'
  for (let at = 0; at < trailers.length; at += 2) {
    const name = trailers[at]!
    const start = lineStart(name)
    if (start === '') return unsendable(`the trailer ${JSON.stringify(name)}`)
    text += start + trailers[at + 1]
  }
  return `${text}\r\n\r\n`
}

/** The end of the line before, and the name; empty for one that is not to be written. A request has the names of the one before it. */
const lineStart = remembered(
  (name) => (isToken(name) && !OWN_NAMES.has(name.toLowerCase()) ? `\r\n${name}: ` : ''),
  KNOWN_NAMES_MAX,
)

function unsendable(what: string): Error {
  return Object.assign(new Error(`${what} cannot be sent`), { code: 'gateway.bug' })
}
