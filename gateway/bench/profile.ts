/**
 * `npm run bench:profile`: where the time and the memory of a proxied request go. One gateway under load, looked at by the
 * instruments of V8: self time by file and by function, the collector's share, and bytes taken per request.
 */

import { parseArgs } from 'node:util'
import { KINDS } from './peers/arguments.ts'
import { openInspector } from './peers/inspector.ts'
import { openLab } from './peers/lab.ts'
import { allocationsOf, type Share, type Summary, timesOf } from './peers/profile.ts'
import { ROWS } from './peers/rows.ts'
import { runWrk } from './peers/wrk.ts'

const FUNCTIONS_SHOWN = 40
const FILES_SHOWN = 20
const CONNECTIONS = 64
/** Code is compiled for speed only once it has run often. */
const WARM_REQUESTS = 45_000

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    kind: { type: 'string', default: 'get' },
    row: { type: 'string', default: 'token ES256' },
  },
})
const seconds = Number(values.seconds)
const kind = KINDS.find((each) => each === values.kind)
const row = ROWS.find(({ name }) => name.startsWith('Postern') && name.includes(values.row))
if (kind === undefined) throw new Error(`--kind ${values.kind}: expected one of ${KINDS.join(', ')}`)
if (row === undefined) throw new Error(`--row ${values.row}: no row of Postern has this in its name`)

const lab = await openLab({ peersDir: null, isInspected: true })
try {
  for (const server of ['upstream', row.server] as const) {
    const lack = await lab.start(server)
    if (lack !== null) throw new Error(`${server}: ${lack}`)
  }
  const script = await lab.scriptOf(row, kind)
  let requests = 0
  const load = async () => {
    requests = (await runWrk(lab.ports[row.port], script, seconds, CONNECTIONS)).requests
  }
  for (let warm = 0; warm < WARM_REQUESTS; warm += requests) await load()
  const beforeUs = lab.cpuUsOf(row)
  await load()
  print(
    `${row.name}, ${kind}, Node ${process.version}: ${((lab.cpuUsOf(row) - beforeUs) / requests).toFixed(1)} us of CPU a request`,
  )
  const inspector = await openInspector(lab.ports.inspector)
  const times = timesOf(await inspector.profileCpu(load))
  const timesRequests = requests
  const memory = allocationsOf(await inspector.profileMemory(load))
  inspector.close()
  show('main thread', times, (amount) => `${((amount / times.total) * 100).toFixed(1)}%`)
  print(`\n${(times.total / timesRequests).toFixed(1)} us a request in all, while it was profiled`)
  show('memory taken', memory, (amount) => `${(amount / requests).toFixed(0)} B`)
  print(`\n${(memory.total / requests / 1024).toFixed(1)} KiB a request in all`)
} finally {
  await lab.close()
}

function show(heading: string, { byFile, byFunction }: Summary, textOf: (amount: number) => string): void {
  const table = (column: string, shares: readonly Share[]) => {
    print(`\n| ${heading}, by ${column} | |\n|---|---:|`)
    for (const { name, amount } of shares) print(`| ${name} | ${textOf(amount)} |`)
  }
  table('file', byFile.slice(0, FILES_SHOWN))
  table('function', byFunction.slice(0, FUNCTIONS_SHOWN))
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
