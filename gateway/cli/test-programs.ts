/** The programs that tests need and npm cannot bring: found, installed where we may, or named with the command that installs them. */

import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { startupError } from '../node/startup-error.ts'
import { postgresBin } from '../test/support/servers.ts'

interface Program {
  /** Debian's package. */
  readonly debianPackage: string
  isThere(): boolean
}

const PROGRAMS: readonly Program[] = [
  { debianPackage: 'redis-server', isThere: () => run('sh', ['-c', 'command -v redis-server']).status === 0 },
  { debianPackage: 'openssl', isThere: () => run('sh', ['-c', 'command -v openssl']).status === 0 },
  { debianPackage: 'postgresql', isThere: isPostgresThere },
  { debianPackage: 'chromium', isThere: () => existsSync(process.env.POSTERN_CHROMIUM ?? '/usr/bin/chromium') },
]

export function ensurePrograms(print: (line: string) => void): void {
  const missing = missingPackages()
  if (missing.length === 0) return
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  const mayInstall = process.getuid?.() === 0 && existsSync('/etc/debian_version')
  if (!mayInstall) {
    throw startupError(
      `The tests need ${missing.join(', ')}. On Debian: \`sudo ${command}\`. Elsewhere install Redis 7, PostgreSQL 15, OpenSSL and Chromium, and set POSTERN_CHROMIUM to the browser's path.`,
    )
  }
  print(`installing ${missing.join(', ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  // Debian starts a cluster of its own with the package; the tests use neither it nor its port.
  const installed = run('sh', ['-c', `apt-get update -q && ${command}`], env)
  const still = missingPackages()
  if (still.length > 0)
    throw startupError(`\`${command}\` did not bring ${still.join(', ')}:\n${installed.stdout}${installed.stderr}`)
}

function missingPackages(): string[] {
  return PROGRAMS.filter((program) => !program.isThere()).map(({ debianPackage }) => debianPackage)
}

function isPostgresThere(): boolean {
  try {
    return postgresBin() !== ''
  } catch {
    return false
  }
}

function run(command: string, args: readonly string[], env = process.env): SpawnSyncReturns<string> {
  return spawnSync(command, args, { encoding: 'utf8', env, maxBuffer: 64 * 1024 * 1024 })
}
