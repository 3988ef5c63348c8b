/** Real Redis and Postgres, private to one run: free ports, a folder that goes with them, and outages on command. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './ports.ts'

export interface PrivateServer {
  readonly url: string
  readonly port: number
  /** Frozen: connections stay open and nothing answers. */
  pause(): void
  resume(): void
  /** Gone as if the machine had lost it: connections break and new ones are refused. */
  stop(): Promise<void>
  /** Ended without a word to anybody. */
  kill(): Promise<void>
  /** Back on the same port, with what it had on disk. */
  start(): Promise<void>
  /** Stops it and removes its folder. */
  close(): Promise<void>
}

interface User {
  readonly uid: number
  readonly gid: number
}

interface Program {
  readonly command: string
  readonly args: readonly string[]
  readonly folder: string
  readonly port: number
  /** Runs as this user; null for our own. */
  readonly user: User | null
  /** What it prints when it is ready; accepting connections is not always enough. */
  readonly readyText: string
}

const START_MS_MAX = 30_000
const POLL_MS = 20

export async function startRedis(): Promise<PrivateServer> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-redis-'))
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no']
  const program: Program = {
    command: 'redis-server',
    args,
    folder,
    port,
    user: null,
    readyText: 'Ready to accept connections',
  }
  return runServer(program, `redis://127.0.0.1:${port}`, 'SIGTERM')
}

export async function startPostgres(): Promise<PrivateServer> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-postgres-'))
  const user = postgresUser()
  if (user !== null) chownSync(folder, user.uid, user.gid)
  const bin = postgresBin()
  const data = join(folder, 'data')
  const init = ['-D', data, '-U', 'postern', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync']
  const made = spawnSync(join(bin, 'initdb'), init, { cwd: folder, encoding: 'utf8', ...user })
  if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`)
  const port = await freePort()
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    fsync: 'off',
    max_connections: '60',
  }
  const args = ['-D', data, '-p', String(port)]
  for (const [name, value] of Object.entries(settings)) args.push('-c', `${name}=${value}`)
  const program: Program = {
    command: join(bin, 'postgres'),
    args,
    folder,
    port,
    user,
    readyText: 'ready to accept connections',
  }
  return runServer(program, `postgres://postern@127.0.0.1:${port}/postgres`, 'SIGINT')
}

/** The folder of Postgres's server programs, which Debian keeps off PATH. */
export function postgresBin(): string {
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : []
  for (const version of versions) {
    const bin = join(root, version, 'bin')
    if (existsSync(join(bin, 'initdb'))) return bin
  }
  const found = spawnSync('sh', ['-c', 'command -v initdb'], { encoding: 'utf8' }).stdout.trim()
  if (found !== '') return found.slice(0, -'/initdb'.length)
  throw new Error('Postgres is not installed: `apt-get install postgresql`')
}

/** Postgres refuses to run as root. */
function postgresUser(): User | null {
  if (process.getuid?.() !== 0) return null
  const [uid, gid] = ['-u', '-g'].map((flag) =>
    Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout),
  )
  if (!uid || !gid) throw new Error('Postgres does not run as root, and there is no user `postgres`')
  return { uid, gid }
}

async function runServer(program: Program, url: string, stopSignal: NodeJS.Signals): Promise<PrivateServer> {
  const { folder, port } = program
  let child = await launch(program)
  const kill = () => signalGroup(child, 'SIGKILL')
  process.once('exit', kill)
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    signalFamily(child, 'SIGCONT')
    child.kill(stopSignal)
    await exit
  }
  const killNow = async () => {
    const exit = once(child, 'exit')
    signalGroup(child, 'SIGKILL')
    await exit
  }
  return {
    url,
    port,
    kill: killNow,
    pause: () => signalFamily(child, 'SIGSTOP'),
    resume: () => signalFamily(child, 'SIGCONT'),
    stop,
    async start() {
      child = await launch(program)
    },
    async close() {
      await stop()
      process.off('exit', kill)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Resolves when it is ready. In a group of its own, so that all of its processes can be frozen together. */
async function launch({ command, args, folder, user, readyText }: Program): Promise<ChildProcess> {
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...user })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  child.on('error', (error) => (output += error.message))
  const endsAtMs = performance.now() + START_MS_MAX
  while (!output.includes(readyText)) {
    if (child.pid === undefined || child.exitCode !== null || performance.now() > endsAtMs) {
      signalGroup(child, 'SIGKILL')
      throw new Error(`${command} did not start: ${output}`)
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return child
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // It ended by itself.
  }
}

/** Postgres gives each of its processes a group of its own, so a group is not enough to freeze it. */
function signalFamily(child: ChildProcess, signal: NodeJS.Signals): void {
  signalGroup(child, signal)
  const family = `/proc/${child.pid}/task/${child.pid}/children`
  const children = existsSync(family) ? readFileSync(family, 'utf8') : ''
  for (const pid of children.split(' ').filter((text) => text !== '')) {
    try {
      process.kill(Number(pid), signal)
    } catch {
      // It ended by itself.
    }
  }
}
