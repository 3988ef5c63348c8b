/** The results as Markdown: one run is one section, the newest first, and what was written by hand at the end stays. */

import { percentile } from '../../test/fleet/measure.ts'
import type { Kind } from './arguments.ts'
import { BASE, BESIDE, ROWS, STREAM_ROWS } from './rows.ts'
import type { StreamMeasure } from './streams.ts'
import type { Load } from './wrk.ts'

export interface Sample extends Load {
  readonly cpuUs: number
}

/** Samples of one row and kind, one of each round. */
export type Samples = ReadonlyMap<string, Readonly<Partial<Record<Kind, readonly Sample[]>>>>

export interface Run {
  readonly date: string
  readonly commit: string
  readonly machine: string
  readonly command: string
  readonly versions: readonly string[]
  readonly samples: Samples
  readonly streams: ReadonlyMap<string, StreamMeasure>
  /** By name of the row, why it was not measured. */
  readonly missing: ReadonlyMap<string, string>
}

const HEADINGS: Readonly<Record<Kind, string>> = { get: 'GET 1 KB', post: 'POST 1 KB', big: 'GET 100 KB' }
export const RUNS_KEPT = 3
export const NOTES = '## What was tried, and what did not help'
const RUN = '## Run of '
const PREFACE = `# What a request costs

Written by \`npm run bench\`. One proxy at a time is at work, on core 1; wrk and the upstream are on core 0. CPU is user and system time of
the proxy's whole process tree, divided by requests. The rows take turns in each round; \`x nginx\` is the median of what a row costs beside
nginx as a plain proxy in the same round, and \`best\` the least CPU of any round. A noisy machine moves requests per second a lot, CPU
somewhat, and the ratio hardly. Every row but \`direct\` and the plain proxy checks a credential of 256 in rotation (32 sessions for the cookie) and
sends the upstream who calls; Postern also finds a route, authorizes by role, limits by address, sends a signed assertion, writes an access
log to a file and counts metrics.
`

export function tableOf(kinds: readonly Kind[], samples: Samples, missing: ReadonlyMap<string, string>): string {
  const of = (kind: Kind) => [`${HEADINGS[kind]}: CPU us`, 'best', 'x nginx']
  const lines = [line(['row', ...kinds.flatMap(of), 'GET req/s', 'p50 ms', 'p99 ms'])]
  lines.push(
    line(
      lines[0]!
        .split('|')
        .slice(1, -1)
        .map((_, at) => (at === 0 ? '---' : '---:')),
    ),
  )
  for (const { name } of [...ROWS, BESIDE]) {
    const found = samples.get(name)
    if (found === undefined) {
      if (missing.has(name)) lines.push(line([name, ...kinds.flatMap(() => ['', '', '']), '', '', '']))
      continue
    }
    const cells = kinds.flatMap((kind) => costOf(found[kind] ?? [], samples.get(BASE)?.[kind] ?? []))
    const get = found[kinds[0]!] ?? []
    const middle = (pick: (sample: Sample) => number, digits: number) => median(get.map(pick)).toFixed(digits)
    lines.push(
      line([
        name,
        ...cells,
        middle((each) => each.perSecond, 0),
        middle((each) => each.p50Ms, 1),
        middle((each) => each.p99Ms, 1),
      ]),
    )
  }
  return lines.join('\n')
}

function costOf(own: readonly Sample[], base: readonly Sample[]): readonly string[] {
  if (own.length === 0) return ['', '', '']
  const costs = own.map(({ cpuUs }) => cpuUs)
  const ratios = costs.flatMap((cost, round) => (base[round] === undefined ? [] : [cost / base[round].cpuUs]))
  const ratio = ratios.length === 0 ? '' : median(ratios).toFixed(2)
  return [median(costs).toFixed(0), Math.min(...costs).toFixed(0), ratio]
}

export function streamTableOf(streams: ReadonlyMap<string, StreamMeasure>): string {
  const lines = [line(['streams', 'CPU us an event', 'KiB an event stream', 'KiB an idle WebSocket'])]
  lines.push(line(['---', '---:', '---:', '---:']))
  for (const { name } of STREAM_ROWS) {
    const found = streams.get(name)
    if (found === undefined) continue
    const kibibytes = [found.bytesPerStream, found.bytesPerWebSocket].map((bytes) => (bytes / 1024).toFixed(1))
    lines.push(line([name, found.cpuUsPerEvent.toFixed(1), ...kibibytes]))
  }
  return lines.join('\n')
}

/** `before` is the document as it was, or empty. */
export function resultsDocument(before: string, run: Run, kinds: readonly Kind[]): string {
  const [measured = '', notes = ''] = before.split(NOTES)
  const earlier = measured
    .split(RUN)
    .slice(1)
    .map((section) => RUN + section.trimEnd())
  const section = [
    `${RUN}${run.date}`,
    '',
    `- machine: ${run.machine}`,
    `- commit: ${run.commit}`,
    `- versions: ${run.versions.join('; ')}`,
    `- command: \`${run.command}\``,
    ...[...run.missing].map(([name, why]) => `- not measured: ${name}: ${why}`),
    '',
    tableOf(kinds, run.samples, run.missing),
    '',
    streamTableOf(run.streams),
  ].join('\n')
  const sections = [section, ...earlier].slice(0, RUNS_KEPT)
  return `${[PREFACE.trimEnd(), ...sections, `${NOTES}${notes.trimEnd()}`].join('\n\n')}\n`
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}
