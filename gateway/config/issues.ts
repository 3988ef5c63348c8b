/** What is wrong with a policy file: where, what was expected, and the cure. Printed with the offending line, never with a secret. */

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

/** Where each key and value of a policy stands in its file. */
export interface Places {
  readonly file: string
  readonly lines: readonly string[]
  /** By `pathKey`: the value's place, and for an entry of a map its key's. */
  readonly at: ReadonlyMap<string, { readonly key: Place | null; readonly value: Place }>
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

/** An issue at a path, or at the nearest place above it that the file has. */
export function issueAt(places: Places | undefined, path: Path, trouble: Trouble): Issue {
  const { message, cure } = trouble
  const shown = path.join('.')
  const place = places === undefined ? null : placeOf(places, path, trouble.isAboutKey === true)
  if (places === undefined || place === null) {
    return { file: places?.file ?? 'policy', line: 0, column: 0, length: 0, path: shown, message, cure, source: '' }
  }
  const line = places.lines[place.line - 1] ?? ''
  const source = trouble.isSecret === true ? `${mask(line.slice(0, place.column - 1))}***` : mask(line)
  return { file: places.file, ...place, path: shown, message, cure, source }
}

/** `gateway.yaml:12` for the key at a path. */
export function placeName(places: Places | undefined, path: Path): string {
  const place = places === undefined ? null : placeOf(places, path, true)
  if (places === undefined || place === null) return 'policy'
  return `${places.file.slice(places.file.lastIndexOf('/') + 1)}:${place.line}`
}

function placeOf(places: Places, path: Path, isAboutKey: boolean): Place | null {
  for (let length = path.length; length >= 0; length -= 1) {
    const found = places.at.get(pathKey(path.slice(0, length)))
    if (found === undefined) continue
    return (isAboutKey || length < path.length) && found.key !== null ? found.key : found.value
  }
  return null
}

/** Every issue in the order of the file, ready for a terminal. */
export function formatIssues(issues: readonly Issue[]): string {
  const sorted = issues.toSorted((a, b) => a.line - b.line || a.column - b.column)
  return sorted.map(formatIssue).join('\n\n')
}

function formatIssue({ file, line, column, length, path, message, cure, source }: Issue): string {
  const head =
    line === 0 ? `${file}  ${path === '' ? '' : `${path}: `}${message}` : `${file}:${line}:${column}  ${message}`
  const number = String(line)
  const gutter = ' '.repeat(number.length)
  const shown = source.length > SOURCE_CHARS_MAX ? `${source.slice(0, SOURCE_CHARS_MAX)}...` : source
  const isCaretShown = source !== '' && column <= SOURCE_CHARS_MAX
  const caret = '^'.repeat(Math.max(1, Math.min(length, source.length - column + 1)))
  const lines = [head]
  if (source !== '') lines.push(`  ${number} | ${shown}`)
  if (isCaretShown) lines.push(`  ${gutter} | ${' '.repeat(column - 1)}${caret}`)
  if (cure !== '') lines.push(`  cure: ${cure.replaceAll('\n', '\n  ')}`)
  return lines.join('\n')
}

const SOURCE_CHARS_MAX = 160

/** A line as it may be printed: passwords in URLs and literals beside a secret's name are hidden, references are not. */
export function mask(line: string): string {
  return line.replace(URL_PASSWORD, hide).replace(NAMED_SECRET, hide)
}

const URL_PASSWORD = /(?<=:\/\/[^\s/:@]*:)(?!\$\{)[^\s/@]+(?=@)/g
const NAMED_SECRET = /(?<=(?:secret|password)s?["']?\s*:\s*["'[]*)(?!\s|["'[]|\$\{)[^\s,}\]#]+/gi

/** As many characters as before, so that the caret still points where it did. */
function hide(secret: string): string {
  return '*'.repeat(secret.length)
}

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
