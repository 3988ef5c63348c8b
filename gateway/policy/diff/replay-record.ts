/** Reads one line of the access log, believing nothing of it: a log passes through many hands. */

import { parseObject } from '../../http/json.ts'
import type { CredentialKind } from '../../model.ts'
import type { Recorded } from './replay-decide.ts'

const KINDS: readonly CredentialKind[] = ['session', 'token', 'key']
const METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/
const REQUEST_ID = /^[\w.:-]{1,64}$/

/** `other`: a line of the journal that is not about a request. */
export function readRecord(line: string): Recorded | 'other' | 'garbage' {
  const row = parseObject(line)
  if (row === null) return 'garbage'
  if (row.method === undefined && ['note', 'audit', 'fault', 'decision', 'proposed'].some((key) => key in row))
    return 'other'
  const { method, path, status, at } = row
  if (typeof method !== 'string' || typeof path !== 'string' || typeof status !== 'number') return 'garbage'
  const isHead = METHOD.test(method) && path.startsWith('/')
  if (!isHead && (method !== '-' || path !== '-')) return 'garbage'
  const atMs = typeof at === 'string' ? Date.parse(at) : Number.NaN
  if (Number.isNaN(atMs)) return 'garbage'
  const credential = KINDS.find((kind) => kind === row.credential) ?? null
  const upgrades = method === 'GET' ? (status === 101 ? true : status < 400 && status !== 302 ? false : null) : false
  return {
    requestId: text(row.requestId) !== null && REQUEST_ID.test(text(row.requestId)!) ? text(row.requestId)! : '-',
    atMs,
    method,
    path: isHead ? path : null,
    status,
    subject: text(row.subject),
    credential,
    roles: texts(row.roles),
    scopes: texts(row.scopes),
    clientAddress: text(row.clientAddress),
    route: text(row.route),
    reason: text(row.reason),
    policy: text(row.policy),
    wasForwarded: text(row.upstream) !== null,
    isUpgrade: upgrades,
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
