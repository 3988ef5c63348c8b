/** wrk: the client. Its request scripts, and what it says about a run. */

import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Kind } from './arguments.ts'

export const HOST = 'api.bench.test'

export interface Load {
  readonly requests: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** What a browser sends. */
const LINES: Readonly<Record<string, string>> = {
  Host: HOST,
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  Accept: 'application/json, text/plain, */*',
  'Accept-Language': 'en-US,en;q=0.9,de;q=0.8',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  Referer: `http://${HOST}/dashboard/items?page=2`,
  'Sec-Fetch-Site': 'same-origin',
  'Sec-Fetch-Mode': 'cors',
}
const COOKIES = 'theme=dark; _ga=GA1.2.1234567890.1700000000; consent=1'
const BODY = JSON.stringify({ data: 'x'.repeat(1012) })
const MS_OF: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 }

/** The lines of a request that carries this credential: a bearer token, or with `isCookie` a cookie. */
export function linesOf(credential: string, isCookie: boolean): Readonly<Record<string, string>> {
  if (isCookie) return { ...LINES, Cookie: `${COOKIES}; ${credential}` }
  return { ...LINES, Cookie: COOKIES, Authorization: `Bearer ${credential}` }
}

/** Writes the script of one kind, with the credentials in rotation, and returns its file. */
export function writeScript(
  folder: string,
  name: string,
  kind: Kind,
  credentials: readonly string[],
  isCookie: boolean,
): string {
  const [method, path, body] = {
    get: ['GET', '/api/items?limit=20', null] as const,
    post: ['POST', '/api/items', BODY] as const,
    big: ['GET', '/api/big', null] as const,
  }[kind]
  const requests = credentials.map((credential) => {
    const framing = body === null ? {} : { 'Content-Type': 'application/json', 'Content-Length': String(body.length) }
    const lines = Object.entries({ ...linesOf(credential, isCookie), ...framing }).map((line) => line.join(': '))
    return JSON.stringify([`${method} ${path} HTTP/1.1`, ...lines, '', body ?? ''].join('\r\n'))
  })
  const file = join(folder, `${name}.${kind}.lua`)
  writeFileSync(
    file,
    `local requests = {\n${requests.join(',\n')}\n}
local at = 0
function request()
  at = at % #requests + 1
  return requests[at]
end
`,
  )
  return file
}

export async function runWrk(port: number, script: string, seconds: number, connections: number): Promise<Load> {
  const args = [
    '-c',
    '0',
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--latency',
    '--timeout',
    '30s',
    '-s',
    script,
  ]
  const { stdout } = await promisify(execFile)('taskset', [...args, `http://127.0.0.1:${port}/`])
  const wrong = /Non-2xx.*|Socket errors.*/.exec(stdout)
  if (wrong !== null) throw new Error(`wrk on port ${port}: ${wrong[0]}`)
  return readWrk(stdout)
}

export function readWrk(text: string): Load {
  const find = (pattern: RegExp): RegExpExecArray => {
    const match = pattern.exec(text)
    if (match === null) throw new Error(`this is not what wrk prints: ${text}`)
    return match
  }
  const percentileMs = (percent: number): number => {
    const [, value, unit] = find(new RegExp(`\\n\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)\\s`))
    return Number(value) * MS_OF[unit!]!
  }
  return {
    requests: Number(find(/(\d+) requests in/)[1]),
    perSecond: Number(find(/Requests\/sec:\s+([\d.]+)/)[1]),
    p50Ms: percentileMs(50),
    p99Ms: percentileMs(99),
  }
}
