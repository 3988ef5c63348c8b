/** The fuzzer of request heads for two seconds, and what it found once: `npm run fuzz -- requests 600` goes on for longer. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findingsOf } from '../../bench/fuzz/request-checks.ts'
import { requestStream } from '../../bench/fuzz/request-streams.ts'
import { fuzz, type Stage, startStage } from '../../bench/fuzz/requests.ts'

const SEED = 1
const SECONDS = 2

test('[FR-053] what the upstream gets of mutated requests is what llhttp reads in them', async () => {
  expect(await fuzz({ seed: SEED, seconds: SECONDS, print() {} })).toEqual([])
})

test('[FR-053] a seed repeats its stream', () => {
  const place = { host: 'localhost:1', tokens: { reader: 'r', admin: 'a' }, cookieName: 'c' }
  expect(requestStream(42, place)).toBe(requestStream(42, place))
  expect(requestStream(42, place)).not.toBe(requestStream(43, place))
})

describe('found once', () => {
  let stage: Stage

  beforeAll(async () => {
    stage = await startStage()
  })

  afterAll(() => stage?.close())

  const HOST = 'Host: HOST\r\n'
  const CONTINUED = `Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`
  const WEBSOCKET = 'Upgrade: websocket\r\nConnection: Upgrade\r\n'

  const rows: readonly (readonly [title: string, bytes: string, statuses: readonly number[] | null])[] = [
    [
      'a 100 is not written into the middle of an answer that waits for its turn',
      `GET /public/late HTTP/1.1\r\n${HOST}\r\nPOST /public/plain HTTP/1.1\r\n${HOST}${CONTINUED}`,
      [200, 200],
    ],
    [
      'nor into one of our own',
      `GET /public/late HTTP/1.1\r\n${HOST}\r\nOPTIONS /_postern/healthz/x HTTP/1.1\r\n${HOST}${CONTINUED}`,
      [200, 404],
    ],
    [
      'what a client sends behind an upgrade that the upstream declines does not keep its connection open',
      `GET /public/plain HTTP/1.1\r\n${HOST}${WEBSOCKET}\r\nmore`,
      [200],
    ],
    [
      'an answer that is torn while it waits ends the connection, also where others wait behind it',
      `GET /public/late HTTP/1.1\r\n${HOST}\r\n${['cut-chunks', 'plain']
        .map((manner) => `GET /public/${manner} HTTP/1.1\r\n${HOST}\r\n`)
        .join('')}`,
      null,
    ],
    [
      'a HEAD whose body is broken off is answered without one',
      `HEAD /public/plain HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nz\r\n`,
      [400],
    ],
    [
      'what is refused by us while the parser refuses it too is answered once',
      `PUT /public/plain\r\n${HOST}Transfer-Encoding: gzip\r\n\r\n`,
      [400],
    ],
    [
      'an expectation that nobody knows is refused in its turn, and what stood before it is answered',
      `HEAD /api/auth/nothing HTTP/1.1\r\n${HOST}\r\nGET /public/plain HTTP/1.1\r\n${HOST}\r\n` +
        `OPTIONS /public/plain HTTP/1.1\r\n${HOST}Expect: 200-ok\r\n\r\nPUT /public/plain HTTP/1.1\r\n ${HOST}\r\n`,
      null,
    ],
    ['a torn answer to HTTP/1.0 is a reset', `GET /public/cut-chunks HTTP/1.0\r\n${HOST}\r\n`, null],
    ['a request line without a version is no request', `GET /public/plain\r\n${HOST}\r\n`, [400]],
    ['a request line that says HTTP/0.9 is none', `GET /public/plain HTTP/0.9\r\n${HOST}\r\n`, [400]],
    ['a request line that says HTTP/2.0 is none', `GET /public/plain HTTP/2.0\r\n${HOST}\r\n`, [400]],
  ]
  for (const [title, bytes, statuses] of rows) {
    test(`[FR-053] ${title}`, async () => {
      const exchanged = await stage.exchange({ bytes: bytes.replaceAll('HOST', stage.host) })
      stage.recorder.forget()
      expect(findingsOf(stage.known, exchanged)).toEqual([])
      if (statuses !== null) expect(exchanged.answers.map(({ status }) => status)).toEqual(statuses)
    })
  }
})
