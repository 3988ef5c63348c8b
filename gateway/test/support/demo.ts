/**
 * The demo as a newcomer has it: the sources in a folder of their own, started by `npm start`, stopped by Ctrl-C.
 * Dependencies are shared with this checkout, so nothing is installed.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { ROOT } from '../contract/documents.ts'
import { freePort } from './ports.ts'

const SOURCES = ['gateway', 'upstream-mock', 'config', 'package.json', 'package-lock.json', '.npmrc']
/** Variables that would make it another gateway than a newcomer's. */
const DECIDES = new Set(['DATABASE_URL', 'NODE_ENV', 'POSTERN_CONFIG', 'POSTERN_SECRET', 'REDIS_URL'])
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
  const parent = mkdtempSync(join(tmpdir(), 'postern-demo-'))
  const folder = join(parent, 'postern')
  for (const name of SOURCES) cpSync(join(ROOT, name), join(folder, name), { recursive: true })
  shareDependencies(parent, folder)

  const port = await freePort()
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !DECIDES.has(name)))
  // A newcomer's PATH ends at the system's Node, whatever this test runs on.
  env['PATH'] = (env['PATH'] ?? '')
    .split(delimiter)
    .filter((part) => !part.includes('node_modules'))
    .join(delimiter)
  // A group of its own: Ctrl-C in a terminal reaches npm and what npm started alike.
  const child = spawn('npm', ['start'], { cwd: folder, env: { ...env, PORT: String(port) }, detached: true })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)))

  const origin = `http://localhost:${port}`
  const remove = () => rmSync(parent, { recursive: true, force: true })
  try {
    await untilServing(child, `${origin}/_postern/healthz`, () => output)
  } catch (error) {
    remove()
    throw error
  }
  return {
    folder,
    port,
    origin,
    output: () => output,
    async stop() {
      const code = await stop(child)
      remove()
      return code
    },
  }
}

/**
 * Dependencies of the checkout for a folder inside `parent`, such that nothing done in there can reach the checkout: the
 * folder has a node_modules of its own that says it is up to date, and packages are found one level above it. A link in its
 * place would be followed by `npm ci`, which empties what it finds.
 */
function shareDependencies(parent: string, folder: string): void {
  symlinkSync(join(ROOT, 'node_modules'), join(parent, 'node_modules'))
  const own = join(folder, 'node_modules')
  mkdirSync(own)
  symlinkSync(join(ROOT, 'node_modules', '.bin'), join(own, '.bin'))
  const lock = createHash('sha256')
    .update(readFileSync(join(folder, 'package-lock.json')))
    .digest('hex')
  writeFileSync(join(own, '.postern-lock'), lock)
}

async function untilServing(child: ChildProcess, url: string, output: () => string): Promise<void> {
  const endsAtMs = performance.now() + START_MS_MAX
  for (;;) {
    if (child.exitCode !== null || performance.now() > endsAtMs) {
      await stop(child)
      throw new Error(`the demo did not start (exit code ${child.exitCode}):\n${output().slice(0, 4000)}`)
    }
    const response = await fetch(url).catch(() => null)
    if (response?.status === 200) return
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

async function stop(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  // Its pipes close when the last process that holds them is gone, npm's children too.
  const gone = once(child, 'close')
  process.kill(-child.pid!, 'SIGINT')
  const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), STOP_MS_MAX)
  await gone
  clearTimeout(timer)
  return child.exitCode
}
