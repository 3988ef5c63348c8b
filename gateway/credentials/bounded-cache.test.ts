/** Bounds that hold whatever is put in, and use that saves an entry. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { boundedCache } from './bounded-cache.ts'

const entry = (bytes: number) => ({ bytes, isUsed: false })

test('[FR-032] bounds of entries and bytes hold whatever is put in, and the count of bytes is true', () => {
  const step = fc.record({ key: fc.nat(20), bytes: fc.nat(60), isDeleted: fc.boolean(), isUsed: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const cache = boundedCache<ReturnType<typeof entry>>(8, 100)
      for (const { key, bytes, isDeleted, isUsed } of steps) {
        if (isDeleted) cache.delete(`${key}`)
        else cache.set(`${key}`, { bytes, isUsed })
        let total = 0
        let size = 0
        for (let at = 0; at <= 20; at += 1) {
          const found = cache.get(`${at}`)
          total += found?.bytes ?? 0
          size += found === undefined ? 0 : 1
        }
        expect([cache.size, cache.bytes]).toEqual([size, total])
        expect(cache.size).toBeLessThanOrEqual(8)
        expect(cache.bytes).toBeLessThanOrEqual(100)
      }
    }),
  )
})

test('[FR-032] an entry that is used outlives any number that are not', () => {
  const cache = boundedCache<ReturnType<typeof entry>>(10, 1000)
  cache.set('used', entry(1))
  for (let at = 0; at < 1000; at += 1) {
    cache.get('used')!.isUsed = true
    cache.set(`once-${at}`, entry(1))
  }
  expect(cache.get('used')).toBeDefined()
  expect(cache.size).toBe(10)
})

test('[FR-032] room is made though everything was used, and an entry too large for the whole is not kept', () => {
  const cache = boundedCache<ReturnType<typeof entry>>(1000, 1000)
  for (let at = 0; at < 1000; at += 1) cache.set(`${at}`, { bytes: 1, isUsed: true })
  cache.set('new', entry(1))
  expect(cache.get('new')).toBeDefined()
  cache.set('huge', entry(1001))
  expect(cache.get('huge')).toBeUndefined()
  expect(cache.size).toBe(1000)
})
