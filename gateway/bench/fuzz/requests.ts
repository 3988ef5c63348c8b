/**
 * Request heads and bodies against a running gateway: every stream is also read by llhttp, and what the upstream got and the
 * client got back must agree with that reading. One stream at a time, each on a connection of its own.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { NodeJournal } from '../../node/journal.ts'
import { startGateway } from '../../node/main.ts'
import { createIssuer, ISSUER } from '../../test/fleet/policy.ts'
import { freePort } from '../../test/support/ports.ts'
import { chance, type Fuzz, readable, shrink, splits } from './case.ts'
import { answerReader, type Message, requestReader } from './llhttp.ts'
import { type Heard, type Recorder, startRecorder } from './recorder.ts'
import { type Exchanged, findingsOf, type Known, lateFindings, valuesOf } from './request-checks.ts'
import { requestStream } from './request-streams.ts'

const HEAD_BYTES_MAX = 32 * 1024
const BODY_BYTES_MAX = 64 * 1024
const ANSWERS_HEAD_BYTES_MAX = 128 * 1024
const WAIT_MS = 8_000
/** Within which an exchange is on record: what a client leaves of its body is waited for so long. */
const RECORD_MS = 6_000
/** Streams before memory is measured for the first time. */
const WARM_STREAMS = 2_000
const HEAP_GROWTH_BYTES_MAX = 24 * 1024 ** 2
const FINDINGS_MAX = 10
/** Streams that what arrives late is held against. */
const REMEMBERED_MAX = 50
/** Ids of exchanges that are over, for those whose request is heard of late. */
const RECORDS_MAX = 1_000

/** What a client does on one connection. */
export interface Said {
  readonly bytes: string
  /** Places at which it pauses. */
  readonly cuts?: readonly number[]
  /** It hangs up so many turns after its last byte; absent: it waits for its answers. */
  readonly abortTurns?: number | null
}

export interface Stage {
  readonly known: Known
  readonly host: string
  readonly recorder: Recorder
  readonly faults: readonly unknown[]
  /** Says it, and resolves when all that it caused is over. */
  exchange(said: Said, isMine?: (heard: Heard) => boolean): Promise<Exchanged>
  close(): Promise<void>
}

export const fuzz: Fuzz = async ({ seed, seconds, print }) => {
  const stage = await startStage()
  const bugs: string[] = []
  const onBug = (error: unknown) => void bugs.push(`crash: ${error instanceof Error ? error.stack : String(error)}`)
  process.on('uncaughtException', onBug).on('unhandledRejection', onBug)
  const findings: string[] = []
  const kinds = new Set<string>()
  const recent = new Map<number, Exchanged>()
  const counts = { requests: 0, forwarded: 0, broken: 0 }
  const endsAtMs = performance.now() + seconds * 1000
  let streams = 0
  let started: Memory | null = null
  let isLast = false
  try {
    for (let next = seed; !isLast; next += 1, streams += 1) {
      isLast = performance.now() > endsAtMs || findings.length >= FINDINGS_MAX
      if (streams === WARM_STREAMS) started = memory()
      const by = chance(next ^ 0x5eed)
      const bytes = requestStream(next, { ...stage.known, host: stage.host })
      const said = { bytes, cuts: splits(by, 400), abortTurns: by.isOnceIn(6) ? by.number(30) : null }
      const exchanged = await stage.exchange(said, (heard) => streamOf(heard, recent) === undefined)
      counts.requests += exchanged.sent.length
      counts.forwarded += exchanged.heard.length
      counts.broken += exchanged.sentError === null ? 0 : 1
      const found = [...findingsOf(stage.known, exchanged), ...bugs.splice(0), ...faultsOf(stage)]
      for (const heard of stage.recorder.heard) {
        if (!exchanged.heard.includes(heard)) {
          const of = streamOf(heard, recent)
          found.push(
            ...(of === undefined
              ? [`unasked: of no stream ${heard.message.target}`]
              : lateFindings(stage.known, of, heard)),
          )
        }
      }
      recent.set(next, exchanged)
      if (recent.size > REMEMBERED_MAX) recent.delete(recent.keys().next().value!)
      stage.recorder.forget()
      const [kind] = found.map(kindOf)
      if (kind === undefined || kinds.has(kind)) continue
      kinds.add(kind)
      const least = await shrink(bytes, async (shorter) => {
        const again = await stage.exchange({ bytes: shorter, abortTurns: said.abortTurns })
        const faults = [...bugs.splice(0), ...faultsOf(stage)]
        stage.recorder.forget()
        return [...findingsOf(stage.known, again), ...faults].some((one) => kindOf(one) === kind)
      })
      const hidden = least
        .replaceAll(stage.known.tokens.admin, '<admin>')
        .replaceAll(stage.known.tokens.reader, '<reader>')
      findings.push(`--seed ${next}: ${found.join('\n  ')}\n${readable(hidden)}`)
    }
    const ended = memory()
    print(
      `${streams} streams, ${counts.requests} requests, ${counts.forwarded} forwarded, ${counts.broken} streams broken`,
    )
    if (started !== null) {
      print(
        `heap ${mebibytes(started.heap)} to ${mebibytes(ended.heap)} MiB, resident ${mebibytes(started.rss)} to ${mebibytes(ended.rss)} MiB`,
      )
      if (ended.heap - started.heap > HEAP_GROWTH_BYTES_MAX) findings.push('leak: the heap has grown')
    }
  } finally {
    process.off('uncaughtException', onBug).off('unhandledRejection', onBug)
    await stage.close()
  }
  await settled(() => openSockets() === 0)
  if (openSockets() > 0) findings.push(`leak: ${openSockets()} sockets are still open`)
  return findings
}

