/** A line of the log says what JSON.stringify would, character for character, whatever a request brings. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AccessRecord, ForwardPlan } from '../model.ts'
import { accessRecord } from './access.ts'
import { accessLine } from './line.ts'

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('"', '\\', '\n', '\u2028', '\ud800'))
const texts = fc.oneof(fc.constant(Object.freeze(['reader', 'a"b'])), fc.array(text, { maxLength: 3 }))
/** As the logger would write it. */
function asLogged(one: AccessRecord): string {
  return `${JSON.stringify({ level: one.status >= 500 ? 'warn' : 'info', ...one })}\n`
}
const record: fc.Arbitrary<AccessRecord> = fc
  .tuple(text, text, text, texts, texts, fc.option(text), fc.option(text), fc.nat(), fc.boolean())
  .map(([method, path, subject, roles, scopes, reason, log, droppedHeaders, isAborted]) => {
    const plan = {
      kind: 'forward',
      head: { requestId: 'r1', method, target: { path }, clientAddress: '192.0.2.7', droppedHeaders },
      match: { route: { id: path } },
      upstream: { id: method },
      principal: { subject, credential: 'token', roles, scopes },
      droppedGroups: 0,
    } as unknown as ForwardPlan
    const failure = reason === null ? null : { reason, log: log ?? '' }
    const ending = { status: isAborted ? 200 : 502, endedAtMs: 1250, isAborted, failure, asked: null }
    return accessRecord('0123456789ab', plan, isAborted ? 'would-refuse' : null, 1000, ending)
  })

test('[FR-019] a line is the record as JSON', () => {
  fc.assert(fc.property(record, (one) => accessLine(one) === asLogged(one)))
})

test('[FR-019] a line of what nobody asked for in particular, and of a request that was tried twice', () => {
  const ending = { status: 404, endedAtMs: 1250, isAborted: false, failure: null }
  const own = {
    kind: 'own',
    head: { requestId: 'r1', method: 'GET', target: { path: '/' }, droppedHeaders: 0 },
  } as never
  for (const asked of [null, { server: 'http://a.example', tries: 2 }]) {
    const one = accessRecord('0123456789ab', own, null, 1000, { ...ending, asked })
    expect(accessLine(one)).toBe(asLogged(one))
  }
})
