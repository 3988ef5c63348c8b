/** Programs under measurement: each is pinned to its cores, and what it costs is read from /proc for it and all its children. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

export interface Program {
  readonly command: readonly string[]
  /** As `taskset -c` takes them. */
  readonly cores: string
  /** It is ready when this port takes connections. */
  readonly port: number
  /** Gets everything it prints. */
  readonly logFile: string
  readonly env?: Readonly<Record<string, string>>
}

export interface Running {
  readonly pid: number
  /** Ends it as an operator would, and waits. */
  stop(): Promise<void>
}

const TICKS_PER_SECOND = 100
const START_TRIES_MAX = 300
const TRY_MS = 100
const STOP_MS_MAX = 15_000
const LOG_CHARS_SHOWN = 200

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill()
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/** Rejects with what it printed when it ends before it is ready. */
export async function run(program: Program): Promise<Running> {
  const log = openSync(program.logFile, 'a')
  const child = spawn('taskset', ['-c', program.cores, ...program.command], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...program.env },
  })
  running.add(child)
  const failed = () => {
    // Lines of a log in JSON are notes; what ended it stands beside them.
    const lines = readFileSync(program.logFile, 'utf8').split('\n')
    return new Error(
      (lines.find((line) => line !== '' && !line.startsWith('{')) ?? 'no word of why').slice(0, LOG_CHARS_SHOWN),
    )
  }
  for (let tries = 0; !(await isListening(program.port)); tries++) {
    if (isOver(child) || tries === START_TRIES_MAX) {
      child.kill('SIGKILL')
      throw failed()
    }
    await wait(TRY_MS)
  }
  return {
    pid: child.pid!,
    async stop() {
      running.delete(child)
      if (isOver(child)) return
      const exit = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
      await exit
      clearTimeout(timer)
    },
  }
}

function isOver(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** User and system time of the processes and all their children, in microseconds. */
export function cpuUs(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids.flatMap(familyOf)) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return (ticks * 1e6) / TICKS_PER_SECOND
}

/** Resident memory; what several processes share counts once. */
export function memoryBytes(pid: number): number {
  let kibibytes = 0
  for (const each of familyOf(pid)) {
    kibibytes += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${each}/smaps_rollup`, 'utf8'))?.[1])
  }
  return kibibytes * 1024
}

function familyOf(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' '),
  )
  return [pid, ...children.filter((text) => text !== '').flatMap((text) => familyOf(Number(text)))]
}
