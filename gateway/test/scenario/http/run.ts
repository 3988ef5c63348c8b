/** Runs the table of HTTP against a gateway over raw sockets and compares both ends, byte by byte where it matters. */

import { expect, test } from 'vitest'
import { rawClient } from '../../support/raw.ts'
import { until } from '../../support/until.ts'
import { type Answer, type Message, readAnswers } from './messages.ts'
import { PROBE, type RawUpstream } from './raw-upstream.ts'
import { HTTP_ROWS } from './rows.ts'
import { type Asked, type ClientStep, type Expected, type HttpRow, type HttpRunner, OK } from './table.ts'

export interface HttpRuntime {
  readonly url: string
  readonly origin: string
  /** A bearer token of somebody who may use `/wire/login`. */
  readonly token: string
  readonly upstream: RawUpstream
  /** Asks in place of a raw socket with HTTP/1.1 on it. */
  readonly converse?: (asked: readonly Asked[]) => Promise<Conversation>
}

/** What came back on one connection. */
export interface Conversation {
  readonly answers: readonly Answer[]
  readonly end: Expected['end']
  /** Every byte or, where there are none to show, the answers in words. */
  readonly text: string
}

export function runHttpRows(runner: HttpRunner, runtime: () => HttpRuntime): void {
  for (const row of HTTP_ROWS) {
    if (row.except?.[runner] !== undefined || (runner === 'h2' && 'bytes' in row.ask)) continue
    test(`[FR-053] ${runner}: ${row.id}: ${row.title}`, async () => {
      const expected = { ...row.expect, ...row.differs?.[runner] }
      await run(row, runner === 'h2' ? overHttp2(expected) : expected, runtime())
    })
  }
}

/** Bodies are framed by HTTP/2 itself, and what ends is a stream: its connection goes on. */
function overHttp2(expected: Expected): Expected {
  const isOfHttp2 = (line: string) => !/^(?:connection|transfer-encoding): /.test(line)
  const answers = expected.answers.map((answer) => ({ ...answer, has: (answer.has ?? []).filter(isOfHttp2) }))
  return { ...expected, answers, end: expected.end === 'closed' ? 'open' : expected.end }
}

async function run(row: HttpRow, expected: Expected, runtime: HttpRuntime): Promise<void> {
  const { upstream } = runtime
  const asked = 'bytes' in row.ask ? null : [row.ask].flat()
  const conversation =
    runtime.converse !== undefined && asked !== null
      ? await converseOtherwise(row, runtime, asked)
      : await converseRaw(row, expected, runtime, asked)
  const { answers, end, text } = conversation
  expect(
    answers.map(({ status }) => status),
    text,
  ).toEqual(expected.answers.map(({ status }) => status))
  expect(end, text).toBe(expected.end)
  for (const [at, want] of expected.answers.entries()) compareAnswer(answers[at]!, want)
  await compareUpstream(expected, runtime)
  for (const never of expected.never ?? []) {
    expect(text).not.toContain(never)
    expect(upstream.received()).not.toContain(never)
  }
  expect(await probe(runtime), 'the gateway answers the next request as ever').toBe('probed')
}

async function converseOtherwise(row: HttpRow, runtime: HttpRuntime, asked: readonly Asked[]) {
  runtime.upstream.play(row.upstream ?? [OK], () => true)
  return runtime.converse!(asked.map((one) => filledIn(one, runtime)))
}

async function converseRaw(
  row: HttpRow,
  expected: Expected,
  runtime: HttpRuntime,
  asked: readonly Asked[] | null,
): Promise<Conversation> {
  const { upstream } = runtime
  const client = await rawClient(runtime.url)
  upstream.play(row.upstream ?? [OK], (text) => client.received().includes(text))
  const steps: readonly ClientStep[] = 'bytes' in row.ask ? row.ask.bytes : [asked!.map(written).join('')]
  const methods = 'bytes' in row.ask ? (row.ask.methods ?? ['GET']) : asked!.map(({ method }) => method ?? 'GET')
  const read = (isClosed: boolean) => readAnswers(client.received(), methods, isClosed)
  try {
    for (const step of steps) {
      if (step === 'end') client.socket.end()
      else if (step === 'reset') client.socket.resetAndDestroy()
      else if (typeof step === 'string') client.send(filled(step, runtime))
      else if ('upstream' in step)
        await until(() => upstream.received().includes(step.upstream), `${step.upstream} at the upstream`)
      else if ('client' in step) await client.until((text) => text.includes(step.client))
      else if ('openAtUpstream' in step)
        await until(() => upstream.openCount() === step.openAtUpstream, 'connections at the upstream')
      else
        for (const byte of filled(step.drip, runtime))
          await new Promise((sent) => client.socket.write(byte, 'latin1', sent))
    }
    if (expected.end === 'gone') return { answers: read(false).answers, end: 'gone', text: client.received() }
    if (expected.end === 'open') {
      await client.until(() => read(false).answers.length >= expected.answers.length)
      const text = client.received()
      client.send(filled(`GET ${PROBE} HTTP/1.1\r\nHost: HOST\r\n\r\n`, runtime))
      await client.until((received) => received.slice(text.length).endsWith('probed'))
      const { answers, rest } = read(false)
      expect(rest, 'nothing but whole answers').toBe('')
      return { answers: answers.slice(0, -1), end: 'open', text }
    }
    const text = await client.closed()
    client.socket.end()
    await until(
      () => client.socket.closed && (expected.end !== 'reset' || client.isReset()),
      `an end behind ${JSON.stringify(text)}`,
    )
    const { answers, rest } = read(true)
    const isTorn = rest !== '' || (expected.end === 'torn' && answers.length === 0)
    if (expected.end === 'torn')
      return { answers: [...answers, ...headOf(rest)], end: isTorn ? 'torn' : 'closed', text }
    return { answers, end: client.isReset() ? 'reset' : isTorn ? 'torn' : 'closed', text }
  } finally {
    client.close()
  }
}

