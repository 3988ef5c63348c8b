/** What passes beside the head of an answer. That it arrives, and where, stands in the table of HTTP. */

import { expect, test } from 'vitest'
import type { ForwardPlan, HeaderList } from '../model.ts'
import type { Snapshot } from '../snapshot.ts'
import { clientTrailers, earlyHints, takesTrailers } from './trailers.ts'

const snapshot = { reservedNames: new Set(['x-books-owner']) } as unknown as Snapshot

function planOf(te: readonly string[] = ['trailers']): ForwardPlan {
  const headers = te.flatMap((value) => ['TE', value])
  return { head: { names: te.map(() => 'te'), headers }, route: { responseEdits: null } } as unknown as ForwardPlan
}

const trailersOf = (sent: HeaderList) => clientTrailers(snapshot, planOf(), sent)

test('[FR-053] a client takes trailers that says so, in whichever of its TE fields', () => {
  for (const te of ['trailers', 'Trailers', 'gzip;q=0.5, trailers', ' trailers ,deflate'])
    expect(takesTrailers(te)).toBe(true)
  for (const te of ['', 'gzip', 'trailer', 'xtrailers', 'gzip;x=trailers']) expect(takesTrailers(te)).toBe(false)
  expect(clientTrailers(snapshot, planOf(['gzip', 'trailers']), ['X-Sum', '1'])).toEqual(['X-Sum', '1'])
  expect(clientTrailers(snapshot, planOf(['gzip']), ['X-Sum', '1'])).toEqual([])
  expect(clientTrailers(snapshot, planOf([]), ['X-Sum', '1'])).toEqual([])
})

test('[FR-053] what is made for trailers passes, more than once too', () => {
  const sent = [
    'Content-Digest',
    'sha-256=:AA==:',
    'Server-Timing',
    'a',
    'Server-Timing',
    'b',
    'grpc-status',
    '0',
    'ETag',
    '"a"',
  ]
  expect(trailersOf(sent)).toEqual(sent)
})

for (const [name, value, because] of [
  ['X-Sum', 'a\r\nSet-Cookie: x', 'it would be two lines'],
  ['X-Sum', 'a\0b', 'no value holds a NUL'],
  ['X Sum', 'a', 'it is no name'],
  ['X_Sum', 'a', 'servers read such a name in two ways'],
  ['X-Books-Owner', 'a', 'an explicit map says who calls by it'],
  ['X-Forwarded-User', 'a', 'a convention says who calls by it'],
  ['Trailer', 'X-Sum', 'it speaks of this connection'],
  ['Content-Type', 'text/html', 'it says how the content is read'],
  ['Surrogate-Control', 'max-age=9', 'it rules caches'],
  ['Service-Worker-Allowed', '/', 'it rules a whole origin'],
] as const) {
  test(`[FR-053] ${JSON.stringify(name)}: ${JSON.stringify(value)} is no trailer: ${because}`, () => {
    expect(trailersOf([name, value, 'X-Kept', '1'])).toEqual(['X-Kept', '1'])
  })
}

test('[FR-053] early hints say what to load, and nothing else', () => {
  const sent = [
    'link',
    '</a.css>; rel=preload',
    'Set-Cookie',
    'a=b',
    'LINK',
    '</b.js>; rel=preload',
    'Link',
    'a\r\nX-A: b',
  ]
  expect(earlyHints(planOf(), sent)).toEqual(['Link', '</a.css>; rel=preload', 'Link', '</b.js>; rel=preload'])
})
