/**
 * What one client sends on one connection: requests from the grammar, most of them lawful in most of their parts, and then
 * maybe a few bytes changed. Paths carry the stream's mark, so that what arrives late is known for what it is.
 */

import { type Chance, chance, mutate } from './case.ts'
import {
  CODINGS,
  CREDENTIALS,
  EXTENSIONS,
  FIELDS,
  HOSTILE_FIELDS,
  MANNERS,
  METHODS,
  ODD_CREDENTIALS,
  ODD_FIELDS,
  ODD_FRAMINGS,
  ODD_HOSTS,
  ODD_METHODS,
  ODD_TARGETS,
  ODD_TRAILERS,
  PATHS,
  TRAILERS,
  VERSIONS,
} from './request-words.ts'

export interface Place {
  readonly host: string
  /** Credentials that the policy knows. */
  readonly tokens: { readonly reader: string; readonly admin: string }
  readonly cookieName: string
}

const INNER = 'GET /role/MARK HTTP/1.1\r\nHost: HOST\r\nX-Smuggled: 1\r\n\r\n'

/** Who writes a stream. */
interface Writer {
  readonly by: Chance
  /** Something is odd once in so many parts. */
  readonly oddity: number
  /** With the words of the stage, and the request's mark, in place of those that stand for them. */
  fill(text: string): string
}

/** The bytes of the stream of this seed. */
export function requestStream(seed: number, place: Place): string {
  const by = chance(seed)
  const oddity = by.of([5, 25, 100, 100])
  const fill = (text: string, mark: string) =>
    text
      .replaceAll('MARK', mark)
      .replaceAll('HOST', place.host)
      .replaceAll('COOKIE', place.cookieName)
      .replaceAll('READER', place.tokens.reader)
      .replaceAll('ADMIN', place.tokens.admin)
  let bytes = by.isOnceIn(oddity) ? by.of(['\r\n', '\r\n\r\n', '\n', ' ', '\r']) : ''
  const count = 1 + by.number(4)
  for (let at = 0; at < count; at += 1) {
    bytes += request({ by, oddity, fill: (text) => fill(text, `s${seed}-${at}`) })
  }
  if (by.isOnceIn(oddity)) bytes += fill(by.of(TAILS), `s${seed}-9`)
  if (by.isOnceIn(4)) for (let times = 1 + by.number(3); times > 0; times -= 1) bytes = mutate(by, bytes)
  return bytes
}

const TAILS = [INNER, '\0\0', 'GET', '\r\n', 'POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab', INNER.slice(0, -2)]

function request(writer: Writer): string {
  const { by, oddity, fill } = writer
  const method = by.isOnceIn(oddity * 3) ? by.of(ODD_METHODS) : by.of(METHODS)
  const target = by.isOnceIn(oddity) ? by.of(ODD_TARGETS) : `${by.of(PATHS)}/MARK/${by.of(MANNERS)}`
  const version = by.isOnceIn(oddity * 3) ? by.of(VERSIONS) : 'HTTP/1.1'
  const lines = [by.isOnceIn(oddity * 3) ? by.of(ODD_HOSTS) : 'Host: HOST\r\n']
  lines.push(by.isOnceIn(oddity) ? by.of(ODD_CREDENTIALS) : by.of(CREDENTIALS))
  for (let more = by.number(4); more > 0; more -= 1) lines.push(by.of(FIELDS))
  for (let more = by.number(3); more > 0; more -= 1) lines.push(by.of(HOSTILE_FIELDS))
  if (by.isOnceIn(oddity)) lines.push(by.of(ODD_FIELDS))
  if (by.isOnceIn(150)) lines.push(...Array.from({ length: by.of([255, 300, 3000]) }, (_, at) => `a${at}: b\r\n`))
  if (by.isOnceIn(150)) lines.push(`X-Long: ${'x'.repeat(by.of([16_000, 33_000, 70_000]))}\r\n`)
  const [framing, body] = bodyOf(writer, method)
  lines.splice(by.number(lines.length + 1), 0, framing)
  return `${fill(`${method} ${target} ${version}\r\n${lines.join('')}\r\n`)}${body}`
}

function bodyOf(writer: Writer, method: string): readonly [framing: string, body: string] {
  const { by, oddity } = writer
  const isUsual = method === 'POST' || method === 'PUT' || method === 'PATCH'
  if (!isUsual && !by.isOnceIn(6)) return ['', '']
  const content = contentOf(writer)
  if (!by.isOnceIn(oddity)) {
    if (by.isOnceIn(2)) return [`Content-Length: ${content.length}\r\n`, content]
    return ['Transfer-Encoding: chunked\r\n', chunked(writer, content)]
  }
  if (by.isOnceIn(2)) return [`Transfer-Encoding: ${by.of(CODINGS)}\r\n`, chunked(writer, content)]
  const length = by.isOnceIn(3) ? Math.max(0, content.length + by.of([-1, 1, 40])) : content.length
  const framing = by.of(['Content-Length: LEN\r\n', ...ODD_FRAMINGS]).replaceAll('LEN', String(length))
  return [framing, by.isOnceIn(3) ? chunked(writer, content) : content]
}

function contentOf({ by, fill }: Writer): string {
  if (by.isOnceIn(60)) return 'y'.repeat(by.of([65_535, 65_536, 65_537, 90_000]))
  return fill(by.of(['', 'a', 'hello', INNER, '0\r\n\r\n', 'x'.repeat(300), '\r\n', `5\r\nhello\r\n0\r\n\r\n${INNER}`]))
}

function chunked(writer: Writer, content: string): string {
  const { by, oddity, fill } = writer
  let bytes = ''
  for (let at = 0, size = 0; at < content.length; at += size) {
    // A long body in tiny chunks says no more than a short one.
    size = Math.min(content.length - at, 1 + by.number(content.length > 500 ? 50_000 : by.of([2, 50, 500])))
    bytes += `${sizeOf(writer, size)}${by.isOnceIn(oddity) ? by.of(EXTENSIONS) : ''}${endOf(writer)}`
    bytes += `${content.slice(at, at + size)}${endOf(writer)}`
  }
  const last = by.isOnceIn(oddity * 2) ? by.of(['00', '0;a', '', '0x0', '-0', ' 0', '0 ']) : '0'
  const trailers = by.isOnceIn(oddity) ? by.of(ODD_TRAILERS) : by.of(TRAILERS)
  return `${bytes}${last}${endOf(writer)}${fill(trailers)}${endOf(writer)}`
}

function sizeOf({ by, oddity }: Writer, size: number): string {
  const digits = size.toString(16)
  if (!by.isOnceIn(oddity * 2)) return digits
  const longer = (size + by.of([1, 2])).toString(16)
  const zeros = '0'.repeat(16)
  return by.of([
    digits.toUpperCase(),
    `0${digits}`,
    `0x${digits}`,
    `${digits} `,
    `+${digits}`,
    longer,
    zeros + digits,
    `1${zeros}${digits}`,
    '',
  ])
}

function endOf({ by, oddity }: Writer): string {
  return by.isOnceIn(oddity * 6) ? by.of(['\n', '\r', '', '\r\r\n', '\r\n\r\n', ' \r\n']) : '\r\n'
}
