/** What every fuzzer needs: chance that a seed repeats, mutations of bytes, and the smallest input that still shows a finding. */

export interface FuzzOptions {
  /** Of the first case; each one after it has the next number. */
  readonly seed: number
  readonly seconds: number
  print(line: string): void
}

/** Resolves with what was found, each ready to be printed with its seed and bytes. */
export type Fuzz = (options: FuzzOptions) => Promise<readonly string[]>

export interface Chance {
  /** From 0 up to but not including `below`. */
  number(below: number): number
  /** True once in so many times. */
  isOnceIn(times: number): boolean
  of<T>(choices: readonly T[]): T
}

/** Mulberry32: small, and good enough to choose bytes by. */
export function chance(seed: number): Chance {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0
  const number = (below: number): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below)
  }
  return { number, isOnceIn: (times) => number(times) === 0, of: (choices) => choices[number(choices.length)]! }
}

/** Bytes that mean something to a parser of HTTP. */
const TELLING = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '"',
  '\x0b',
  '\x7f',
  '\xff',
  '0',
  'f',
  '%',
  '/',
  '=',
]
const LONGER = ['\r\n\r\n', '0\r\n\r\n', 'Content-Length: 4\r\n', 'Transfer-Encoding: chunked\r\n', ' HTTP/1.1\r\n']

/** One small change somewhere in `bytes`. */
export function mutate(by: Chance, bytes: string): string {
  const at = by.number(bytes.length + 1)
  const end = Math.min(bytes.length, at + 1 + by.number(by.of([1, 4, 40])))
  const [before, piece, after] = [bytes.slice(0, at), bytes.slice(at, end), bytes.slice(end)]
  switch (by.number(9)) {
    case 0:
      return before + by.of(TELLING) + bytes.slice(at)
    case 1:
      return before + by.of(TELLING) + bytes.slice(at + 1)
    case 2:
      return before + by.of(LONGER) + bytes.slice(at)
    case 3:
      return before + after
    case 4:
      return before + piece + piece + after
    case 5:
      return before
    case 6:
      return bytes.slice(at)
    case 7:
      return before + String.fromCharCode(bytes.charCodeAt(at) ^ (1 << by.number(8))) + bytes.slice(at + 1)
    default: {
      const line = bytes.indexOf('\r\n', at)
      return line < 0
        ? before
        : bytes.slice(0, line) + by.of(['\n', '\r', '\r\n ', ' \r\n', '\r\r\n']) + bytes.slice(line + 2)
    }
  }
}

/** Where a sender may stop for a moment: ascending, within the text. */
export function splits(by: Chance, length: number): readonly number[] {
  const count = by.isOnceIn(3) ? by.number(6) : 0
  return Array.from({ length: count }, () => by.number(length)).sort((left, right) => left - right)
}

const SHRINK_MS = 15_000

/** Leaves out whatever is not needed for `isFound` to stay true. */
export async function shrink(text: string, isFound: (text: string) => Promise<boolean>): Promise<string> {
  let least = text
  const endsAtMs = performance.now() + SHRINK_MS
  for (let size = Math.ceil(text.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < least.length && performance.now() < endsAtMs; ) {
      const shorter = least.slice(0, at) + least.slice(at + size)
      if (await isFound(shorter)) least = shorter
      else at += size
    }
  }
  return least
}

/** Bytes as a string literal, one line of the wire each. */
export function readable(bytes: string): string {
  return bytes
    .split(/(?<=\n)/)
    .map((line) => JSON.stringify(line).replace(/[\x7f-\xff]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`))
    .join(' +\n')
}
