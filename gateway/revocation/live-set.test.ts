/** The entries in memory: what is dead, what is ended, and that a flood of entries revokes more and never less. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Proof } from '../model.ts'
import { decodeEntry, encodeEntry, type LogEntry } from './entry.ts'
import { createLiveSet } from './live-set.ts'
import { EVERYTHING, nameOf } from './names.ts'

function entry(sequence: number, name: string, more: Partial<LogEntry> = {}): LogEntry {
  return {
    sequence,
    id: `id-${sequence}`,
    effect: 'end',
    name,
    notBeforeMs: 1000,
    expiresAtMs: 1e6,
    subject: null,
    ...more,
  }
}

function proof(sequence: number, names: readonly string[], issuedAtMs: number | null = 500): Proof {
  return { sequence, names, issuedAtMs }
}

const ada = nameOf.subject('ci:ada')
const token = nameOf.token('ci', 't1')

test('[FR-033] a proof is dead by an entry for one of its names with a higher number, and by no other', () => {
  const live = createLiveSet()
  live.apply([entry(5, ada, { effect: 'refresh' })])
  expect(live.isDead(proof(4, ['x', ada]))).toBe(true)
  expect(live.isDead(proof(5, [ada]))).toBe(false)
  expect(live.isDead(proof(4, ['x']))).toBe(false)
  live.apply([entry(6, EVERYTHING, { effect: 'refresh' })])
  expect(live.isDead(proof(5, []))).toBe(true)
  expect(live.isDead(proof(6, [ada]))).toBe(false)
})

describe('what an end ends', () => {
  const rows = [
    [token, 5000, true, 'a token is ended whenever it was issued'],
    [nameOf.kid('ci', 'k1'), 5000, true, 'so is whatever a key signed'],
    [nameOf.session('s1'), null, true, 'and a session'],
    [ada, 1000, true, 'a subject, up to the time it was revoked'],
    [ada, 1001, false, 'what it got later is welcome'],
    [ada, null, true, 'what does not say when it was issued is refused (rule 22)'],
    [nameOf.issuer('ci'), 1000, true, 'an issuer, up to the time'],
    [nameOf.issuer('ci'), 1001, false, 'and not what it issued later'],
    [EVERYTHING, 1000, true, 'everything, up to the time'],
    [EVERYTHING, 1001, false, 'and not what came later'],
    [EVERYTHING, null, true, 'everything that does not say'],
  ] as const
  for (const [name, issuedAtMs, isEnded, because] of rows) {
    test(`[FR-033] ${name} issued at ${issuedAtMs}: ${because}`, () => {
      const live = createLiveSet()
      live.apply([entry(1, name)])
      expect(live.isEnded(proof(9, [name], issuedAtMs))).toBe(isEnded)
      expect(live.isEnded(proof(9, ['other'], issuedAtMs))).toBe(name === EVERYTHING && isEnded)
    })
  }
})

test('[FR-033] a refresh ends nothing, and does not take back an end', () => {
  const live = createLiveSet()
  live.apply([entry(1, token, { effect: 'refresh' })])
  expect(live.isEnded(proof(0, [token]))).toBe(false)
  live.apply([entry(2, token), entry(3, token, { effect: 'refresh' })])
  expect(live.isEnded(proof(9, [token]))).toBe(true)
})

test('[FR-033] an entry is forgotten when its end has come, and not before', () => {
  const live = createLiveSet()
  live.apply([entry(1, token, { expiresAtMs: 100 }), entry(2, token, { expiresAtMs: 200 })])
  live.expire(199)
  expect(live.isEnded(proof(9, [token]))).toBe(true)
  live.expire(200)
  expect(live.size).toBe(0)
})

const anyEntry = fc.record({
  sequence: fc.integer({ min: 1, max: 50 }),
  effect: fc.constantFrom('end' as const, 'refresh' as const),
  name: fc.constantFrom(ada, token, nameOf.session('s1'), nameOf.key('k'), EVERYTHING),
  notBeforeMs: fc.integer({ min: 0, max: 2000 }),
})
const anyProof = fc.record({
  sequence: fc.integer({ min: 0, max: 60 }),
  names: fc.subarray([ada, token, nameOf.session('s1'), nameOf.key('k')]),
  issuedAtMs: fc.option(fc.integer({ min: 0, max: 2000 })),
})

test('[FR-033] the order in which entries come, and how often, changes nothing', () => {
  fc.assert(
    fc.property(fc.array(anyEntry, { maxLength: 20 }), fc.array(anyProof), (given, proofs) => {
      const entries = given.map(({ sequence, ...more }) => entry(sequence, more.name, more))
      const [forth, back] = [createLiveSet(), createLiveSet()]
      for (const each of entries) forth.apply([each])
      back.apply([...entries].reverse())
      back.apply(entries)
      for (const each of proofs) {
        expect(back.isDead(each)).toBe(forth.isDead(each))
        expect(back.isEnded(each)).toBe(forth.isEnded(each))
      }
    }),
  )
})

test('[FR-033] at the cap nobody who was revoked is forgotten: more is revoked instead, and it says so', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 4, max: 12 }),
      fc.array(fc.tuple(anyEntry, fc.nat(40)), { maxLength: 60 }),
      (cap, given) => {
        const [small, large] = [createLiveSet(cap), createLiveSet()]
        const entries = given.map(([{ sequence, ...more }, at]) => {
          const name = more.name === EVERYTHING ? EVERYTHING : `${more.name}-${at}`
          return entry(sequence, name, { ...more, name, subject: name.startsWith('token:') ? `ci:${at % 5}` : null })
        })
        let wasWidened = false
        for (const each of entries) wasWidened = small.apply([each]) || wasWidened
        large.apply(entries)
        expect(small.size).toBeLessThanOrEqual(cap + 5)
        for (const { name, sequence, subject, effect, notBeforeMs } of entries) {
          const names = subject === null ? [name] : [name, nameOf.subject(subject)]
          // What an end revokes was issued by then: `iat` counts less the leeway.
          for (const issuedAtMs of [null, 0, ...(effect === 'end' ? [notBeforeMs] : [])]) {
            const each = proof(issuedAtMs === null ? 0 : sequence - 1, names, issuedAtMs)
            if (large.isDead(each)) expect(small.isDead(each)).toBe(true)
            if (!large.isEnded(each) || small.isEnded(each)) continue
            expect.fail(`${name} was ended, and is forgotten`)
          }
        }
        if (new Set(entries.map(({ name }) => name)).size <= cap) expect(wasWidened).toBe(false)
      },
    ),
  )
})

test('[FR-033] an entry has one text, and no other text is an entry', () => {
  const given = entry(7, token, { subject: 'ci:ada' })
  expect(decodeEntry(encodeEntry(given))).toEqual(given)
  for (const text of [
    '',
    '{}',
    '[]',
    '[1]',
    'null',
    encodeEntry(given).replace('"end"', '"pass"'),
    encodeEntry(given).replace('7', '7.5'),
  ]) {
    expect(decodeEntry(text)).toBeNull()
  }
})
