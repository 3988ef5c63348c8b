/** The line of an exchange is the JSON of its record, byte for byte. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AccessRecord } from '../model.ts'
import { lineOfRecord } from './journal-line.ts'

const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('"', '\\', '\u0000', '\ud800', 'é', '\u2028'),
)
const orNull = fc.option(anyText)
const lists = fc.array(anyText, { maxLength: 3 })
const anyRecord: fc.Arbitrary<AccessRecord> = fc
  .tuple(
    fc.record({
      requestId: fc.uuid(),
      at: fc.constant('2026-11-21T10:00:00.000Z'),
      durationMs: fc.nat(),
      method: anyText,
      path: anyText,
      status: fc.integer({ min: 100, max: 599 }),
      route: orNull,
      upstream: orNull,
      subject: orNull,
      credential: fc.constantFrom('session', 'token', 'key', null),
      roles: lists,
      scopes: lists,
      policy: fc.constant('0123456789ab'),
      proposed: fc.constantFrom('same', 'unknown', null),
      clientAddress: orNull,
      reason: fc.option(anyText, { freq: 2 }),
      log: orNull,
      droppedHeaders: fc.nat(),
      droppedGroups: fc.nat(),
      isAborted: fc.boolean(),
    }),
    fc.option(fc.record({ server: anyText, tries: fc.nat() })),
  )
  .map(([record, asked]) => ({ ...record, ...(record.reason === null ? { log: null } : {}), ...asked }) as AccessRecord)

test('[FR-019] the line of an exchange is the JSON of its record with its level in front', () => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      const level = record.status >= 500 ? 'warn' : 'info'
      expect(lineOfRecord(record)).toBe(`${JSON.stringify({ level, ...record })}\n`)
    }),
  )
})
