/**
 * The `postern` command as somebody types it, many times over: each line is run anew by one process that has the modules
 * loaded already, since loading them takes ten times as long as what most commands do. What only a process of its own can
 * show, such as that it ends, that a pipe may break or what it reads from a real standard input, is asked of one.
 */

import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))
const HOST = fileURLToPath(new URL('command-host.ts', import.meta.url))

export interface CommandOptions {
  readonly cwd?: string
  /** The whole environment; absent: ours. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** What comes by standard input. */
  readonly input?: string
}

export interface Ended {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export interface Asked {
  readonly id: number
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly input: string
}

interface Host {
  readonly child: ChildProcess
  readonly waiting: Map<number, { resolve(ended: Ended): void; reject(error: Error): void }>
}

let host: Host | null = null
let asked = 0

/** One after the other, in the order they are asked. */
export function command(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const { cwd = process.cwd(), env = process.env, input = '' } = options
  host ??= start(env)
  const { child, waiting } = host
  asked += 1
  const ended = new Promise<Ended>((resolve, reject) => waiting.set(asked, { resolve, reject }))
  const question: Asked = { id: asked, args, cwd, env, input }
  child.send(question)
  return ended
}

/** In a process of its own, which must end by itself. */
export async function commandAlone(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  const { cwd, env, input = '' } = options
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env })
  child.stdin.on('error', () => {}) // a command that reads nothing may end before it is written
  child.stdin.end(input)
  const [stdout, stderr, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null, string | null]>,
  ])
  if (code === null) throw new Error(`postern ${args.join(' ')} was ended by ${signal}`)
  return { status: code, stdout, stderr }
}

/** It ends with us: when the channel closes. */
function start(env: NonNullable<CommandOptions['env']>): Host {
  const child = fork(HOST, { env, execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const started: Host = { child, waiting: new Map() }
  child.on('message', ({ id, ...ended }: Ended & { readonly id: number }) => {
    started.waiting.get(id)?.resolve(ended)
    started.waiting.delete(id)
  })
  child.once('exit', (code, signal) => {
    host = null
    for (const { reject } of started.waiting.values())
      reject(new Error(`the command ended its process: ${code ?? signal}`))
  })
  return started
}
