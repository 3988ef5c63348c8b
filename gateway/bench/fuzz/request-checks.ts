/**
 * What must hold between the bytes a client sent, as llhttp reads them, what the upstream got, and what came back. Each
 * finding begins with a word for its kind.
 */

import { isHopByHop, isReserved } from '../../http/field-names.ts'
import { type Message, requestReader } from './llhttp.ts'
import type { Heard } from './recorder.ts'

export interface Known {
  readonly tokens: { readonly reader: string; readonly admin: string }
  readonly cookieName: string
  readonly bodyBytesMax: number
  /** Lines that the gateway writes, by who calls: in small letters, `name: value`; `*` where the value is never the same. */
  readonly lines: Readonly<Record<'nobody' | 'reader' | 'admin', readonly string[]>>
}

export interface Exchanged {
  readonly sent: readonly Message[]
  /** Why llhttp stopped. */
  readonly sentError: string | null
  /** Final ones. */
  readonly answers: readonly Message[]
  readonly answersError: string | null
  /** All bytes that came back. */
  readonly received: string
  readonly isClosedByGateway: boolean
  readonly isTimedOut: boolean
  /** The client hung up when it liked. */
  readonly isAborted: boolean
  /** What the exchanges asked for that are over and not on record. */
  readonly unrecorded: readonly string[]
  readonly heard: readonly Heard[]
}

const NOTHING: ReadonlySet<string> = new Set()
/** Statuses of ours that may follow after part of a body has gone on. */
const MID_BODY = new Set([400, 408, 413, 431])

export function findingsOf(known: Known, exchanged: Exchanged): readonly string[] {
  const { sent, answers, heard } = exchanged
  const found = exchanged.isAborted ? [] : [...closing(exchanged)]
  for (const one of exchanged.unrecorded) found.push(`leak: not on record: ${one}`)
  const free = new Set(heard)
  for (const [at, answer] of answers.entries()) {
    const up = valuesOf(answer.headers, 'x-up')[0]
    const asked = sent[at]
    const bad = heard.find((one) => asked !== undefined && free.has(one) && one.sent.isBad && isLike(asked, one))
    if (up === undefined) {
      if (answer.status === 502 && bad !== undefined) free.delete(bad)
      else if (answer.status >= 500 && !isShed(answer))
        found.push(`status ${answer.status} to ${label(asked)}: ${answer.body}`)
      continue
    }
    const one = heard.find(({ place }) => place === Number(up))
    if (one === undefined || !free.delete(one)) found.push(`answer ${at} is not one that was given now`)
    else if (asked === undefined) found.push(`answer ${at} to no request`)
    else found.push(...differences(known, asked, one), ...(exchanged.isAborted ? [] : wrongBody(asked, answer, one)))
  }
  for (const one of free) {
    const asked = sent.find((message, at) => {
      return isLike(message, one) && (mayBeUnanswered(known, message, answers[at]) || mayBeRepeated(one))
    })
    if (asked === undefined) found.push(`unasked: the upstream got ${label(one.message)}`)
    else found.push(...differences(known, asked, one))
  }
  return found
}

/** One that arrived when its client had long gone. */
export function lateFindings(known: Known, exchanged: Exchanged, late: Heard): readonly string[] {
  const { sent, answers } = exchanged
  const asked = sent.find((message, at) => mayBeUnanswered(known, message, answers[at]) && isLike(message, late))
  return asked === undefined
    ? [`unasked: late, the upstream got ${label(late.message)}`]
    : differences(known, asked, late)
}

function closing({
  sent,
  sentError,
  answers,
  answersError,
  received,
  isClosedByGateway,
  isTimedOut,
  heard,
}: Exchanged): string[] {
  const whole = sent.filter(({ isComplete }) => isComplete).length
  const isDoubtful = sentError !== null && sentError !== 'HPE_INVALID_EOF_STATE'
  const last = answers.at(-1)
  const isLastClosing = last !== undefined && !last.isKeptAlive
  const found: string[] = []
  if (isTimedOut) found.push(`hang: ${answers.length} answers to ${whole} requests, and no end`)
  // What is torn takes with it what waits before it.
  const isTorn = last?.isComplete === false || heard.some(({ sent: { isBad } }) => isBad)
  if (answersError !== null && !isTorn)
    found.push(`torn: ${answersError} after ${answers.map(({ status }) => status)}: ${JSON.stringify(received)}`)
  if (isDoubtful && !isTimedOut && !isClosedByGateway) found.push(`open after ${sentError}`)
  if (answers.length > sent.length + (sentError === null ? 0 : 1))
    found.push(`answers: ${answers.length} to ${sent.length}`)
  // Where an answer is due, a CONNECT ends the connection without one: it would be taken for the one before.
  const isTunnel = sent.at(-1)?.method === 'CONNECT'
  if (!isTimedOut && answers.length < whole && !isDoubtful && !isLastClosing && !isTunnel && !isTorn) {
    found.push(`answers: only ${answers.length} to ${whole}`)
  }
  for (const [at, answer] of answers.entries()) {
    if (!answer.isKeptAlive && at < answers.length - 1) found.push(`open: answer ${at} was to be the last`)
  }
  return found
}

