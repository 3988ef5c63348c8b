/**
 * Hashes passwords on threads of their own, which stand behind those that serve requests: a flood of sign-ins takes the time
 * that is left over, and none of the threads that name look-ups and files need. In the identity provider's own format.
 */

import { randomBytes, timingSafeEqual } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import type { Hashing } from '../../identity-provider/hashing.ts'
import type { HashQuestion } from './hash-thread.ts'

export interface HashThreads extends Hashing {
  close(): void
}

/** Threads are started when they are needed, and as many as there are questions at once. */
export function hashThreads(): HashThreads {
  const idle: Worker[] = []
  const threads = new Set<Worker>()

  function start(): Worker {
    const thread = new Worker(new URL('./hash-thread.ts', import.meta.url))
    thread.unref()
    threads.add(thread)
    return thread
  }

  function keyOf(password: string, salt: string): Promise<Buffer> {
    const thread = idle.pop() ?? start()
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        threads.delete(thread)
        reject(error instanceof Error ? error : new Error('the thread that hashes passwords has ended'))
      }
      thread.once('error', fail).once('exit', fail)
      thread.once('message', (key: string) => {
        thread.off('error', fail).off('exit', fail)
        idle.push(thread)
        resolve(Buffer.from(key, 'hex'))
      })
      thread.postMessage({ password, salt } satisfies HashQuestion)
    })
  }

  return {
    async hash(password) {
      const salt = randomBytes(16).toString('hex')
      return `${salt}:${(await keyOf(password, salt)).toString('hex')}`
    },
    async verify({ hash, password }) {
      const [salt, stored] = hash.split(':')
      if (!salt || !stored) throw new Error('what is stored as the hash of a password is none')
      const key = await keyOf(password, salt)
      const known = Buffer.from(stored, 'hex')
      return known.length === key.length && timingSafeEqual(known, key)
    },
    close() {
      for (const thread of threads) void thread.terminate()
      threads.clear()
      idle.length = 0
    },
  }
}
