/** The line that a finished exchange leaves in the log, as JSON.stringify would write it, at a third of what that costs. */

import { remembered } from '../http/remembered.ts'
import type { AccessRecord } from '../model.ts'

/** What a string of JSON cannot hold as it is (RFC 8259 §7), and all that is not printable ASCII. */
const UNPLAIN = /[^ !#-[\]-~]/

/** Of the last principals and their like: lists that are shared by many records. */
const lists = new WeakMap<readonly string[], string>()

/** One object and the end of its line. The logger names the level first, and so does this. */
export function accessLine(record: AccessRecord): string {
  const start = record.status >= 500 ? '{"level":"warn",' : '{"level":"info",'
  // Refusals and failures tell more, in words that are nobody's routine.
  if (record.reason !== null || record.tries !== undefined) return `${start}${JSON.stringify(record).slice(1)}\n`
  const { requestId, at, durationMs, method, path, status, route, upstream, subject, credential } = record
  const { roles, scopes, policy, proposed, clientAddress, log, droppedHeaders, droppedGroups, isAborted } = record
  return (
    `${start}"requestId":"${requestId}","at":"${at}","durationMs":${durationMs},"method":${word(method)},` +
    `"path":${quoted(path)},"status":${status},"route":${word(route)},"upstream":${word(upstream)},` +
    `"subject":${quoted(subject)},"credential":${word(credential)},"roles":${listed(roles)},"scopes":${listed(scopes)},` +
    `"policy":${word(policy)},"proposed":${word(proposed)},"clientAddress":${quoted(clientAddress)},"reason":null,` +
    `"log":${quoted(log)},"droppedHeaders":${droppedHeaders},"droppedGroups":${droppedGroups},"isAborted":${isAborted}}\n`
  )
}

function quoted(text: string | null): string {
  if (text === null) return 'null'
  return UNPLAIN.test(text) ? JSON.stringify(text) : `"${text}"`
}

/** One of the few that a policy and a protocol have. */
function word(text: string | null): string {
  return text === null ? 'null' : quotedWord(text)
}

const quotedWord = remembered(quoted)

function listed(texts: readonly string[]): string {
  let text = lists.get(texts)
  if (text === undefined) {
    text = JSON.stringify(texts)
    lists.set(texts, text)
  }
  return text
}
