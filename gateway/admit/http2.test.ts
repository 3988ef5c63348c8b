/** Heads of HTTP/2 at the gate: what a parser should have refused is refused again, and a body may follow without a word of it. */

import { expect, test } from 'vitest'
import { compileNetworks } from '../http/address.ts'
import { Refusal } from '../model.ts'
import type { AdmissionRules } from '../snapshot.ts'
import { admit } from './admit.ts'

const rules: AdmissionRules = {
  scheme: 'https',
  authority: 'books.example',
  isEncodedSlashAdmitted: false,
  isServed: (authority) => authority === 'books.example',
  isTrusted: compileNetworks([]),
  sessionCookieName: '__Host-postern.session',
  apiKeyHeader: null,
  allowHeaderNames: new Set(),
  targetBytesMax: 256,
}

function ask(httpVersion: '1.1' | '2.0', lines: readonly string[], isOpen = false) {
  const raw = {
    requestId: 'r',
    receivedAtMs: 1,
    method: 'POST',
    target: '/',
    peerAddress: '192.0.2.1',
    isUpgrade: false,
  }
  return admit(rules, { ...raw, httpVersion, headers: ['host', 'books.example', ...lines], isOpen })
}

const malformed = [
  ['connection', 'x-forwarded-user'],
  ['upgrade', 'h2c'],
  ['keep-alive', 'timeout=5'],
  ['proxy-connection', 'close'],
  ['http2-settings', 'AAMAAABkAAQAAP__'],
  ['transfer-encoding', 'chunked'],
  ['te', 'gzip'],
  ['X-Name', 'a'],
  [':path', '/admin'],
] as const
for (const [name, value] of malformed) {
  test(`[FR-057] by HTTP/2 ${name}: ${value} is malformed`, () => {
    const found = ask('2.0', [name, value])
    expect(found instanceof Refusal && found.reason).toBe('head.malformed')
  })
}

test('[FR-057] by HTTP/2 only the end of the stream tells that there is no body', () => {
  expect(ask('2.0', [])).toMatchObject({ bodyBytes: 0 })
  expect(ask('2.0', [], true)).toMatchObject({ bodyBytes: -1 })
  expect(ask('2.0', ['content-length', '7'], true)).toMatchObject({ bodyBytes: 7 })
  expect(ask('2.0', ['te', 'trailers'])).toMatchObject({ bodyBytes: 0 })
  expect(ask('1.1', ['Connection', 'close'])).toMatchObject({ bodyBytes: 0 })
})
