/** Rows: how answers are framed, for every method and status, by upstreams that do it right and by those that do not. */

import { type HttpRow, OK, OK_SEEN } from './table.ts'

const HEAD_ONLY = { status: 200, body: '' } as const
const A = [{ line: 'GET /wire/a' }] as const
const GET = 'GET /wire/a HTTP/1.1\r\nHost: HOST\r\n\r\n'
const NO_FRAMING = ['transfer-encoding', 'content-length'] as const

/** RFC 9112 §2.2 and RFC 9110 §8.6 let a recipient read these two in one way, and the runtime does. */
const LENIENT: Readonly<Record<string, Pick<HttpRow, 'differs'>>> = {
  list: { differs: { workerd: { because: 'the runtime takes two equal lengths for one', answers: [OK_SEEN] } } },
  'line-feed': {
    differs: { workerd: { because: 'the runtime takes a line feed for the end of a line', answers: [OK_SEEN] } },
  },
}

export const ANSWER_ROWS: readonly HttpRow[] = [
  {
    id: 'length',
    title: 'an answer with a length keeps it',
    ask: {},
    expect: {
      answers: [{ ...OK_SEEN, has: ['content-length: 2'], lacks: ['transfer-encoding'] }],
      end: 'open',
      upstream: A,
    },
  },
  {
    id: 'length-zero',
    title: 'an answer of no bytes',
    ask: {},
    upstream: ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
    expect: { answers: [{ status: 200, body: '', has: ['content-length: 0'] }], end: 'open', upstream: A },
  },
  {
    id: 'chunked-tiny',
    title: 'chunks of one byte, with extensions, come through as the same bytes',
    ask: {},
    upstream: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\no\r\n1;c="d"\r\nk\r\n00;e\r\n\r\n'],
    expect: {
      answers: [{ ...OK_SEEN, has: ['transfer-encoding: chunked'], lacks: ['content-length'] }],
      end: 'open',
      upstream: A,
    },
  },
  {
    id: 'chunked-large',
    title: 'large chunks come through as the same bytes',
    ask: {},
    upstream: [
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n${'x'.repeat(0x40000)}\r\n3\r\nend\r\n0\r\n\r\n`,
    ],
    expect: { answers: [{ status: 200, body: `${'x'.repeat(0x40000)}end` }], end: 'open', upstream: A },
  },
  {
    id: 'chunked-empty',
    title: 'chunks of no bytes at all',
    ask: {},
    upstream: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    expect: { answers: [{ status: 200, body: '' }], end: 'open', upstream: A },
  },
  {
    id: 'close-delimited',
    title: 'an answer that ends with its connection becomes one with an end of its own',
    ask: {},
    upstream: [['whole', 'HTTP/1.1 200 OK\r\n\r\nold manners', 'close']],
    expect: { answers: [{ status: 200, body: 'old manners' }], end: 'open', upstream: A, isUpstreamClosed: true },
  },
  {
    id: 'upstream-http10',
    title: 'an upstream of HTTP/1.0 is understood',
    ask: {},
    upstream: [['whole', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', 'close']],
    expect: { answers: [OK_SEEN], end: 'open', upstream: A },
  },
  {
    id: 'client-http10',
    title: 'a client of HTTP/1.0 gets no chunks, and the end of the connection ends the body',
    ask: { bytes: ['GET /wire/a HTTP/1.0\r\nHost: HOST\r\n\r\n'] },
    upstream: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    expect: { answers: [{ ...OK_SEEN, lacks: NO_FRAMING }], end: 'closed', upstream: A },
  },
  {
    id: 'client-http10-keep-alive',
    title: 'a client of HTTP/1.0 may keep its connection where the answer has a length',
    ask: { bytes: ['GET /wire/a HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\n\r\n'] },
    expect: { answers: [OK_SEEN], end: 'open', upstream: A },
  },
  {
    id: 'client-close',
    title: 'a client that says close is closed on, behind a whole answer',
    ask: { bytes: ['GET /wire/a HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n'] },
    expect: {
      answers: [{ ...OK_SEEN, has: ['connection: close'] }],
      end: 'closed',
      upstream: [{ line: 'GET /wire/a', lacks: ['close'] }],
    },
  },
  {
    id: 'upstream-close',
    title: 'that an upstream closes is no matter of the client',
    ask: {},
    upstream: [['whole', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok', 'close']],
    expect: { answers: [OK_SEEN], end: 'open', upstream: A, isUpstreamClosed: true },
  },
  {
    id: 'head-length',
    title: 'HEAD has the length of GET, and no body',
    ask: { method: 'HEAD' },
    upstream: ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'],
    expect: {
      answers: [{ ...HEAD_ONLY, has: ['content-length: 5'] }],
      end: 'open',
      upstream: [{ line: 'HEAD /wire/a' }],
    },
  },
  {
    id: 'head-chunked',
    title: 'HEAD of what GET would send in chunks',
    ask: { method: 'HEAD' },
    upstream: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    expect: { answers: [HEAD_ONLY], end: 'open', upstream: [{ line: 'HEAD /wire/a' }] },
  },
  {
    id: 'head-body',
    title: 'a body that an upstream sends with HEAD is nobody’s, and not the next answer',
    ask: {
      bytes: [GET.replace('GET', 'HEAD'), { client: '\r\n\r\n' }, GET.replace('/a', '/b')],
      methods: ['HEAD', 'GET'],
    },
    upstream: ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong', OK],
    expect: {
      answers: [{ ...HEAD_ONLY, has: ['content-length: 5'] }, OK_SEEN],
      end: 'open',
      upstream: [{ line: 'HEAD /wire/a' }, { line: 'GET /wire/b' }],
      never: ['wrong'],
    },
  },
  ...[204, 304].flatMap((status): HttpRow[] => [
    {
      id: `${status}-bare`,
      title: `a ${status} ends with its head`,
      ask: {},
      upstream: [`HTTP/1.1 ${status} X\r\nETag: "a"\r\n\r\n`],
      expect: { answers: [{ status, body: '', has: ['etag: "a"'], lacks: NO_FRAMING }], end: 'open', upstream: A },
    },
    {
      id: `${status}-length`,
      title:
        status === 204
          ? 'a 204 has no length, whatever its upstream says'
          : 'a 304 keeps the length that a 200 would have',
      ask: {},
      upstream: [`HTTP/1.1 ${status} X\r\nContent-Length: 5\r\n\r\n`],
      expect: {
        answers: [status === 204 ? { status, lacks: NO_FRAMING } : { status, has: ['content-length: 5'] }],
        end: 'open',
        upstream: A,
      },
      differs: { workerd: { because: 'the runtime writes no length where there is no body', answers: [{ status }] } },
    },
    {
      id: `${status}-chunked`,
      title: `a ${status} has no chunks, whatever its upstream says`,
      ask: {},
      upstream: [`HTTP/1.1 ${status} X\r\nTransfer-Encoding: chunked\r\n\r\n`],
      expect: { answers: [{ status, body: '', lacks: ['transfer-encoding'] }], end: 'open', upstream: A },
    },
    {
      id: `${status}-body`,
      title: `a body that an upstream sends with a ${status} is nobody’s, and not the next answer`,
      ask: { bytes: [GET, { client: '\r\n\r\n' }, GET.replace('/a', '/b')] },
      upstream: [`HTTP/1.1 ${status} X\r\nContent-Length: 33\r\n\r\nHTTP/1.1 200 OK\r\nX-A: wrong\r\n\r\nno`, OK],
      expect: {
        answers: [{ status, body: '' }, OK_SEEN],
        end: 'open',
        upstream: [...A, { line: 'GET /wire/b' }],
        never: ['wrong'],
      },
    },
  ]),
  ...(
    [
      'Content-Length: 0\r\n\r\n',
      'Content-Length: 5\r\n\r\nwrong',
      'Transfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n',
    ] as const
  ).map(
    (rest, at): HttpRow => ({
      id: `205-${at}`,
      title: 'a 205 has no content, whatever its upstream sends with it',
      ask: {},
      upstream: [`HTTP/1.1 205 Reset Content\r\n${rest}`],
      expect: { answers: [{ status: 205, body: '' }], end: 'open', upstream: A, never: ['wrong'] },
    }),
  ),
  {
    id: 'length-two',
    title: 'an answer with two lengths is none',
    ask: {},
    upstream: ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nokHTTP/1.1'],
    expect: { answers: [{ status: 502 }], end: 'open', upstream: A, isUpstreamClosed: true },
  },
  {
    id: 'length-and-coding',
    title: 'an answer with a length beside a coding is none',
    ask: {},
    upstream: ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
    expect: { answers: [{ status: 502 }], end: 'open', upstream: A, isUpstreamClosed: true },
  },
  ...(
    [
      ['negative', 'Content-Length: -2\r\n\r\nok'],
      ['signed', 'Content-Length: +2\r\n\r\nok'],
      ['list', 'Content-Length: 2, 2\r\n\r\nok'],
      ['coding-unknown', 'Transfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
      ['line-feed', 'X-A: b\nContent-Length: 2\r\n\r\nok'],
      ['space-colon', 'Content-Length : 2\r\n\r\nok'],
      ['folded', 'X-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok'],
      ['nul', 'X-A: b\0c\r\nContent-Length: 2\r\n\r\nok'],
    ] as const
  ).map(
    ([name, rest]): HttpRow => ({
      id: `answer-${name}`,
      title: 'an answer that could be read in two ways is never relayed as one',
      ask: {},
      upstream: [['whole', `HTTP/1.1 200 OK\r\n${rest}`, 'close']],
      expect: { answers: [{ status: 502 }], end: 'open', upstream: A, isUpstreamClosed: true },
      ...LENIENT[name],
    }),
  ),
  {
    id: 'answer-drip',
    title: 'an answer that comes byte by byte is one answer',
    ask: {},
    upstream: [
      ['whole', { drip: 'HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n' }],
    ],
    expect: { answers: [{ ...OK_SEEN, has: ['x-a: b'] }], end: 'open', upstream: A },
  },
  {
    id: 'answer-stream',
    title: 'a head leaves before its body is there, and each piece as it comes',
    ask: { bytes: ['GET /wire/a HTTP/1.1\r\nHost: HOST\r\n\r\n', { client: 'second' }] },
    upstream: [
      [
        'whole',
        'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n',
        { client: 'text/event-stream' },
        '5\r\nfirst\r\n',
        { client: 'first' },
        '6\r\nsecond\r\n0\r\n\r\n',
      ],
    ],
    expect: { answers: [{ status: 200, body: 'firstsecond' }], end: 'open', upstream: A },
  },
]
