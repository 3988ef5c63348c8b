/** What `npm run bench` and `npm run bench:profile` may be told. */

import { parseArgs } from 'node:util'

/** 1 KB answered; 1 KB sent and answered; 100 KB answered. */
export const KINDS = ['get', 'post', 'big'] as const
export type Kind = (typeof KINDS)[number]

export interface BenchOptions {
  readonly rounds: number
  readonly seconds: number
  readonly connections: number
  readonly kinds: readonly Kind[]
  /** Parts of the names of rows; empty: all. */
  readonly rows: readonly string[]
  /** Event streams and idle WebSockets at once; 0: neither is measured. */
  readonly streams: number
  /** Where the peers from npm are. */
  readonly peersDir: string | null
  /** Another working tree of this project, for one more row. */
  readonly besideDir: string | null
  /** Of Node, for that row. */
  readonly besideFlags: readonly string[]
}

/** Throws an error with a cure in its message. */
export function benchOptions(args: readonly string[], env: Readonly<Record<string, string | undefined>>): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      connections: { type: 'string', default: '64' },
      kinds: { type: 'string', default: KINDS.join(',') },
      rows: { type: 'string', default: '' },
      streams: { type: 'string', default: '1000' },
      beside: { type: 'string', default: '' },
      flags: { type: 'string', default: '' },
      peers: { type: 'string', default: env['POSTERN_BENCH_PEERS'] ?? '' },
    },
  })
  const listOf = (text: string): string[] => text.split(',').filter((part) => part !== '')
  const kinds = listOf(values.kinds).map((name) => {
    const kind = KINDS.find((each) => each === name)
    if (kind === undefined) throw new Error(`--kinds ${name}: expected some of ${KINDS.join(', ')}`)
    return kind
  })
  return {
    rounds: countOf('rounds', values.rounds, 1),
    seconds: countOf('seconds', values.seconds, 1),
    connections: countOf('connections', values.connections, 1),
    kinds,
    rows: listOf(values.rows),
    streams: countOf('streams', values.streams, 0),
    peersDir: values.peers === '' ? null : values.peers,
    besideDir: values.beside === '' ? null : values.beside,
    besideFlags: values.flags.split(' ').filter((flag) => flag !== ''),
  }
}

/** A run that leaves something out is printed, and does not take the place of one that does not. */
export function isWhole({ kinds, rows, streams, besideDir }: BenchOptions): boolean {
  return besideDir === null && kinds.length === KINDS.length && rows.length === 0 && streams > 0
}

function countOf(name: string, text: string, min: number): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < min) throw new Error(`--${name} ${text}: expected a number from ${min}`)
  return count
}

export const USAGE = `npm run bench -- [options]
  --peers DIR        where the peers from npm are, or POSTERN_BENCH_PEERS; without it they are not measured
  --beside TREE      another working tree of this project, with its node_modules, for one more row
  --flags '...'      of Node, for that row
  --rows A,B         only rows whose names hold one of these
  --kinds get,post,big
  --rounds 5  --seconds 3  --connections 64
  --streams 1000     event streams and WebSockets at once; 0 leaves them out
A run without --rows, --kinds and --streams 0 writes gateway/bench/RESULTS.md.`