function mayBeUnanswered(known: Known, asked: Message, answer: Message | undefined): boolean {
  if (answer === undefined) return true
  const isBroken = !asked.isComplete || asked.body.length > known.bodyBytesMax
  return isBroken && MID_BODY.has(answer.status)
}

/** A server that hangs up in place of an answer is asked again where that can do no harm. */
function mayBeRepeated({ message, sent }: Heard): boolean {
  return sent.isBad && sent.answer === '' && message.body === '' && IDEMPOTENT.has(message.method)
}

const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

function isLike(asked: Message, { message }: Heard): boolean {
  return (
    asked.method === message.method && canonical(asked.target) === message.target && asked.body.startsWith(message.body)
  )
}

/** A machine that has other things to do makes the gateway turn requests away. */
function isShed({ status, headers }: Message): boolean {
  return status === 503 && valuesOf(headers, 'retry-after').length > 0
}

function wrongBody(asked: Message, answer: Message, { place, sent }: Heard): string[] {
  if (sent.isBad) return answer.isComplete ? [`answer to ${label(asked)} is whole, and what was sent is not`] : []
  if (!answer.isComplete) return [`answer to ${label(asked)} is torn`]
  const isBodiless = asked.method === 'HEAD' || answer.status === 204 || answer.status === 304
  const wanted = isBodiless || valuesOf(answer.headers, 'content-length')[0] === '0' ? '' : `answer ${place}`
  return answer.body === wanted
    ? []
    : [`answer body ${JSON.stringify(answer.body)} in place of ${JSON.stringify(wanted)}`]
}

function differences(known: Known, asked: Message, heard: Heard): string[] {
  const { message } = heard
  const found: string[] = []
  if (message.method !== asked.method) found.push(`method ${message.method} for ${asked.method}`)
  if (message.target !== canonical(asked.target)) found.push(`target ${message.target} for ${asked.target}`)
  if (message.version !== '1.1') found.push(`version ${message.version}`)
  const isBroken = !asked.isComplete || asked.body.length > known.bodyBytesMax
  if (message.isComplete && isBroken) found.push(`truncated: ${label(message)} arrived as complete`)
  else if (message.isComplete ? message.body !== asked.body : !asked.body.startsWith(message.body)) {
    found.push(`body ${JSON.stringify(message.body.slice(0, 99))} for ${JSON.stringify(asked.body.slice(0, 99))}`)
  }
  return [...found, ...headDifferences(known, asked, message), ...otherReading(heard)]
}

function headDifferences(known: Known, asked: Message, message: Message): string[] {
  const found: string[] = []
  const role = readingOf(message.target).startsWith('/role') ? 'admin' : null
  const isPublic = /^\/public(?:[/?]|$)/.test(message.target)
  const token = tokenOf(known, asked)
  if (role !== null && token !== 'admin') found.push(`access: ${message.target} as ${token}`)
  if (!isPublic && token === 'nobody') found.push(`access: ${message.target} as nobody`)
  const rest = pairsOf(message.headers)
  for (const line of known.lines[isPublic ? 'nobody' : token]) {
    const name = line.slice(0, line.indexOf(':'))
    const same = rest.filter((pair) => pair[0].toLowerCase() === name)
    const isWritten = same.length === 1 && (line.endsWith(': *') || `${name}: ${same[0]![1]}` === line)
    if (isWritten) rest.splice(rest.indexOf(same[0]!), 1)
    else found.push(`identity ${line} is ${JSON.stringify(same)}`)
  }
  const nominated = new Set(
    valuesOf(asked.headers, 'connection').flatMap((value) => value.split(',').map((name) => name.trim().toLowerCase())),
  )
  const given = pairsOf(asked.headers)
  for (const [name, value] of rest) {
    const lower = name.toLowerCase()
    if (
      lower === 'connection' &&
      ['keep-alive', 'close', asked.isUpgrade ? 'upgrade' : ''].includes(value.toLowerCase())
    )
      continue
    if (lower === 'upgrade' && asked.isUpgrade && value === 'websocket') continue
    if (lower === 'content-length' || lower === 'transfer-encoding') continue
    const hasTrailers = valuesOf(asked.headers, 'te').join().includes('trailers')
    if (hasTrailers && ((lower === 'te' && value === 'trailers') || (lower === 'connection' && value === 'TE')))
      continue
    const at = given.findIndex((pair) => pair[0].toLowerCase() === lower && isCarried(known, lower, pair[1], value))
    if (at < 0) found.push(`field ${name}: ${value} came from nowhere`)
    else given.splice(at, 1)
    if (isForbidden(known, lower, value) || nominated.has(lower)) found.push(`field ${name}: ${value} crossed`)
  }
  for (const [name, value] of pairsOf(message.trailers)) {
    const lower = name.toLowerCase()
    const isGiven = pairsOf(asked.trailers).some((pair) => pair[0].toLowerCase() === lower && pair[1] === value)
    const isFraming = lower === 'host' || lower === 'content-length' || lower === 'cookie'
    if (!isGiven || isFraming || isForbidden(known, lower, value)) found.push(`trailer ${name}: ${value} crossed`)
  }
  return [...found, ...framing(message)]
}

