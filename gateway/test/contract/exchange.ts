/**
 * Replays the fenced exchanges of a document: a request block, then the answer block it must get.
 * `<string>`, `<number>` and `<time>` match any such value; any other `<name>` is kept from where it first stands, and is filled in
 * or compared from then on. A field that is named must be there; a JSON body must have exactly the members shown.
 */

import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { isObject } from '../../http/json.ts'

export interface Exchange {
  readonly title: string
  readonly request: Message
  readonly response: Message
}

interface Message {
  readonly start: string
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: string
}

export type Captured = Map<string, string>

/** Exchanges in order, each under the heading it stands below. */
export function parseExchanges(markdown: string): Exchange[] {
  const exchanges: Exchange[] = []
  let title = ''
  let request: Message | null = null
  for (const match of markdown.matchAll(/^#+ (.+)$|^```http\n([\s\S]*?)^```$/gm)) {
    if (match[1] !== undefined) title = match[1]
    else if (request === null) request = parseMessage(match[2]!)
    else {
      exchanges.push({ title: `${title}: ${request.start}`, request, response: parseMessage(match[2]!) })
      request = null
    }
  }
  if (request !== null) throw new Error(`"${request.start}" has no answer`)
  return exchanges
}

function parseMessage(text: string): Message {
  const [head = '', ...rest] = text.split('\n\n')
  const [start = '', ...lines] = head.trimEnd().split('\n')
  const fields = lines.map((line) => {
    const colon = line.indexOf(': ')
    return [line.slice(0, colon), line.slice(colon + 2)] as const
  })
  return { start, fields, body: rest.join('\n\n').trimEnd() }
}

const PLACEHOLDER = /<([a-zA-Z][\w-]*)>/g
const KINDS: Record<string, string> = {
  string: '[^\\n]*',
  number: '-?\\d+(?:\\.\\d+)?',
  time: '\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z',
}

export function send(url: string, message: Message, captured: Captured): Promise<Answer> {
  const [method, target] = message.start.split(' ')
  const headers = message.fields.flatMap(([name, value]) => [name, filled(value, captured)])
  const body = filled(message.body, captured)
  if (body !== '' || method === 'POST') headers.push('Content-Length', String(Buffer.byteLength(body)))
  const { hostname, port, host } = new URL(url)
  return new Promise((resolve, reject) => {
    const options = {
      hostname,
      port,
      method,
      path: filled(target!, captured),
      headers: ['Host', host, ...headers],
      agent: false,
    }
    const request = httpRequest(options)
    request.once('error', reject)
    request.once('upgrade', ({ statusCode, headers, rawHeaders }, socket) => {
      socket.destroy()
      resolve({ status: statusCode!, headers, rawHeaders, body: '' })
    })
    request.once('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', reject)
      response.once('end', () => {
        const { statusCode, headers, rawHeaders } = response
        resolve({ status: statusCode!, headers, rawHeaders, body: Buffer.concat(chunks).toString('utf8') })
      })
    })
    request.end(body)
  })
}

function filled(text: string, captured: Captured): string {
  return text.replace(PLACEHOLDER, (placeholder, name: string) => captured.get(name) ?? placeholder)
}

/** What differs from the documented answer, in words; empty when nothing does. */
export function differences(expected: Message, answer: Answer, captured: Captured): string[] {
  const found: string[] = []
  const status = Number(expected.start.split(' ')[1])
  if (status !== answer.status) found.push(`status ${answer.status} instead of ${status}: ${answer.body.slice(0, 300)}`)
  for (const [name, value] of expected.fields) {
    const values = valuesOf(answer.rawHeaders, name)
    if (!values.some((actual) => isMatch(value, actual, captured))) {
      found.push(`${name}: ${values.join(' | ') || '(absent)'} instead of ${value}`)
    }
  }
  if (expected.body !== '') compareBody(expected.body, answer.body, captured, found)
  return found
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === name.toLowerCase())
}

function compareBody(expected: string, actual: string, captured: Captured, found: string[]): void {
  if (!/^[[{]/.test(expected)) {
    if (!isMatch(expected, actual.trimEnd(), captured)) found.push(`body ${actual} instead of ${expected}`)
    return
  }
  try {
    compareJson(JSON.parse(expected), JSON.parse(actual), '$', captured, found)
  } catch (error) {
    found.push(`body is not the JSON shown (${String(error)}): ${actual.slice(0, 300)}`)
  }
}

/** `"...": "..."` as a member says that there are more. `"<number>"` stands for a number. */
function compareJson(expected: unknown, actual: unknown, at: string, captured: Captured, found: string[]): void {
  if (typeof expected === 'string' && typeof actual !== 'object') {
    if (expected === '<number>' && typeof actual !== 'number') found.push(`${at} is not a number`)
    else if (!isMatch(expected, String(actual), captured)) found.push(`${at} is ${String(actual)}, not ${expected}`)
  } else if (isObject(expected) && isObject(actual)) {
    const names = Object.keys(expected).filter((name) => name !== '...')
    if (!('...' in expected) && Object.keys(actual).length !== names.length) {
      found.push(`${at} has ${Object.keys(actual).join(', ')} and should have ${names.join(', ')}`)
    }
    for (const name of names) compareJson(expected[name], actual[name], `${at}.${name}`, captured, found)
  } else if (Array.isArray(expected) && Array.isArray(actual)) compareArray(expected, actual, at, captured, found)
  else if (JSON.stringify(expected) !== JSON.stringify(actual)) {
    found.push(`${at} is ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`)
  }
}

/** Elements in order; a first element `"..."` asks only that each of the others is somewhere among them. */
function compareArray(expected: unknown[], actual: unknown[], at: string, captured: Captured, found: string[]): void {
  if (expected[0] !== '...') {
    if (expected.length !== actual.length) found.push(`${at} has ${actual.length} elements, not ${expected.length}`)
    for (const [i, element] of expected.entries()) compareJson(element, actual[i], `${at}[${i}]`, captured, found)
    return
  }
  for (const element of expected.slice(1)) {
    const isThere = actual.some((candidate) => {
      const misses: string[] = []
      const attempt = new Map(captured) // a candidate that differs must not leave what it matched in part
      compareJson(element, candidate, at, attempt, misses)
      if (misses.length > 0) return false
      for (const [name, value] of attempt) captured.set(name, value)
      return true
    })
    if (!isThere) found.push(`${at} holds no ${JSON.stringify(element)}: ${JSON.stringify(actual).slice(0, 1500)}`)
  }
}

/** Compares whole texts, and keeps what new placeholders stood for. */
function isMatch(pattern: string, actual: string, captured: Captured): boolean {
  const names: string[] = []
  const source = pattern
    .split(PLACEHOLDER)
    .map((part, i) => {
      if (i % 2 === 0) return literal(part)
      const kind = KINDS[part]
      if (kind !== undefined) return kind
      const known = captured.get(part)
      if (known !== undefined) return literal(known)
      names.push(part)
      return '([^\\s;,"]+)'
    })
    .join('')
  const match = new RegExp(`^${source}$`).exec(actual)
  if (match === null) return false
  for (const [i, name] of names.entries()) captured.set(name, match[i + 1]!)
  return true
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
