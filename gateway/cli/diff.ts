/** `postern diff`: what one policy changes that takes another's place, and with `--replay` for which requests of a real day. */

import { createReadStream, existsSync } from 'node:fs'
import { styleText } from 'node:util'
import { loadForTools } from '../node/config-file.ts'
import { usageError } from '../node/startup-error.ts'
import { diffPolicies, diffProposals } from '../policy/diff/diff.ts'
import { type ReplayGroup, type ReplayReport, replay } from '../policy/diff/replay.ts'
import { diffText, type Paint } from '../policy/diff/words.ts'

export interface DiffOptions {
  readonly replay?: string
  readonly proposed?: boolean
  readonly exitCode?: boolean
  readonly json?: boolean
}

export async function diff(before: string, after: string | undefined, options: DiffOptions): Promise<void> {
  const isProposed = options.proposed === true
  if (isProposed ? after !== undefined || options.replay !== undefined : after === undefined) {
    process.stderr.write('postern: name two files, or one with --proposed; --replay goes with two.\n')
    process.exitCode = 2
    return
  }
  const old = loadForTools(before)
  const next = isProposed ? old : loadForTools(after!)
  const difference = isProposed ? diffProposals(old) : diffPolicies(old, next)
  const replayed = options.replay === undefined ? null : await replay(old, next, linesOf(options.replay))
  if (options.json === true) {
    process.stdout.write(
      `${JSON.stringify(replayed === null ? difference : { ...difference, replay: replayed }, null, 2)}\n`,
    )
  } else {
    process.stdout.write(diffText(difference, paint))
    if (replayed !== null)
      process.stdout.write(
        replayText(
          replayed,
          difference.rows.some(({ patterns }) => patterns.length === 0),
        ),
      )
  }
  const isFound = difference.rows.length > 0 || (replayed?.groups.length ?? 0) > 0
  if (options.exitCode === true && isFound) process.exitCode = 1
}

const paint: Paint = (style, text) => styleText(style, text)

const STYLES = { 'would-allow': 'red', elsewhere: 'yellow', 'would-refuse': 'green', undecidable: 'dim' } as const
const WORDS = {
  'would-allow': 'refused, would be let in',
  elsewhere: 'let in, would go elsewhere',
  'would-refuse': 'let in, would be refused',
  undecidable: 'cannot be told',
} as const

function replayText(report: ReplayReport, isSettingChanged: boolean): string {
  const { groups, requests, unchanged, otherLines, garbage, disagreeing } = report
  const lines = [
    '',
    styleText('bold', `${requests} recorded requests: ${unchanged} come out as they did`),
    ...groups.map(groupText),
  ]
  if (otherLines > 0) lines.push(`${otherLines} lines are about something else.`)
  if (garbage > 0) lines.push(`${garbage} lines are not of an access log, and were left out.`)
  if (disagreeing > 0)
    lines.push(`${disagreeing} requests were let in that the old file refuses: was another policy in force?`)
  if (isSettingChanged)
    lines.push('Settings of the whole file differ too: callers are taken for whom the log says they were.')
  lines.push('Limits, and what a request carried besides its path, are not recorded and not replayed.')
  return `${lines.join('\n')}\n`
}

function groupText({ change, method, route, before, after, count, samples }: ReplayGroup): string {
  const head = `${styleText(STYLES[change], WORDS[change])}  ${count} x ${method} on ${route}`
  const detail = change === 'undecidable' ? `the log does not hold ${before}` : `${before}\n      -> ${after}`
  return `${head}\n         ${detail}\n         for example ${samples.join(', ')}`
}

const LINE_CHARS_MAX = 64 * 1024

/** Lines of a file of any size, in bounded memory; null for a line that is longer than any record. */
async function* linesOf(file: string): AsyncGenerator<string | null> {
  if (!existsSync(file)) throw usageError(`There is no log ${file}.`)
  let rest = ''
  let isOverlong = false
  for await (const chunk of createReadStream(file, 'utf8') as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      if (isOverlong) {
        yield null
        isOverlong = false
      } else if (line.trim() !== '') yield line.length > LINE_CHARS_MAX ? null : line
    }
    if (rest.length > LINE_CHARS_MAX) {
      rest = ''
      isOverlong = true
    }
  }
  if (isOverlong) yield null
  else if (rest.trim() !== '') yield rest
}
