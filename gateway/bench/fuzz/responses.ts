/**
 * Answers that two parsers could read in two ways, through the parser of our own client and through llhttp. Where both take an
 * answer they must find the same one, ending at the same byte; where llhttp refuses, so must we. We may refuse more.
 */

import { ResponseParser } from '../../node/upstream/client/response-parser.ts'
import { type Chance, chance, type Fuzz, mutate, readable, shrink, splits } from './case.ts'
import { answerReader, type Message } from './llhttp.ts'
import { answerStream } from './response-streams.ts'

const JUDGE_HEAD_BYTES_MAX = 1024 * 1024
const FINDINGS_MAX = 5

interface Case {
  readonly method: string
  readonly bytes: string
  /** Places at which the sender paused. */
  readonly cuts: readonly number[]
  /** The connection ends behind the bytes. */
  readonly hasEnd: boolean
}

interface Reading {
  /** Status and fields of each. */
  readonly interim: readonly string[]
  readonly status: number
  readonly headers: readonly string[]
  readonly trailers: readonly string[]
  readonly body: string
  readonly isComplete: boolean
  readonly isReusable: boolean
  /** Behind its last byte; 0 while it is not complete. */
  readonly to: number
  readonly fault: string | null
}

export const fuzz: Fuzz = async ({ seed, seconds, print }) => {
  const endsAtMs = performance.now() + seconds * 1000
  const findings: string[] = []
  const refused = new Map<string, number>()
  let cases = 0
  let both = 0
  for (; performance.now() < endsAtMs && findings.length < FINDINGS_MAX; cases++) {
    const one = caseOf(seed + cases)
    const ours = read(one, one.cuts)
    const difference = differenceOf(one)
    if (difference !== null) findings.push(await told(seed + cases, one, difference))
    else if (ours.isComplete) both++
    else if (ours.fault !== null && judge(one).answer?.isComplete) {
      refused.set(ours.fault, (refused.get(ours.fault) ?? 0) + 1)
    }
  }
  print(`${cases} answers, ${both} read alike by both`)
  for (const [fault, count] of [...refused].sort((a, b) => b[1] - a[1]))
    print(`llhttp took, we refused: ${count} × ${fault}`)
  return findings
}

/** Null when there is nothing to be found in the answer of this seed. */
export function findingOf(seed: number): string | null {
  return differenceOf(caseOf(seed))
}

function caseOf(seed: number): Case {
  const by = chance(seed)
  const method = by.of(['GET', 'GET', 'GET', 'POST', 'HEAD'])
  const bytes = mutated(by, answerStream(by))
  return { method, bytes, cuts: splits(by, bytes.length), hasEnd: by.isOnceIn(2) }
}

function mutated(by: Chance, bytes: string): string {
  let text = bytes
  if (by.isOnceIn(2)) for (let times = 1 + by.number(3); times > 0; times--) text = mutate(by, text)
  return text
}

/** What our parser makes of it. */
export function read({ method, bytes, hasEnd }: Case, cuts: readonly number[]): Reading {
  const interim: string[] = []
  let status = 0
  let headers: readonly string[] = []
  let body = ''
  const parser = new ResponseParser({
    onInterim: (code, lines) => void interim.push([code, ...lines].join('\n')),
    onHead(code, lines) {
      status = code
      headers = lines
    },
    onData(chunk) {
      body += chunk.toString('latin1')
    },
  })
  parser.begin(method)
  let to = 0
  for (const end of [...cuts, bytes.length]) {
    if (parser.isOver || end <= to) continue
    const piece = Buffer.from(bytes.slice(to, end), 'latin1')
    to += parser.read(piece, piece.length)
  }
  const isComplete = hasEnd ? parser.end() : parser.isOver && parser.fault === null
  const { trailers, isReusable, fault } = parser
  const end = isComplete ? to : 0
  return { interim, status, headers, trailers, body, isComplete, isReusable: isComplete && isReusable, to: end, fault }
}

interface Judgement {
  readonly interim: readonly string[]
  readonly answer: Message | null
  readonly error: string | null
}

function judge({ method, bytes, hasEnd }: Case): Judgement {
  const reader = answerReader({ headBytesMax: JUDGE_HEAD_BYTES_MAX, isBodiless: () => method === 'HEAD' })
  reader.read(Buffer.from(bytes, 'latin1'))
  if (hasEnd) reader.end()
  const { messages, error } = reader
  reader.close()
  const at = messages.findIndex(({ status }) => status >= 200)
  const before = at < 0 ? messages : messages.slice(0, at)
  return {
    // 100 says only that the body is welcome; ours drops it.
    interim: before
      .filter(({ status }) => status !== 100)
      .map(({ status, headers }) => [status, ...headers].join('\n')),
    answer: messages[at] ?? null,
    error,
  }
}

/** In words, or null. */
function differenceOf(one: Case): string | null {
  const ours = read(one, one.cuts)
  const whole = read(one, [])
  if (JSON.stringify(ours) !== JSON.stringify(whole)) {
    return `cut at ${one.cuts}: ${JSON.stringify(ours)}\nin one piece: ${JSON.stringify(whole)}`
  }
  const theirs = judge(one)
  const found = compare(one.bytes, ours, theirs)
  return found === null ? null : `${found}\nours: ${JSON.stringify(ours)}\nllhttp: ${JSON.stringify(theirs)}`
}

function compare(bytes: string, ours: Reading, { interim, answer, error }: Judgement): string | null {
  if (ours.interim.some((text, at) => text !== interim[at])) return 'another interim answer'
  if (ours.status === 0)
    return ours.fault === null && !ours.isComplete && answer?.isComplete ? 'we wait for more' : null
  if (answer === null) return 'a head that llhttp refuses'
  if (ours.status !== answer.status || ours.headers.join('\n') !== answer.headers.join('\n')) return 'another head'
  if (!answer.body.startsWith(ours.body)) return 'another body'
  if (ours.fault !== null) return null
  if (ours.isComplete !== answer.isComplete) return ours.isComplete ? 'complete for us alone' : 'we wait for more'
  if (!ours.isComplete) return ours.body === answer.body || error !== null ? null : 'less of the body'
  if (ours.body !== answer.body) return 'another body'
  if (ours.trailers.join('\n') !== answer.trailers.join('\n')) return 'other trailers'
  // The end of the connection has a place of its own for the judge.
  if (ours.to !== Math.min(answer.to, bytes.length)) return 'another end'
  return ours.isReusable && !answer.isKeptAlive ? 'a connection kept by us alone' : null
}

async function told(seed: number, one: Case, difference: string): Promise<string> {
  const [kind = ''] = difference.split('\n')
  const again = (bytes: string): Case => ({ ...one, bytes, cuts: one.cuts.filter((cut) => cut < bytes.length) })
  const least = await shrink(one.bytes, async (bytes) => differenceOf(again(bytes))?.startsWith(kind) === true)
  return `seed ${seed}, ${one.method}${one.hasEnd ? ', then the end' : ''}: ${differenceOf(again(least))}\n${readable(least)}`
}
