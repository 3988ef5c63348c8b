/** Where a decision that was made is found by its request id: a log of a gateway, or a node's admin API. */

import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { RecordedDecision } from '../model.ts'
import { startupError } from '../node/startup-error.ts'

/** From JSON lines, `-` for standard input. Null when no line is of this request. Whatever stands before a line's `{` is skipped. */
export async function readDecisionFromLog(file: string, requestId: string): Promise<RecordedDecision | null> {
  const input = file === '-' ? process.stdin : createReadStream(file)
  try {
    if (file !== '-') await once(input, 'open')
  } catch (error) {
    throw startupError(`The log ${file} cannot be read: ${(error as Error).message}`, error)
  }
  let found: RecordedDecision | null = null
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    if (found === null && line.includes(requestId)) found = decisionIn(line, requestId)
    if (found !== null && file !== '-') break
  }
  if (file !== '-') input.destroy()
  return found
}

function decisionIn(line: string, requestId: string): RecordedDecision | null {
  try {
    const { level: _level, ...record } = JSON.parse(line.slice(Math.max(0, line.indexOf('{')))) as RecordedDecision & {
      level?: string
    }
    if (record.requestId !== requestId || typeof record.status !== 'number') return null
    // Of what was allowed nothing more is kept than that.
    return { ...record, place: record.place ?? null, findings: record.findings ?? [] }
  } catch {
    return null
  }
}

const TIMEOUT_MS = 10_000

/** `key` is an API key with the scope `admin`; `keyHeader` what the policy calls its header. Null where that node keeps no such decision. */
export async function askAdmin(
  url: string,
  key: string,
  requestId: string,
  keyHeader = 'X-API-Key',
): Promise<RecordedDecision | null> {
  const base = URL.parse(url)
  if (base === null || !/^https?:$/.test(base.protocol)) {
    throw startupError(
      `${JSON.stringify(url)} is no address: write it as \`http://127.0.0.1:9090\`, as \`admin.listen\` has it.`,
    )
  }
  let answer: Response
  try {
    answer = await fetch(new URL(`/v1/decisions/${encodeURIComponent(requestId)}`, base), {
      headers: { [keyHeader]: key },
      // The key goes to the address that was named, and nowhere else.
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
  } catch (error) {
    const { cause } = error as { cause?: unknown }
    const why = cause instanceof Error ? cause.message : (error as Error).message
    throw startupError(`The admin API at ${base.origin} cannot be asked: ${why}`, error)
  }
  const body = (await answer.json().catch(() => null)) as (RecordedDecision & { code?: string; detail?: string }) | null
  if (answer.ok && body !== null) return body
  if (answer.status === 404 && body?.code === 'not-found') return null
  const why = [body?.code, body?.detail].filter((text) => text !== undefined).join(': ')
  throw startupError(`The admin API at ${base.origin} answers ${answer.status}${why === '' ? '' : ` ${why}`}.`)
}
