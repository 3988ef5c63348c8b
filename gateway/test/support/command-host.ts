/** The process behind `command`: for each line it is sent, it sets the stage that a new process would find, and runs main.ts anew. */

import fs from 'node:fs'
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import type { Asked } from './command.ts'

const MAIN = new URL('../../cli/main.ts', import.meta.url)

/** What the command prints, by descriptor. */
const printed = { 1: '', 2: '' }

let last: Promise<void> = Promise.resolve()
process.on('message', (question: Asked) => {
  last = last.then(() => answer(question))
})
process.on('disconnect', () => process.exit())

async function answer({ id, args, cwd, env, input }: Asked): Promise<void> {
  process.argv.splice(1, Number.POSITIVE_INFINITY, MAIN.pathname, ...args)
  for (const name of Object.keys(process.env)) delete process.env[name]
  for (const [name, value] of Object.entries(env)) if (value !== undefined) process.env[name] = value
  process.chdir(cwd)
  process.exitCode = undefined
  Object.defineProperty(process, 'stdin', { configurable: true, value: Readable.from([Buffer.from(input)]) })
  Object.assign(printed, { 1: '', 2: '' })
  // Another address is another module: what the command imports stays loaded, the command itself begins anew.
  await import(`${MAIN.href}?${id}`)
  await setImmediate()
  process.emit('exit', 0) // what the journal still holds is written then
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error')
  process.send!({ id, status: Number(process.exitCode ?? 0), stdout: printed[1], stderr: printed[2] })
}

/** Takes what is written to a descriptor in place of it, and says that it was written. */
function take(fd: 1 | 2, data: unknown, more: readonly unknown[]): number {
  const bytes = typeof data === 'string' ? Buffer.from(data) : Buffer.from(data as Uint8Array)
  printed[fd] += bytes.toString()
  const done = more.at(-1)
  if (typeof done === 'function') process.nextTick(done as () => void, null, bytes.byteLength)
  return bytes.byteLength
}

for (const [fd, stream] of [
  [1, process.stdout],
  [2, process.stderr],
] as const) {
  stream.write = (data: unknown, ...more: readonly unknown[]): boolean => {
    take(fd, data, more)
    return true
  }
}
// The journal writes past the streams.
for (const name of ['write', 'writeSync'] as const) {
  const write = fs[name] as (fd: number, data: unknown, ...more: readonly unknown[]) => unknown
  Object.assign(fs, {
    [name]: (fd: number, data: unknown, ...more: readonly unknown[]) =>
      fd === 1 || fd === 2 ? take(fd, data, more) : write(fd, data, ...more),
  })
}