function framing({ headers, body, isComplete }: Message): string[] {
  const lengths = valuesOf(headers, 'content-length')
  const codings = valuesOf(headers, 'transfer-encoding')
  const isClear =
    (lengths.length === 0 && (codings.length === 0 ? body === '' : codings.length === 1 && codings[0] === 'chunked')) ||
    (codings.length === 0 && lengths.length === 1 && /^\d+$/.test(lengths[0]!))
  const isWhole = !isComplete || lengths.length === 0 || Number(lengths[0]) === body.length
  return isClear && isWhole ? [] : [`framing ${JSON.stringify({ lengths, codings, bytes: body.length })}`]
}

/** The most lenient reading of the same bytes must come to the same. */
function otherReading({ bytes, message }: Heard): string[] {
  if (bytes === '') return []
  const reader = requestReader({ headBytesMax: 1 << 20, isLenient: true })
  reader.read(Buffer.from(bytes, 'latin1'))
  const { messages, error } = reader
  reader.close()
  const isSame =
    error === null && messages.length === 1 && messages[0]!.isComplete && messages[0]!.body === message.body
  return isSame ? [] : [`lenient: ${error ?? `${messages.length} requests`} in ${JSON.stringify(bytes)}`]
}

function isCarried(known: Known, lower: string, given: string, value: string): boolean {
  if (given === value) return true
  return (
    lower === 'cookie' && given.includes(familyOf(known)) && value.split('; ').every((pair) => given.includes(pair))
  )
}

/** What the names of all our cookies begin with: each of them is taken out. */
function familyOf({ cookieName }: Known): string {
  return cookieName.slice(0, cookieName.indexOf('.') + 1)
}

function isForbidden({ cookieName }: Known, lower: string, value: string): boolean {
  if (!/^[a-z0-9-]+$/.test(lower) || isHopByHop(lower) || isReserved(lower, NOTHING)) return true
  if (lower === 'cookie') return value.includes(cookieName)
  return ['authorization', 'x-api-key', 'expect', 'x-request-id', 'cookie2'].includes(lower)
}

function tokenOf({ tokens }: Known, { headers }: Message): 'nobody' | 'reader' | 'admin' {
  const values = valuesOf(headers, 'authorization')
  const token = values.length === 1 ? /^bearer +(\S+)$/i.exec(values[0]!)?.[1] : undefined
  return token === tokens.admin ? 'admin' : token === tokens.reader ? 'reader' : 'nobody'
}

/** RFC 3986 §6.2.2.2, and RFC 9112 §3.2.2. */
function canonical(target: string): string {
  const origin = /^https?:\/\/[^/?#]*/i.exec(target)
  const rest = origin === null ? target : target.slice(origin[0].length)
  const mark = rest.indexOf('?')
  const path = mark < 0 ? rest : rest.slice(0, mark)
  const decoded = path.replace(/%(?:2[DE]|3\d|[46][1-9A-F]|[57][0-9A]|5F|7E)/gi, (escaped) =>
    String.fromCharCode(Number.parseInt(escaped.slice(1), 16)),
  )
  return (decoded.startsWith('/') ? decoded : `/${decoded}`) + (mark < 0 ? '' : rest.slice(mark))
}

/** As a careless server would read the path: decoded to the end, folded, without parameters, dots resolved. */
function readingOf(target: string): string {
  let path = target.split('?')[0]!.toLowerCase()
  for (let times = 0; times < 4; times += 1) {
    path = path.replace(/%([0-9a-f]{2})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 16)).toLowerCase(),
    )
  }
  const kept: string[] = []
  for (const segment of path.split(/[/\\]/)) {
    const name = segment.split(';')[0]!.trim()
    if (name === '..') kept.pop()
    else if (name !== '' && name !== '.') kept.push(name)
  }
  return `/${kept.join('/')}`
}

export function valuesOf(headers: readonly string[], lower: string): string[] {
  return pairsOf(headers).flatMap(([name, value]) => (name.toLowerCase() === lower ? [value] : []))
}

function pairsOf(headers: readonly string[]): [name: string, value: string][] {
  return Array.from({ length: headers.length / 2 }, (_, at) => [headers[2 * at]!, headers[2 * at + 1]!])
}

function label(message: Message | undefined): string {
  return message === undefined ? 'what is no request' : `${message.method} ${message.target}`
}
