/**
 * Tells when files of the policy may have changed. Their folders are watched and not they themselves: editors put a new file in
 * the place of the old one, and Kubernetes turns a symbolic link beside them. They are looked at from time to time too, for
 * what no watch shows: a link further up that is turned, a folder that was taken away and came back, a disk of the network.
 */

import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { watch } from 'chokidar'

export interface PolicyWatch {
  /** Watches the folders of the files as they are now, and no others any more. */
  follow(list: ListFiles): void
  close(): Promise<void>
}

/** Absolute paths of the files that make up the policy on the disk now, those that nobody has read yet included. */
export type ListFiles = () => readonly string[]

/** A file is written in pieces: it is read when it has not changed for so long. */
const QUIET_MS = 200
const LOOK_MS = 2_000

export function watchPolicy(list: ListFiles, onChange: () => void, onError: (error: unknown) => void): PolicyWatch {
  let followed = list
  let folders = foldersOf(list)
  /** How the files looked when they were last read, and when they were last looked at. */
  let read = ''
  let last = ''
  let timer: NodeJS.Timeout | null = null
  let isClosed = false
  const watcher = watch([...folders], { depth: 0, ignoreInitial: true, ignorePermissionErrors: true })
  watcher.on('error', onError)
  // What was written after the policy was read and before its folder was watched.
  watcher.on('ready', lookSoon)
  // Every sign of the folder itself: which name in it moved says little where links are turned.
  watcher.on('raw', lookSoon)
  const clock = setInterval(lookSoon, LOOK_MS).unref()

  /** Twice the same, or it is still being written. */
  function look(): void {
    const shown = fingerprint(followed)
    if (shown === read) return
    if (shown === last) {
      read = shown
      onChange()
    } else {
      last = shown
      lookSoon()
    }
  }

  /** Not more often, whatever else is written in the same folder. */
  function lookSoon(): void {
    if (timer !== null || isClosed) return
    timer = setTimeout(() => {
      timer = null
      look()
    }, QUIET_MS).unref()
  }

  return {
    follow(next) {
      followed = next
      const wanted = foldersOf(next)
      for (const folder of folders) if (!wanted.has(folder)) watcher.unwatch(folder)
      for (const folder of wanted) if (!folders.has(folder)) watcher.add(folder)
      folders = wanted
    },
    async close() {
      isClosed = true
      clearInterval(clock)
      if (timer !== null) clearTimeout(timer)
      await watcher.close()
    },
  }
}

function foldersOf(list: ListFiles): ReadonlySet<string> {
  return new Set(list().map((file) => dirname(file)))
}

/** Tells whether anything can be another now, without reading it. */
function fingerprint(list: ListFiles): string {
  try {
    return list()
      .map((file) => {
        const stats = statSync(file, { throwIfNoEntry: false })
        return `${file} ${stats?.dev} ${stats?.ino} ${stats?.size} ${stats?.mtimeMs} ${stats?.ctimeMs}`
      })
      .join('\n')
  } catch (error) {
    return String(error)
  }
}
