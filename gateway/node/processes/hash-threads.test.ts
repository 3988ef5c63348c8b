/** Passwords on threads of their own: in the format that is stored, behind the threads that serve, and again after one died. */

import { readdirSync, readFileSync } from 'node:fs'
import { hashPassword, verifyPassword } from 'better-auth/crypto'
import { afterAll, expect, test } from 'vitest'
import { hashThreads } from './hash-threads.ts'

const threads = hashThreads()
afterAll(() => threads.close())

test('[FR-058] what either hashes the other verifies', async () => {
  const [ours, theirs] = await Promise.all([threads.hash('pässword ﬁ'), hashPassword('pässword ﬁ')])
  expect(await verifyPassword({ hash: ours, password: 'pässword ﬁ' })).toBe(true)
  expect(await threads.verify({ hash: theirs, password: 'pässword fi' }), 'NFKC folds the ligature').toBe(true)
  expect(await threads.verify({ hash: theirs, password: 'password' })).toBe(false)
  expect(await threads.verify({ hash: `${theirs}00`, password: 'pässword ﬁ' })).toBe(false)
  await expect(threads.verify({ hash: 'nonsense', password: 'x' })).rejects.toThrow('is none')
})

test('[FR-058] the thread that hashes stands behind all others, and those keep their priority', async () => {
  await threads.hash('x')
  const niceOf = (task: string) => {
    const stat = readFileSync(`/proc/self/task/${task}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
  }
  const nice = readdirSync('/proc/self/task').map(niceOf)
  expect(nice.filter((value) => value === 5).length).toBeGreaterThan(0)
  expect(niceOf(String(process.pid))).toBeLessThan(5)
})

test('[FR-058] questions at once have a thread each, and threads that ended fail theirs alone', async () => {
  const own = hashThreads()
  const asked = Promise.allSettled([own.hash('a'), own.hash('b')])
  own.close()
  expect((await asked).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await own.verify({ hash: await own.hash('c'), password: 'c' })).toBe(true)
  own.close()
})
