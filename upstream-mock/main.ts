/** The command: starts the upstream, says where it listens, and stops on Ctrl-C. */

import { appendFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startUpstream } from './server.ts'

const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '9000' },
    faults: { type: 'boolean', default: false },
    record: { type: 'string' },
  },
})
const recordPath = values.record

let connections = 0
const upstream = await startUpstream({
  host: values.host,
  port: Number(values.port),
  faults: values.faults,
  record: recordPath !== undefined,
  onRecording(bytes) {
    if (recordPath === undefined || bytes.length === 0) return
    connections += 1
    appendFileSync(
      recordPath,
      Buffer.concat([Buffer.from(`--- connection ${connections}, ${bytes.length} bytes\n`), bytes]),
    )
  },
})
process.stdout.write(`upstream-mock listens on ${upstream.url}${values.faults ? ' with /faults/*' : ''}\n`)

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void upstream.close())
