/**
 * One pass over the field lines: judges each, keeps what may be read, and picks out the few that decide. A field that must
 * be single and is not is an attack or a bug, and is never resolved by picking one.
 */

import { cookieValues } from '../http/cookies.ts'
import { areFieldValues, readName } from '../http/field-line.ts'
import { type HeaderList, Refusal } from '../model.ts'
import type { AdmissionRules } from '../snapshot.ts'

/** What admission learns from the field lines. Filled once by `readFields`, read-only afterwards. */
export interface Fields {
  headers: HeaderList
  readonly names: string[]
  droppedHeaders: number
  host: string
  authorization: string | null
  sessionCookie: string | null
  apiKey: string | null
  contentLength: string | null
  transferEncoding: string | null
  origin: string | null
  fetchSite: string | null
  fetchMode: string | null
  accept: string | null
  askedMethod: string | null
}

/** A runtime that counts less strictly would cut the rest off in silence. */
const LINES_MAX = 256
const HEAD_CHARS_MAX = 65_536

const MALFORMED = Object.freeze(new Refusal('head.malformed'))
const TOO_LARGE = Object.freeze(new Refusal('head.too-large'))
const MISSING_HOST = Object.freeze(new Refusal('head.missing-host'))
const DUPLICATE_HOST = Object.freeze(new Refusal('head.duplicate-host'))
const FRAMING = Object.freeze(new Refusal('head.framing'))
const EXPECT_UNKNOWN = Object.freeze(new Refusal('expect.unknown'))
const DUPLICATE_CREDENTIAL = Object.freeze(new Refusal('credential.duplicate'))

export function readFields(rules: AdmissionRules, headers: HeaderList): Fields | Refusal {
  if (headers.length > 2 * LINES_MAX) return TOO_LARGE
  if (headers.length % 2 !== 0 || !areFieldValues(headers)) return MALFORMED
  const fields = noFields(headers)
  let kept: string[] | null = null
  let chars = 0
  let hasHost = false
  let hasApiKey = false
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!
    const value = headers[at + 1]!
    chars += name.length + value.length
    const { lower, shape } = readName(name)
    if (shape === 'invalid') return MALFORMED
    if (shape === 'peculiar' && !rules.allowHeaderNames.has(lower)) {
      kept ??= headers.slice(0, at)
      fields.droppedHeaders += 1
      continue
    }
    kept?.push(name, value)
    fields.names.push(lower)
    if (lower === rules.apiKeyHeader) {
      if (fields.apiKey !== null) return DUPLICATE_CREDENTIAL
      fields.apiKey = value
    }
    switch (lower) {
      case 'host':
        if (hasHost) return DUPLICATE_HOST
        hasHost = true
        fields.host = value
        break
      case 'cookie': {
        const found = cookieValues(value, rules.sessionCookieName)
        if (found.length + (fields.sessionCookie === null ? 0 : 1) > 1) return DUPLICATE_CREDENTIAL
        fields.sessionCookie = found[0] ?? fields.sessionCookie
        break
      }
      case 'authorization':
        if (fields.authorization !== null) return DUPLICATE_CREDENTIAL
        fields.authorization = value
        break
      case 'x-api-key':
        if (hasApiKey) return DUPLICATE_CREDENTIAL
        hasApiKey = true
        break
      case 'content-length':
        if (fields.contentLength !== null) return FRAMING
        fields.contentLength = value
        break
      case 'transfer-encoding':
        if (fields.transferEncoding !== null) return FRAMING
        fields.transferEncoding = value
        break
      case 'expect':
        if (value.toLowerCase() !== '100-continue') return EXPECT_UNKNOWN // RFC 9110 §10.1.1
        break
      case 'origin':
        if (fields.origin !== null) return MALFORMED
        fields.origin = value
        break
      case 'sec-fetch-site':
        if (fields.fetchSite !== null) return MALFORMED
        fields.fetchSite = value
        break
      case 'sec-fetch-mode':
        if (fields.fetchMode !== null) return MALFORMED
        fields.fetchMode = value
        break
      case 'access-control-request-method':
        if (fields.askedMethod !== null) return MALFORMED
        fields.askedMethod = value
        break
      case 'accept':
        fields.accept = fields.accept === null ? value : `${fields.accept},${value}`
        break
    }
  }
  if (chars > HEAD_CHARS_MAX) return TOO_LARGE
  if (fields.host === '') return MISSING_HOST // RFC 9112 §3.2, and of HTTP/1.0 too: without it nobody knows whom it is for
  if (kept !== null) fields.headers = kept
  return fields
}

function noFields(headers: HeaderList): Fields {
  return {
    headers,
    names: [],
    droppedHeaders: 0,
    host: '',
    authorization: null,
    sessionCookie: null,
    apiKey: null,
    contentLength: null,
    transferEncoding: null,
    origin: null,
    fetchSite: null,
    fetchMode: null,
    accept: null,
    askedMethod: null,
  }
}
