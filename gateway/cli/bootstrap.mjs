/**
 * Brings node_modules into step with the lock file. Plain JavaScript without imports of ours: it first runs on
 * whatever Node the system has, and the scripts that follow run on the Node that it installs.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const markPath = join(root, 'node_modules', '.postern-lock')
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex')

if (readMark() !== lock) {
  process.stderr.write('postern: installing dependencies (once)\n')
  const npm = process.env.npm_execpath
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const run = npm
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
  if (run.status !== 0) {
    process.stderr.write('postern: `npm ci` failed, see above. Check the network and run the command again.\n')
    process.exit(run.status ?? 1)
  }
  writeFileSync(markPath, lock)
}

function readMark() {
  try {
    return readFileSync(markPath, 'utf8')
  } catch {
    return ''
  }
}
