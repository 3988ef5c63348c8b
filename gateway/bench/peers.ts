/**
 * `npm run bench`: CPU per request of Postern and of what else stands in such a place, in interleaved rounds of one run.
 * It installs nothing: a peer that is missing is named, with how to get it. `-- --help` is the list of options.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { type BenchOptions, benchOptions, isWhole, type Kind, USAGE } from './peers/arguments.ts'
import { isInstalled, type Lab, openLab, PEERS_OF_NPM } from './peers/lab.ts'
import { resultsDocument, type Sample, streamTableOf, tableOf } from './peers/results.ts'
import { BESIDE, ROWS, type Row, STREAM_ROWS } from './peers/rows.ts'
import { measureStreams, type StreamMeasure, startStreamUpstream } from './peers/streams.ts'
import { runWrk } from './peers/wrk.ts'

const RESULTS = join(import.meta.dirname, 'RESULTS.md')
const ROOT = join(import.meta.dirname, '..', '..')
/** Code is compiled for speed only once it has run often. */
const WARM_REQUESTS = 150_000
const WARM_RUNS_MAX = 12
const WARM_SECONDS = 2

if (process.argv.includes('--help')) print(USAGE)
else await bench(benchOptions(process.argv.slice(2), process.env))

async function bench(options: BenchOptions): Promise<void> {
  const lack = lackOfMachine()
  if (lack !== null) throw new Error(lack)
  // So that what this process does as client and upstream of streams is not done on the proxy's core.
  spawnSync('taskset', ['-a', '-cp', '0', String(process.pid)])
  const lab = await openLab(options)
  const missing = new Map<string, string>()
  try {
    await need(lab, 'upstream')
    const rows: Row[] = []
    for (const row of wantedRows(options)) {
      const lacks = await Promise.all([row.server, ...row.also].map((server) => lab.start(server)))
      const lacked = lacks.find((each) => each !== null)
      if (lacked === undefined) rows.push(row)
      else missing.set(row.name, lacked!)
    }
    for (const [name, why] of missing) print(`not measured: ${name}: ${why}`)
    const streams = await streamsOf(lab, options, new Set(rows.map(({ server }) => server)))
    const samples = await roundsOf(lab, options, rows)
    print(`\n${tableOf(options.kinds, samples, missing)}\n\n${streamTableOf(streams)}`)
    if (!isWhole(options)) return
    const before = existsSync(RESULTS) ? readFileSync(RESULTS, 'utf8') : ''
    const run = { ...circumstances(options), samples, streams, missing }
    const written = resultsDocument(before, run, options.kinds)
    // Folders of this machine tell nobody anything.
    writeFileSync(RESULTS, written.replaceAll(options.peersDir ?? ROOT, 'DIR').replaceAll(lab.folder, 'LAB'))
    print(`\nwritten to ${RESULTS}`)
  } finally {
    await lab.close()
  }
}

function wantedRows({ rows, besideDir }: BenchOptions): readonly Row[] {
  const isWanted = ({ name }: Row) => rows.some((part) => name.toLowerCase().includes(part.toLowerCase()))
  const wanted = rows.length === 0 ? ROWS : ROWS.filter(isWanted)
  return besideDir === null ? wanted : [...wanted, BESIDE]
}

async function need(lab: Lab, server: Row['server']): Promise<void> {
  const lack = await lab.start(server)
  if (lack !== null) throw new Error(`nothing can be measured without ${server}: ${lack}`)
}

async function streamsOf(
  lab: Lab,
  { streams }: BenchOptions,
  servers: ReadonlySet<string>,
): Promise<ReadonlyMap<string, StreamMeasure>> {
  const measured = new Map<string, StreamMeasure>()
  if (streams === 0) return measured
  const upstream = await startStreamUpstream(lab.ports.streams)
  for (const row of STREAM_ROWS) {
    if (!servers.has(row.server)) continue
    const pids = lab.pidsOf(row)
    measured.set(row.name, await measureStreams(pids, lab.ports[row.port], lab.credentials.tokens.ES256, streams))
    print(`streams, ${row.name}: done`)
  }
  await upstream.close()
  return measured
}

async function roundsOf(lab: Lab, options: BenchOptions, rows: readonly Row[]) {
  const { connections, kinds, rounds, seconds } = options
  const samples = new Map<string, Partial<Record<Kind, Sample[]>>>()
  const once = async (row: Row, kind: Kind, lasting: number): Promise<Sample> => {
    const script = await lab.scriptOf(row, kind)
    const beforeUs = lab.cpuUsOf(row)
    const load = await runWrk(lab.ports[row.port], script, lasting, connections).catch((error: unknown) => {
      throw new Error(`${row.name}, ${kind}`, { cause: error })
    })
    return { ...load, cpuUs: (lab.cpuUsOf(row) - beforeUs) / load.requests }
  }
  for (const row of rows) {
    for (const kind of kinds) {
      let requests = 0
      for (let runs = 0; runs < WARM_RUNS_MAX / kinds.length && requests < WARM_REQUESTS / kinds.length; runs++) {
        requests += (await once(row, kind, WARM_SECONDS)).requests
      }
    }
  }
  for (let round = 1; round <= rounds; round++) {
    for (const kind of kinds) {
      for (const row of rows) {
        const sample = await once(row, kind, seconds)
        const ofRow = samples.get(row.name) ?? {}
        ofRow[kind] = [...(ofRow[kind] ?? []), sample]
        samples.set(row.name, ofRow)
        print(`${round}/${rounds} ${kind} ${row.name}: ${sample.cpuUs.toFixed(1)} us, ${sample.perSecond.toFixed(0)}/s`)
      }
    }
  }
  return samples
}

/** What is needed before any row is; null when it is there. */
function lackOfMachine(): string | null {
  if (process.platform !== 'linux') return 'CPU is read from /proc: run this on Linux.'
  if (cpus().length < 2) return 'The proxy needs a core of its own: run this on two or more.'
  if (!isInstalled('taskset')) return 'taskset is not installed: `apt-get install util-linux`.'
  return isInstalled('wrk') ? null : 'wrk is not installed: `apt-get install wrk`.'
}

function circumstances(options: BenchOptions) {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout.trim()
  const isChanged = git('status', '--porcelain') !== ''
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: `${git('rev-parse', '--short', 'HEAD')}${isChanged ? ', with changes' : ''}`,
    machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Linux ${release()}`,
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    versions: [`Node ${process.version}`, ...versions(options.peersDir)],
  }
}

function versions(peersDir: string | null): string[] {
  const programs = [
    ['nginx', '-v'],
    ['haproxy', '-v'],
    ['caddy', 'version'],
    ['wrk', '-v'],
  ] as const
  const found = programs.flatMap(([name, argument]) => {
    const { stdout, stderr } = spawnSync(name, [argument], { encoding: 'utf8' })
    const version = /\d+\.\d+[\w.+-]*/.exec(`${stdout}${stderr}`)
    return version === null ? [] : [`${name} ${version[0]}`]
  })
  if (peersDir === null) return found
  for (const name of PEERS_OF_NPM) {
    const file = join(peersDir, 'node_modules', name, 'package.json')
    if (!existsSync(file)) continue
    found.push(`${name} ${(JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version}`)
  }
  return found
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