/** The answer that broke off, with as much of it as came. */
function headOf(rest: string): Answer[] {
  const { answers } = readAnswers(
    `${rest.slice(0, rest.indexOf('\r\n\r\n') + 4)}`.replace(/\r\n(?:content-length|transfer-encoding):[^\r]*/gi, ''),
    [],
    true,
  )
  return answers.map((answer) => ({ ...answer, body: rest.slice(rest.indexOf('\r\n\r\n') + 4) }))
}

function written({ method = 'GET', target = '/wire/a', fields = [], body, trailers = [] }: Asked): string {
  const isChunked = Array.isArray(body)
  const length = typeof body === 'string' ? [`Content-Length: ${body.length}`] : []
  const framing = isChunked ? ['Transfer-Encoding: chunked'] : length
  const head = [`${method} ${target} HTTP/1.1`, 'Host: HOST', ...fields, ...framing].join('\r\n')
  if (!isChunked) return `${head}\r\n\r\n${body ?? ''}`
  const chunks = (body as readonly string[]).map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`)
  return `${head}\r\n\r\n${chunks.join('')}0\r\n${trailers.map((line) => `${line}\r\n`).join('')}\r\n`
}

function filled(text: string, { origin, token }: HttpRuntime): string {
  return text.replaceAll('HOST', new URL(origin).host).replaceAll('ORIGIN', origin).replaceAll('TOKEN', token)
}

function filledIn(asked: Asked, runtime: HttpRuntime): Asked {
  return { ...asked, fields: (asked.fields ?? []).map((line) => filled(line, runtime)) }
}

function compareAnswer(answer: Answer, want: Expected['answers'][number]): void {
  if (want.body !== undefined) expect(answer.body, answer.raw).toBe(want.body)
  if (want.trailers !== undefined) expect(answer.trailers, answer.raw).toEqual(want.trailers)
  if (want.interims !== undefined)
    expect(answer.interims.map(({ start }) => Number(start.split(' ')[1]))).toEqual(want.interims)
  compareFields(answer, want.has, want.lacks)
}

function compareFields({ fields, raw }: Message, has: readonly string[] = [], lacks: readonly string[] = []): void {
  for (const line of has) {
    const [name = '', value] = line.split(/: (.*)/s)
    const values = fields.filter((field) => field.startsWith(`${name}: `)).map((field) => field.slice(name.length + 2))
    expect(values, `${name} in ${raw}`).toHaveLength(has.filter((other) => other.startsWith(`${name}: `)).length)
    if (value !== '*') expect(values, raw).toContain(value)
  }
  const names = fields.map((field) => field.slice(0, field.indexOf(':')))
  for (const name of lacks) expect(names, raw).not.toContain(name)
}

async function compareUpstream(expected: Expected, { upstream }: HttpRuntime): Promise<void> {
  await until(
    () => upstream.requests().length >= expected.upstream.length,
    `${expected.upstream.length} requests at the upstream`,
  )
  // Those that came behind one another may overtake one another on connections of their own.
  const lineOf = ({ start }: Message) => start.replace(/ HTTP\/1\.1$/, '')
  const all = upstream.requests().toSorted((a, b) => (lineOf(a).slice(-1) < lineOf(b).slice(-1) ? -1 : 1))
  const seen = expected.isRetried ? all.slice(0, expected.upstream.length) : all
  expect(all.length).toBeLessThanOrEqual(expected.upstream.length + (expected.isRetried ? 2 : 0))
  expect(seen.map(lineOf)).toEqual(expected.upstream.map(({ line }) => line))
  for (const [at, want] of expected.upstream.entries()) {
    const request = seen[at]!
    if (want.body !== undefined) expect(request.body, request.raw).toBe(want.body)
    if (want.trailers !== undefined) expect(request.trailers, request.raw).toEqual(want.trailers)
    compareFields(request, want.has, want.lacks)
  }
  if (expected.isUpstreamClosed) await until(() => upstream.openCount() === 0, 'no connection left at the upstream')
  if (expected.partial !== undefined) expect(upstream.partial()).toMatch(expected.partial)
  else expect(upstream.partial(), 'no part of a request').toBe('')
  if (expected.upstream.length === 0 && expected.partial === undefined) {
    expect(upstream.received().replace(/GET \/wire\/probe [\s\S]*?\r\n\r\n/g, ''), 'not a byte').toBe('')
  }
}

/** On a connection of its own, and on whichever connection to the upstream is left. */
async function probe(runtime: HttpRuntime): Promise<string> {
  if (runtime.converse !== undefined) return (await runtime.converse([{ target: PROBE }])).answers[0]!.body
  const client = await rawClient(runtime.url)
  try {
    client.send(filled(`GET ${PROBE} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n`, runtime))
    return readAnswers(await client.closed(), [], true).answers[0]?.body ?? ''
  } finally {
    client.close()
  }
}
