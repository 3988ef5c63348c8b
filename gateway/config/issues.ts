/** What is wrong with a policy file: where, what was expected, and the cure. Printed with the offending line, never with a secret. */

import { mask } from './mask.ts'

export type Path = readonly (string | number)[]

export interface Issue {
  readonly file: string
  /** Counted from 1; 0 when the policy did not come from a file. */
  readonly line: number
  readonly column: number
  /** Characters to underline. */
  readonly length: number
  /** Where in the policy, as `routes./api/**.access`. */
  readonly path: string
  readonly message: string
  readonly cure: string
  /** The offending line. */
  readonly source: string
}

export interface Place {
  readonly line: number
  readonly column: number
  readonly length: number
}

/** One file of a policy. */
export interface Source {
  /** As it is printed in messages. */
  readonly file: string
  /** As it names a place: `gateway.yaml`, or an included file relative to that one's folder. */
  readonly name: string
  readonly lines: readonly string[]
}

export interface Placed {
  /** Of an entry of a map. */
  readonly key: Place | null
  readonly value: Place
  readonly source: Source
}

/** Where each key and value of a policy stands, by `pathKey`. The file is the one that includes the others. */
export interface Places extends Source {
  readonly at: ReadonlyMap<string, Placed>
}

export interface Trouble {
  readonly message: string
  readonly cure: string
  /** Underline the key and not the value. */
  readonly isAboutKey?: boolean
  /** The value is a secret: the line is printed without it. */
  readonly isSecret?: boolean
}

export function pathKey(path: Path): string {
  return JSON.stringify(path)
}

/** An issue at a path, or at the nearest place above it that a file has. */
export function issueAt(places: Places | undefined, path: Path, trouble: Trouble): Issue {
  const { message, cure } = trouble
  const shown = path.join('.')
  const found = places === undefined ? null : placeOf(places, path, trouble.isAboutKey === true)
  if (found === null) {
    return { file: places?.file ?? 'policy', line: 0, column: 0, length: 0, path: shown, message, cure, source: '' }
  }
  const { place, source } = found
  const line = source.lines[place.line - 1] ?? ''
  const visible = trouble.isSecret === true ? `${mask(line.slice(0, place.column - 1))}***` : mask(line)
  return { file: source.file, ...place, path: shown, message, cure, source: visible }
}

/** `gateway.yaml:12` or `routes/books.yaml:3`, for the key at a path. */
export function placeName(places: Places | undefined, path: Path): string {
  const found = places === undefined ? null : placeOf(places, path, true)
  return found === null ? 'policy' : `${found.source.name}:${found.place.line}`
}

function placeOf(places: Places, path: Path, isAboutKey: boolean): { place: Place; source: Source } | null {
  for (let length = path.length; length >= 0; length -= 1) {
    const found = places.at.get(pathKey(path.slice(0, length)))
    if (found === undefined) continue
    const { key, value, source } = found
    return { place: (isAboutKey || length < path.length) && key !== null ? key : value, source }
  }
  return null
}

/** What a part of a message is, for whoever gives it a colour. */
export type Style = 'place' | 'error' | 'warning' | 'caret' | 'quiet'
export type Paint = (style: Style, text: string) => string

const PLAIN: Paint = (_, text) => text

/** Every issue in the order of its file, ready for a terminal. */
export function formatIssues(issues: readonly Issue[], paint: Paint = PLAIN, severity?: 'error' | 'warning'): string {
  // A mistake is mended where it stands; warnings that are alike most often have one cause.
  const groups = severity === 'warning' ? alike(inOrder(issues)) : inOrder(issues).map((issue) => [issue])
  const shown = groups.slice(0, ISSUES_SHOWN_MAX).map(([first, ...rest]) => {
    return [formatIssue(first!, paint, severity), ...(rest.length > 0 ? [moreLike(rest)] : [])].join('\n')
  })
  const more = groups.length - shown.length
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join('\n\n')
}

/** Nobody reads on; one slip in a template makes a thousand of them. */
const ISSUES_SHOWN_MAX = 100

function alike(issues: readonly Issue[]): readonly (readonly Issue[])[] {
  const groups = new Map<string, Issue[]>()
  for (const issue of issues) {
    const key = pathKey([issue.file, issue.message, issue.cure])
    const known = groups.get(key)
    if (known === undefined) groups.set(key, [issue])
    else known.push(issue)
  }
  return [...groups.values()]
}

const LINES_SHOWN_MAX = 10

function moreLike(issues: readonly Issue[]): string {
  const lines = [...new Set(issues.map(({ line }) => line))]
  const shown = lines.slice(0, LINES_SHOWN_MAX).join(', ')
  const more = lines.length > LINES_SHOWN_MAX ? ', ...' : ''
  return `  and ${issues.length} more like it: line${lines.length === 1 ? '' : 's'} ${shown}${more}`
}

export function inOrder(issues: readonly Issue[]): Issue[] {
  const fileAt = new Map<string, number>()
  for (const { file } of issues) if (!fileAt.has(file)) fileAt.set(file, fileAt.size)
  return issues.toSorted((a, b) => fileAt.get(a.file)! - fileAt.get(b.file)! || a.line - b.line || a.column - b.column)
}

function formatIssue(issue: Issue, paint: Paint, severity: 'error' | 'warning' = 'error'): string {
  const { file, line, column, length, path, message, cure, source } = issue
  const place = line === 0 ? file : `${file}:${line}:${column}`
  const where = line === 0 && path !== '' ? `${path}: ` : ''
  const label = severity === 'warning' ? `${paint('warning', 'warning:')} ` : ''
  const number = String(line)
  const gutter = ' '.repeat(number.length)
  // Of a long line, the part that the mistake is in.
  const from = column + length > SOURCE_CHARS_MAX ? Math.max(0, column - 1 - CHARS_BEFORE) : 0
  const head = from > 0 ? '...' : ''
  const tail = source.length > from + SOURCE_CHARS_MAX ? '...' : ''
  const shown = clean(`${head}${source.slice(from, from + SOURCE_CHARS_MAX)}${tail}`)
  const at = column - 1 - from + head.length
  const caret = '^'.repeat(Math.max(1, Math.min(length, shown.length - tail.length - at)))
  const lines = [`${paint('place', place)}  ${label}${paint(severity, clean(`${where}${message}`))}`]
  if (source !== '') lines.push(`${paint('quiet', `  ${number} |`)} ${shown}`)
  if (source !== '') lines.push(`${paint('quiet', `  ${gutter} |`)} ${' '.repeat(at)}${paint('caret', caret)}`)
  if (cure !== '') lines.push(`  ${paint('quiet', 'cure:')} ${clean(cure).replaceAll('\n', '\n  ')}`)
  return lines.join('\n')
}

const SOURCE_CHARS_MAX = 160
const CHARS_BEFORE = 80

/** What moves a terminal is shown as a sign: a policy may be somebody else's proposal. */
function clean(text: string): string {
  return text.replace(CONTROLS, '�')
}

const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g

/** The known word nearest to a misspelt one, or null when none is near. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

/** Levenshtein's distance with transpositions, given up at `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (a.length > 64 || Math.abs(a.length - b.length) >= limit) return limit
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, at) => at)]
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      row[j] = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j]!, before[j - 2]! + 1)
    }
    ;[before, last] = [last, row]
  }
  return last[b.length]!
}