/** The real gateway in this process, before an upstream that records. */
export async function startStage(): Promise<Stage> {
  const [recorder, issuer, port] = [await startRecorder(), await createIssuer(), await freePort()]
  const origin = `http://localhost:${port}`
  const host = new URL(origin).host
  const dataDir = mkdtempSync(join(tmpdir(), 'postern-fuzz-'))
  const faults: unknown[] = []
  const recorded = new Set<string>()
  /** What exchanges that are not on record asked for, by their ids. */
  const waiting = new Map<string, string>()
  const journal: NodeJournal = {
    record({ requestId }) {
      // Kept too when it was waited for: the upstream may hear of it once more, as of a try that was given up.
      waiting.delete(requestId)
      recorded.add(requestId)
      if (recorded.size > RECORDS_MAX) recorded.delete(recorded.values().next().value!)
    },
    fault: (_requestId, error) => void faults.push(error),
    note() {},
    audit() {},
    async flush() {},
  }
  const text = policyOf(origin, port, recorder.url, JSON.stringify(issuer.jwk))
  const gateway = await startGateway({ policy: { text, file: 'fuzz.yaml' }, env: {}, dataDir, journal })
  const tokens = {
    reader: await issuer.sign({ sub: 'fuzz-reader' }),
    admin: await issuer.sign({ sub: 'fuzz-admin', roles: ['chief'] }),
  }
  const expectRecords = () => {
    for (const { message } of recorder.heard) {
      for (const id of valuesOf(message.headers, 'x-request-id')) {
        if (!recorded.has(id)) waiting.set(id, `${message.method} ${message.target}`)
      }
    }
  }
  const exchange: Stage['exchange'] = async (said, isMine = () => true) => {
    const read = oracle(said.bytes)
    const got = await converse(port, said, read)
    await settled(() => !recorder.isBusy())
    expectRecords()
    await settled(() => waiting.size === 0, RECORD_MS)
    const unrecorded = [...waiting.values()]
    waiting.clear()
    // A letter changed by chance may make one mark into another's, so what was said now comes first.
    const targets = new Set(read.messages.map(({ target }) => target))
    const heard = recorder.heard.filter((one) => targets.has(one.message.target) || isMine(one))
    return { sent: read.messages, sentError: read.error, ...got, unrecorded, heard }
  }
  const close = async () => {
    await gateway.close()
    await recorder.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
  const lines: Record<string, readonly string[]> = {}
  for (const who of ['nobody', 'reader', 'admin'] as const) {
    const credential = who === 'nobody' ? '' : `Authorization: Bearer ${tokens[who]}\r\n`
    const path = who === 'nobody' ? '/public/plain' : '/login/plain'
    const { heard } = await exchange({ bytes: `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${credential}\r\n` })
    lines[who] = linesOf(heard[0]!.message)
    recorder.forget()
  }
  const known: Known = {
    tokens,
    cookieName: 'postern.session_token',
    bodyBytesMax: BODY_BYTES_MAX,
    lines: lines as Known['lines'],
  }
  return { known, host, recorder, faults, exchange, close }
}

function policyOf(origin: string, port: number, upstream: string, jwk: string): string {
  return `
version: 1
origin: ${origin}
listen: 127.0.0.1:${port}
admission: { perAddress: off }
tokens:
  ci: { issuer: ${ISSUER}, audience: books, roles: [chief], keys: [${jwk}] }
upstreams:
  up: { url: ${upstream} }
defaults: { body: 64KiB, timeout: 20s }
routes:
  /public/**: { to: up, access: public }
  /login/**: { to: up, access: login }
  /role/**: { to: up, access: { role: chief } }
`
}

/** Those of a plain request, as the gateway wrote them. */
function linesOf({ headers }: Message): readonly string[] {
  const lines: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!.toLowerCase()
    if (name === 'connection') continue
    lines.push(`${name}: ${name === 'x-request-id' || name === 'x-postern-assertion' ? '*' : headers[at + 1]!}`)
  }
  return lines
}

