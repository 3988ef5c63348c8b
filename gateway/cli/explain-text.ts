/** An explanation, or a recorded decision, as a person reads it in a terminal. */

import { styleText } from 'node:util'
import type { Finding, RecordedDecision } from '../model.ts'
import type { Explanation } from '../policy/explain-request.ts'
import { REASON_WORDS } from '../policy/reason-words.ts'
import { foundWords } from '../policy/run-tests.ts'

export function explanationText(explained: Explanation): string {
  const { verdict, route, findings, upstream, why, toPass, notes } = explained
  const colour = verdict === 'refuse' ? 'red' : 'green'
  const head = [styleText(colour, foundWords(explained)), ...(route === null ? [] : [route.pattern, route.place])]
  const lines = [head.join('  '), `  ${clean(why)}`, ...findingLines(findings)]
  if (toPass.length > 0) lines.push(`to pass: ${clean(toPass.join(', then '))}`)
  for (const note of notes) lines.push(`note: ${clean(note)}`)
  if (upstream !== null) {
    lines.push(`the upstream ${upstream.id} gets: ${upstream.origin}${clean(upstream.path)}`)
    for (const [name, value] of upstream.headers) lines.push(`  ${name}: ${clean(value)}`)
  }
  return `${lines.join('\n')}\n`
}

export function recordedText(decision: RecordedDecision): string {
  const { status, reason, route, place, method, path, at, subject, credential, policy, findings } = decision
  const head = [
    styleText('red', `${status} ${reason ?? ''}`.trim()),
    ...(route === null ? [] : [clean(route), clean(place ?? '')]),
  ]
  const who = subject === null ? 'nobody' : `${subject} (${credential})`
  const known = REASON_WORDS[reason as keyof typeof REASON_WORDS]
  const lines = [
    head.join('  '),
    clean(`  ${method} ${path} at ${at}, by ${who}, under policy ${policy}`),
    ...(known === undefined ? [] : [`  ${known.why}`]),
    ...findingLines(findings),
    ...(known?.cure === undefined ? [] : [`to pass: ${known.cure}`]),
  ]
  return `${lines.join('\n')}\n`
}

const VERDICTS: Readonly<Record<Finding['verdict'], string>> = {
  met: 'met',
  unmet: 'refused',
  unknown: 'unknown, so refused',
  skipped: '-',
}

/** Of one among several alternatives, or of what `not` keeps out: it alone refuses nobody. */
const PART_VERDICTS: Readonly<Record<Finding['verdict'], string>> = {
  ...VERDICTS,
  unmet: 'not met',
  unknown: 'unknown',
}

function findingLines(findings: readonly Finding[]): readonly string[] {
  const rows = findings.flatMap((finding) => rowsOf(finding, 1))
  const widths = [0, 1, 2].map((at) => Math.max(0, ...rows.map((row) => row[at]!.length)))
  return rows.map(([key, needed, had, verdict]) => {
    const cells = [key.padEnd(widths[0]!), needed.padEnd(widths[1]!), had.padEnd(widths[2]!)]
    return `${cells.join('  ')}  ${coloured(verdict)}`
  })
}

function coloured(verdict: string): string {
  if (verdict === VERDICTS.met) return styleText('green', verdict)
  const isRefused = verdict === VERDICTS.unmet || verdict === VERDICTS.unknown
  return isRefused ? styleText('red', verdict) : verdict
}

function rowsOf(finding: Finding, depth: number): readonly (readonly [string, string, string, string])[] {
  const { key, needed, had, verdict, of } = finding
  const shown = had === '' ? '' : `has ${had}`
  const words = depth === 1 ? VERDICTS : PART_VERDICTS
  const row = [`${'  '.repeat(depth)}${key}`, clean(`needs ${needed}`), clean(shown), words[verdict]] as const
  return [row, ...of.flatMap((one) => rowsOf(one, depth + 1))]
}

/** What came from outside may hold what moves a terminal. */
export function clean(text: string): string {
  return text.replace(CONTROLS, '�')
}

const CONTROLS = /[\x00-\x1f\x7f-\x9f]/g
