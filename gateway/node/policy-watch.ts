/**
 * Tells when files of the policy may have changed. Their folders are watched and not they themselves: editors put a new file in
 * the place of the old one, and Kubernetes turns a symbolic link beside them.
 */

import { readdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { watch } from 'chokidar'

export interface PolicyWatch {
  /** Watches the folders of these files, and no others any more. */
  follow(files: readonly string[]): void
  close(): Promise<void>
}

/** A file is written in pieces: it is read when nothing has moved for so long, */
const QUIET_MS = 200
/** or at the latest so long after the first sign, where something never rests. */
const WAIT_MS_MAX = 2_000

export function watchPolicy(
  files: readonly string[],
  onChange: () => void,
  onError: (error: unknown) => void,
): PolicyWatch {
  let watched = files
  let folders = foldersOf(files)
  let seen = ''
  let timer: NodeJS.Timeout | null = null
  let firstSignAtMs = 0
  const watcher = watch([...folders], { depth: 0, ignoreInitial: true, ignorePermissionErrors: true })
  watcher.on('error', onError)
  const look = () => {
    timer = null
    const shown = fingerprint(watched, folders)
    if (shown === seen) return
    seen = shown
    onChange()
  }
  // What was written after the policy was read and before its folder was watched.
  watcher.on('ready', look)
  // Every sign of the folder itself: which name in it moved says little where links are turned.
  watcher.on('raw', () => {
    const nowMs = performance.now()
    if (timer === null) firstSignAtMs = nowMs
    else clearTimeout(timer)
    const waitMs = Math.max(0, Math.min(QUIET_MS, firstSignAtMs + WAIT_MS_MAX - nowMs))
    timer = setTimeout(look, waitMs).unref()
  })
  return {
    follow(next) {
      const wanted = foldersOf(next)
      for (const folder of folders) if (!wanted.has(folder)) watcher.unwatch(folder)
      for (const folder of wanted) if (!folders.has(folder)) watcher.add(folder)
      folders = wanted
      watched = next
    },
    async close() {
      if (timer !== null) clearTimeout(timer)
      await watcher.close()
    },
  }
}

function foldersOf(files: readonly string[]): ReadonlySet<string> {
  return new Set(files.map((file) => dirname(file)))
}

/** Tells whether anything can be another now, without reading it: a database may have its files in the same folder. */
function fingerprint(files: readonly string[], folders: ReadonlySet<string>): string {
  try {
    const shown = files.map((file) => {
      const stats = statSync(file, { throwIfNoEntry: false })
      return `${file} ${stats?.ino} ${stats?.size} ${stats?.mtimeMs} ${stats?.ctimeMs}`
    })
    for (const folder of folders) shown.push(...readdirSync(folder).filter(isPolicyName))
    return shown.join('\n')
  } catch (error) {
    return String(error)
  }
}

function isPolicyName(name: string): boolean {
  return /\.ya?ml$/.test(name)
}
