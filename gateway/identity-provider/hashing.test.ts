/** A flood of sign-ins: so many passwords are hashed at once and no more, in order, and each gets its own answer. */

import { scryptSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { hashing } from './hashing.ts'

test('[FR-058] never more at once than it may, in the order they came, and a failure gives its turn on', async () => {
  let running = 0
  let most = 0
  const order: string[] = []
  const slowly = async <T>(name: string, value: T): Promise<T> => {
    order.push(name)
    most = Math.max(most, ++running)
    await new Promise((resolve) => setImmediate(resolve))
    running--
    // As many as may run: none of their turns may be lost.
    if (name === '3' || name === '8') throw new Error('a bug nobody foresaw')
    return value
  }
  const gate = hashing(2, {
    hash: (password) => slowly(password, `h${password}`),
    verify: ({ password }) => slowly(password, true),
  })
  const names = Array.from({ length: 20 }, (_, at) => String(at))
  const found = await Promise.allSettled(
    names.map((name, at) => (at % 2 === 0 ? gate.hash(name) : gate.verify({ hash: '', password: name }))),
  )
  expect(most).toBe(2)
  expect(order).toEqual(names)
  expect(found.filter(({ status }) => status === 'rejected')).toHaveLength(2)
  expect(found[4]).toEqual({ status: 'fulfilled', value: 'h4' })
  expect(await gate.hash('again')).toBe('hagain')
})

test('[FR-058] a share of one hash is one, and then a rest', async () => {
  const begun: number[] = []
  const ended: number[] = []
  const slowly = async (): Promise<string> => {
    begun.push(performance.now())
    await new Promise((resolve) => setTimeout(resolve, 20))
    ended.push(performance.now())
    return ''
  }
  const gate = hashing(0.25, { hash: slowly, verify: async () => true }, () => performance.now())
  await Promise.all([gate.hash('a'), gate.hash('b'), gate.hash('c')])
  for (const at of [1, 2]) {
    const workedMs = ended[at - 1]! - begun[at - 1]!
    expect(begun[at]! - ended[at - 1]!, 'three times as long as it took').toBeGreaterThan(2.5 * workedMs)
  }
})

test('[FR-058] hashes are scrypt on the runtime’s own threads, in the format of those that are stored', async () => {
  const gate = hashing(1)
  let turns = 0
  const beat = setInterval(() => turns++, 1)
  const made = await gate.hash('pässword')
  clearInterval(beat)
  expect(turns, 'the event loop turned meanwhile').toBeGreaterThan(0)
  const [salt = '', key] = made.split(':')
  const cost = { N: 16_384, r: 16, p: 1, maxmem: 128 * 16_384 * 16 * 2 }
  expect(scryptSync('pässword'.normalize('NFKC'), salt, 64, cost).toString('hex')).toBe(key)
  expect(await gate.verify({ hash: made, password: 'pässword' })).toBe(true)
  expect(await gate.verify({ hash: made, password: 'passwort' })).toBe(false)
})
