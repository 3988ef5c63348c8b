/** Answers as bytes: what is read of them however they are cut, and what is refused. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { read } from '../../../bench/fuzz/responses.ts'

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`
const BODY = '5\r\nhello\r\n'
const answer = (bytes: string, { method = 'GET', hasEnd = false, cuts = [] as readonly number[] } = {}) =>
  read({ method, bytes, hasEnd, cuts }, cuts)

interface Row {
  readonly title: string
  readonly bytes: string
  readonly method?: string
  readonly hasEnd?: boolean
  readonly is: Partial<ReturnType<typeof answer>>
}

const taken: readonly Row[] = [
  {
    title: 'a length, and the connection goes on',
    bytes: `${OK}Content-Length: 5\r\nX:  a \t\r\nY:\r\n\r\nhello`,
    is: { status: 200, headers: ['Content-Length', '5', 'X', 'a', 'Y', ''], body: 'hello', isReusable: true },
  },
  {
    title: 'no reason and no space before it',
    bytes: 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n',
    is: { status: 200 },
  },
  { title: 'bytes beyond ASCII', bytes: `${OK}X: \xe9\xff\r\nContent-Length: 1\r\n\r\n\xfe`, is: { body: '\xfe' } },
  {
    title: 'chunks with extensions, and trailers',
    bytes: `${CHUNKED}5;a;b=c;d="e;\\"\r";f=g\r\nhello\r\n00a\r\n, world!!!\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n`.replace(
      '\\"\r"',
      '\\"\t"',
    ),
    is: { body: 'hello, world!!!', trailers: ['X-Sum', '1', 'Y', ''], isReusable: true },
  },
  {
    title: 'chunks in capitals',
    bytes: `${OK}transfer-encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n`,
    is: { body: '0123456789' },
  },
  {
    title: 'a body up to the end of the connection',
    bytes: `${OK}\r\nall of it`,
    hasEnd: true,
    is: { body: 'all of it', isReusable: false },
  },
  {
    title: 'HTTP/1.0, never used again',
    bytes: 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx',
    is: { body: 'x', isReusable: false },
  },
  {
    title: 'a server that closes',
    bytes: `${OK}Connection: x, Close\r\nContent-Length: 1\r\n\r\nx`,
    is: { body: 'x', isReusable: false },
  },
  {
    title: 'HEAD with a length, whose body some servers send all the same',
    bytes: `${OK}Content-Length: 9\r\n\r\n`,
    method: 'HEAD',
    is: { body: '', isReusable: false },
  },
  { title: 'HEAD with chunks', bytes: CHUNKED, method: 'HEAD', is: { body: '', isReusable: false } },
  { title: 'HEAD without a length', bytes: `${OK}\r\n`, method: 'HEAD', is: { body: '', isReusable: false } },
  { title: '204', bytes: 'HTTP/1.1 204 No Content\r\n\r\n', is: { status: 204, isReusable: true } },
  {
    title: '204 with a length',
    bytes: 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n',
    is: { status: 204, isReusable: false },
  },
  { title: '304', bytes: 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', is: { status: 304, isReusable: true } },
  {
    title: '304 with a length',
    bytes: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
    is: { status: 304, isReusable: false },
  },
  {
    title: '304 with chunks',
    bytes: 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n',
    is: { body: '', isReusable: false },
  },
  {
    title: '205 with a body',
    bytes: 'HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nab',
    is: { status: 205, body: 'ab' },
  },
  {
    title: '103, then the answer',
    bytes: `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`,
    is: { interim: ['103\nLink\n</a>'], status: 200, body: 'ok', isReusable: true },
  },
  {
    title: '100 that nobody asked for is dropped, and the connection with it',
    bytes: `HTTP/1.1 100 Continue\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`,
    is: { interim: [], body: 'ok', isReusable: false },
  },
]

describe('an answer is read the same wherever it is cut', () => {
  for (const { title, bytes, method = 'GET', hasEnd = false, is } of taken) {
    test(`[FR-054] ${title}`, () => {
      const whole = answer(bytes, { method, hasEnd })
      expect(whole).toMatchObject({ ...is, fault: null, isComplete: true, to: bytes.length })
      for (let at = 1; at < bytes.length; at++)
        expect(answer(bytes, { method, hasEnd, cuts: [at] }), `cut at ${at}`).toEqual(whole)
      expect(answer(bytes, { method, hasEnd, cuts: Array.from(bytes, (_, at) => at) })).toEqual(whole)
    })
  }

  test('[FR-054] any lawful answer at any cuts', () => {
    const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,20}$/).map((text) => `X-${text}`)
    const value = fc.stringMatching(/^(?:[!-~](?:[ -~]{0,30}[!-~])?)?$/)
    const lines = fc.array(fc.tuple(name, value), { maxLength: 8 })
    const chunks = fc.array(fc.stringMatching(/^[\x00-\x7f]{1,40}$/), { maxLength: 6 })
    const cuts = fc.array(fc.nat(600), { maxLength: 8 }).map((places) => places.sort((a, b) => a - b))
    fc.assert(
      fc.property(lines, chunks, lines, fc.boolean(), cuts, (head, body, trailers, isChunked, places) => {
        const fields = (pairs: readonly (readonly [string, string])[]) =>
          pairs.map(([n, v]) => `${n}: ${v}\r\n`).join('')
        const whole = body.join('')
        const framed = isChunked
          ? `Transfer-Encoding: chunked\r\n\r\n${body.map((each) => `${each.length.toString(16)}\r\n${each}\r\n`).join('')}0\r\n${fields(trailers)}\r\n`
          : `Content-Length: ${whole.length}\r\n\r\n${whole}`
        const bytes = `${OK}${fields(head)}${framed}`
        const reading = answer(`${bytes}${OK}`, { cuts: places.filter((at) => at < bytes.length) })
        expect(reading).toMatchObject({ body: whole, isComplete: true, isReusable: true, to: bytes.length })
        expect(reading.headers.slice(0, 2 * head.length)).toEqual(head.flat())
        expect(reading.trailers).toEqual(isChunked ? trailers.flat() : [])
      }),
      { numRuns: 300 },
    )
  })
})

const refused: readonly (readonly [title: string, bytes: string])[] = [
  ['another protocol', 'SSH-2.0-OpenSSH\r\n'],
  ['an empty line before the status', `\r\n${OK}\r\n`],
  ['HTTP/2', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n'],
  ['two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
  ['a status below 100', 'HTTP/1.1 099 OK\r\n\r\n'],
  ['two spaces', 'HTTP/1.1  200 OK\r\n\r\n'],
  ['a switch of protocols', 'HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'],
  ['an interim answer with a body', 'HTTP/1.1 103 E\r\nContent-Length: 4\r\n\r\nabcd'],
  ['an interim answer that closes', 'HTTP/1.1 103 E\r\nConnection: close\r\n\r\n'],
  ['an interim answer that closes in old words', 'HTTP/1.1 100\r\nProxy-Connection: close\r\n\r\n'],
  ['interim answers without end', 'HTTP/1.1 103 E\r\n\r\n'.repeat(33)],
  ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
  ['a bare LF in a field', `${OK}X: a\nY: b\r\n\r\n`],
  ['a bare CR', `${OK}X: a\rb\r\n\r\n`],
  ['NUL', `${OK}X: a\0b\r\n\r\n`],
  ['DEL', `${OK}X: \x7f\r\n\r\n`],
  ['a control character in the reason', 'HTTP/1.1 200 O\x01K\r\n\r\n'],
  ['a blank before the colon', `${OK}X : a\r\n\r\n`],
  ['a folded line', `${OK}X: a\r\n b\r\n\r\n`],
  ['a folded first line', `${OK} X: a\r\n\r\n`],
  ['no colon', `${OK}nonsense\r\n\r\n`],
  ['no name', `${OK}: a\r\n\r\n`],
  ['a name beyond ASCII', `${OK}X\xe9: a\r\n\r\n`],
  ['513 fields', `${OK}${'a: b\r\n'.repeat(513)}\r\n`],
  ['a head without end', `${OK}X: ${'x'.repeat(70_000)}`],
  ['two lengths, though equal', `${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
  ['a list of lengths', `${OK}Content-Length: 5, 5\r\n\r\nhello`],
  ['a signed length', `${OK}Content-Length: +5\r\n\r\nhello`],
  ['a negative length', `${OK}Content-Length: -1\r\n\r\n`],
  ['a hexadecimal length', `${OK}Content-Length: 0x5\r\n\r\nhello`],
  ['no length', `${OK}Content-Length:\r\n\r\n`],
  ['a length beyond counting', `${OK}Content-Length: 9007199254740993\r\n\r\n`],
  ['a length and chunks', `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['chunks and a length', `${OK}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`],
  ['two codings', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['two lines of codings', `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['another coding', `${OK}Transfer-Encoding: identity\r\n\r\nabc`],
  ['a coding that llhttp does not know for its tab', `${OK}Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n`],
  ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two framings for HEAD', `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`],
  ['a chunk without a size', `${CHUNKED}\r\n${BODY}`],
  ['a blank behind a size', `${CHUNKED}5 \r\nhello\r\n`],
  ['a blank before a size', `${CHUNKED} 5\r\nhello\r\n`],
  ['a prefix of a size', `${CHUNKED}0x5\r\nhello\r\n`],
  ['a size beyond counting', `${CHUNKED}10000000000000000\r\n`],
  ['a chunk longer than its size', `${CHUNKED}4\r\nhello\r\n`],
  ['a chunk shorter than its size', `${CHUNKED}6\r\nhello\r\n0\r\n\r\n`],
  ['a bare LF behind a size', `${CHUNKED}5\nhello\r\n`],
  ['a bare CR behind a size', `${CHUNKED}5\rhello\r\n`],
  ['a bare LF behind a chunk', `${CHUNKED}5\r\nhello\n`],
  ['a bare CR behind a chunk', `${CHUNKED}5\r\nhello\r0`],
  ['a blank before an extension', `${CHUNKED}5 ;a\r\nhello\r\n`],
  ['an extension without a name', `${CHUNKED}5;\r\nhello\r\n`],
  ['an extension with an open quote', `${CHUNKED}5;a="b\r\nhello\r\n`],
  ['an extension with a line end', `${CHUNKED}5;a="b\n"\r\nhello\r\n`],
  ['extensions without end', `${CHUNKED}${`1;${'a'.repeat(5000)}\r\nx\r\n`.repeat(4)}`],
  ['a length in the trailers', `${CHUNKED}0\r\nContent-Length: 5\r\n\r\n`],
  ['a coding in the trailers', `${CHUNKED}0\r\nTransfer-Encoding: chunked\r\n\r\n`],
  ['a folded trailer', `${CHUNKED}0\r\nX: a\r\n b\r\n\r\n`],
  ['a bare LF in the trailers', `${CHUNKED}0\r\nX: a\n\r\n`],
  ['trailers without end', `${CHUNKED}0\r\n${'X: aaaaaaaaaaaaaaaa\r\n'.repeat(1000)}`],
]

for (const [title, bytes] of refused) {
  test(`[FR-054] refused: ${title}`, () => {
    const whole = answer(bytes)
    expect(whole.fault).not.toBeNull()
    expect(whole).toMatchObject({ isComplete: false, isReusable: false })
    if (bytes.length > 1000) return
    for (let at = 1; at < bytes.length; at++) expect(answer(bytes, { cuts: [at] }), `cut at ${at}`).toEqual(whole)
  })
}

for (const [title, bytes] of [
  ['a head', `${OK}X: a\r\n`],
  ['a body by length', `${OK}Content-Length: 5\r\n\r\nhell`],
  ['a chunk', `${CHUNKED}5\r\nhell`],
  ['chunks without the last', `${CHUNKED}${BODY}`],
  ['trailers', `${CHUNKED}${BODY}0\r\nX: a\r\n`],
  ['an interim answer', 'HTTP/1.1 103 E\r\n\r\n'],
  ['nothing', ''],
] as const) {
  test(`[FR-054] the end of the connection does not complete ${title}`, () => {
    expect(answer(bytes, { hasEnd: true })).toMatchObject({ isComplete: false, fault: null })
  })
}

test('[FR-054] bytes behind an answer are not its own', () => {
  const bytes = `${OK}Content-Length: 2\r\n\r\nok`
  expect(answer(`${bytes}HTTP/1.1 200 OK\r\n\r\npoison`)).toMatchObject({ body: 'ok', to: bytes.length })
})

test('[FR-054] chunks that come together are handed on together', () => {
  expect(answer(`${CHUNKED}${'1\r\nx\r\n'.repeat(1000)}0\r\n\r\n`).body).toBe('x'.repeat(1000))
})

test('[FR-054] a head of 64 KiB that drips is looked at once', () => {
  const bytes = `${OK}${`X: ${'x'.repeat(100)}\r\n`.repeat(500)}\r\n`
  const reading = answer(bytes, { cuts: Array.from(bytes, (_, at) => at) })
  expect(reading.headers).toHaveLength(1000)
})
