/** A diff as a person reads it: the worst first, each row with its patterns and where they stand. */

import type { DiffPlace, DiffRow, PolicyDiff } from './diff.ts'

/** Marks a part of the text for the terminal; the text itself where nothing is coloured. */
export type Paint = (style: 'red' | 'yellow' | 'green' | 'dim' | 'bold', text: string) => string

const PATTERNS_MAX = 8
const STYLE = { opened: 'red', changed: 'yellow', closed: 'green' } as const

export function diffText({ rows }: PolicyDiff, paint: Paint): string {
  if (rows.length === 0) return 'no difference: every request comes out as it did\n'
  const counts = (['opened', 'changed', 'closed'] as const)
    .map((change) => [change, rows.filter((row) => row.change === change).length] as const)
    .filter(([, count]) => count > 0)
    .map(([change, count]) => `${count} ${change}`)
  return `${rows.map((row) => rowText(row, paint)).join('\n')}\n${counts.join(', ')}\n`
}

function rowText(row: DiffRow, paint: Paint): string {
  const change = paint(STYLE[row.change], row.change.padEnd(7))
  const where = row.patterns.length === 0 ? 'every request' : row.patterns[0]!.pattern
  const head = `${change}  ${paint('bold', where)}  ${row.methods.join(', ')}: ${row.what}`
  const rest = row.patterns.slice(1, PATTERNS_MAX).map(({ pattern }) => `         ${pattern}`)
  const left = row.patterns.length - PATTERNS_MAX
  if (left > 0) rest.push(`         and ${left} more`)
  const places = row.patterns.length === 0 ? '' : paint('dim', `   ${placeWords(row.patterns[0]!)}`)
  return `${[`${head}${places}`, ...rest, `         ${row.before || 'none'}`, `      -> ${row.after || 'none'}`].join('\n')}\n`
}

function placeWords({ before, after }: DiffPlace): string {
  if (before === null) return `only in the new file, ${after}`
  if (after === null) return `only in the old file, ${before}`
  return before === after ? before : `${before} -> ${after}`
}