function oracle(bytes: string): { readonly messages: readonly Message[]; readonly error: string | null } {
  const reader = requestReader({ headBytesMax: HEAD_BYTES_MAX })
  reader.read(Buffer.from(bytes, 'latin1'))
  reader.end()
  reader.close()
  return { messages: reader.messages, error: reader.error }
}

type Got = Pick<Exchanged, 'answers' | 'answersError' | 'received' | 'isClosedByGateway' | 'isTimedOut' | 'isAborted'>

/**
 * Says everything and then waits: for the gateway's end where llhttp found a fault, else for as many answers as there are whole
 * requests. Then this side ends too.
 */
async function converse(
  port: number,
  { bytes, cuts = [], abortTurns = null }: Said,
  { messages, error }: ReturnType<typeof oracle>,
): Promise<Got> {
  const isDoubtful = error !== null && error !== 'HPE_INVALID_EOF_STATE'
  const whole = messages.filter(({ isComplete }) => isComplete).length
  const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true })
  let finals = 0
  let received = ''
  let isClosedByGateway = false
  let isTimedOut = false
  const end = () => void (socket.writableEnded || socket.end())
  const reader = answerReader({
    headBytesMax: ANSWERS_HEAD_BYTES_MAX,
    isBodiless: (place) => messages[place]?.method === 'HEAD',
    onMessage({ status }) {
      if (status < 200) return
      finals += 1
      if (finals >= whole && !isDoubtful && isSaid) end()
    },
  })
  let isSaid = false
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1')
    reader.read(chunk)
  })
  // A reset says of an answer without a length that it is not whole.
  let isReset = false
  socket.on('error', () => {
    isReset = true
  })
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  const over = () => {
    isClosedByGateway ||= !socket.writableEnded
    end()
  }
  socket.on('end', over).on('close', over)
  const timer = setTimeout(() => {
    isTimedOut = true
    socket.destroy()
  }, WAIT_MS)
  await say(socket, bytes, cuts)
  isSaid = true
  if (abortTurns !== null) await abort(socket, abortTurns)
  if (finals >= whole && !isDoubtful) end()
  await closed
  clearTimeout(timer)
  if (!isReset) reader.end()
  const answers = reader.messages.filter(({ status }) => status >= 200)
  reader.close()
  return {
    answers,
    answersError: reader.error,
    received,
    isClosedByGateway,
    isTimedOut,
    isAborted: abortTurns !== null,
  }
}

async function abort(socket: ReturnType<typeof connect>, turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  socket.destroy()
}

async function say(socket: ReturnType<typeof connect>, bytes: string, cuts: readonly number[]): Promise<void> {
  let from = 0
  for (const to of [...cuts, bytes.length]) {
    if (to > bytes.length || to < from || socket.destroyed) continue
    if (to > from) socket.write(bytes.slice(from, to), 'latin1')
    from = to
    if (to < bytes.length)
      for (let turns = 0; turns < 4; turns += 1) await new Promise((resolve) => setImmediate(resolve))
  }
}

/** True as soon as it is, within a bound. */
async function settled(isTrue: () => boolean, withinMs = WAIT_MS): Promise<boolean> {
  const endsAtMs = performance.now() + withinMs
  while (!isTrue()) {
    if (performance.now() > endsAtMs) return false
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return true
}

function faultsOf(stage: Stage): string[] {
  const faults = stage.faults as unknown[]
  const garbage = stage.recorder.garbage.map((bytes) => `garbage at the upstream: ${JSON.stringify(bytes)}`)
  return [
    ...garbage,
    ...faults.splice(0).map((error) => `fault: ${error instanceof Error ? error.stack : String(error)}`),
  ]
}

/** Of the stream that a request at the upstream came from. */
function streamOf({ message }: Heard, streams: ReadonlyMap<number, Exchanged>): Exchanged | undefined {
  const { target } = message
  const marked = streams.get(Number(/s(\d+)-/.exec(target)?.[1]))
  return marked ?? [...streams.values()].find(({ sent }) => sent.some((one) => one.target === target))
}

function kindOf(finding: string): string {
  return finding.slice(0, finding.search(/[ :]|$/))
}

interface Memory {
  readonly heap: number
  readonly rss: number
}

function memory(): Memory {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const { heapUsed, rss } = process.memoryUsage()
  return { heap: heapUsed, rss }
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1)
}

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
}
