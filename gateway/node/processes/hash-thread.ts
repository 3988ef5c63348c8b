/** A thread that hashes passwords and nothing else, and that gives way to everything that serves requests. */

import { scryptSync } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'

export interface HashQuestion {
  readonly password: string
  readonly salt: string
}

/** Where there is other work for the processor, this thread gets a quarter of it. */
const NICE = 5
/** As the identity provider hashes, so that what is stored by either verifies by the other. */
const KEY_BYTES = 64
const COST = { N: 16_384, r: 16, p: 1, maxmem: 128 * 16_384 * 16 * 2 }

try {
  // On Linux a thread has a priority of its own; elsewhere there is no such path.
  setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), NICE)
} catch {
  // Then that only so many are hashed at once has to do.
}

parentPort?.on('message', ({ password, salt }: HashQuestion) => {
  parentPort?.postMessage(scryptSync(password.normalize('NFKC'), salt, KEY_BYTES, COST).toString('hex'))
})
