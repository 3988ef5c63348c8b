/**
 * The demo as a newcomer has it: the sources in a folder of their own, started by `npm start`, stopped by Ctrl-C.
 * Dependencies are shared with this checkout, so nothing is installed.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from './documents.ts'

const SOURCES = ['gateway', 'upstream-mock', 'config', 'package.json', 'package-lock.json', '.npmrc']
const START_MS_MAX = 60_000
const STOP_MS_MAX = 15_000
const POLL_MS = 50

export interface Demo {
  readonly folder: string
  readonly port: number
  readonly origin: string
  /** Everything it printed so far. */
  output(): string
  /** Sends what Ctrl-C sends, and resolves with the exit code. */
  stop(): Promise<number | null>
}

export async function startDemo(): Promise<Demo> {
  refuseStaleDependencies()
  const folder = mkdtempSync(join(tmpdir(), 'postern-demo-'))
  for (const name of SOURCES) cpSync(join(ROOT, name), join(folder, name), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))

  const port = await freePort()
  const { POSTERN_SECRET, POSTERN_CONFIG, DATABASE_URL, REDIS_URL, NODE_ENV, ...env } = process.env
  void [POSTERN_SECRET, POSTERN_CONFIG, DATABASE_URL, REDIS_URL, NODE_ENV]
  // A group of its own: Ctrl-C in a terminal reaches npm and what npm started alike.
  const child = spawn('npm', ['start'], { cwd: folder, env: { ...env, PORT: String(port) }, detached: true })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)))

  const origin = `http://localhost:${port}`
  await untilServing(child, `http://127.0.0.1:${port}/_postern/healthz`, `localhost:${port}`, () => output)
  return {
    folder,
    port,
    origin,
    output: () => output,
    async stop() {
      const code = await stop(child)
      rmSync(folder, { recursive: true, force: true })
      return code
    },
  }
}

/** `npm start` would install into the shared folder if the lock had changed since it was filled. */
function refuseStaleDependencies(): void {
  const lock = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex')
  if (readFileSync(join(ROOT, 'node_modules/.postern-lock'), 'utf8') !== lock) {
    throw new Error('node_modules is older than package-lock.json: `npm test` installs what is missing')
  }
}

async function untilServing(child: ChildProcess, url: string, host: string, output: () => string): Promise<void> {
  const endsAtMs = performance.now() + START_MS_MAX
  for (;;) {
    if (child.exitCode !== null || performance.now() > endsAtMs) {
      await stop(child)
      throw new Error(`the demo did not start (exit code ${child.exitCode}):\n${output()}`)
    }
    const response = await fetch(url, { headers: { host } }).catch(() => null)
    if (response?.status === 200) return
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

async function stop(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const exit = once(child, 'exit')
  process.kill(-child.pid!, 'SIGINT')
  const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), STOP_MS_MAX)
  await exit
  clearTimeout(timer)
  return child.exitCode
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
