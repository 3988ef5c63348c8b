/** Rows: exchanges that end too early, on either side, and what an upstream sends when nobody asked. */

import { type HttpRow, OK, OK_SEEN } from './table.ts'

const GET = 'GET /wire/a HTTP/1.1\r\nHost: HOST\r\n\r\n'
const OLD = 'GET /wire/a HTTP/1.0\r\nHost: HOST\r\n\r\n'
const A = [{ line: 'GET /wire/a' }] as const
const AB = [...A, { line: 'GET /wire/b' }] as const
const TOO_LARGE = 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nearly'
const UPLOAD = 'POST /wire/a HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1000000\r\n'
/** What the runtime in front of a Worker does with connections of clients is its own. */
const CLIENTS = { workerd: 'the runtime ends its connections to clients itself' } as const
const UPGRADE =
  'GET /wire/a HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n'
const HALF = 'x'.repeat(500_000)

export const END_ROWS: readonly HttpRow[] = [
  {
    id: 'early-answer',
    title: 'an answer that does not wait for the body arrives, and the rest of the body is nobody’s',
    ask: { bytes: [`${UPLOAD}\r\n${HALF}`, { client: 'early' }, HALF] },
    upstream: [[TOO_LARGE]],
    expect: {
      answers: [{ status: 413, body: 'early' }],
      end: 'open',
      upstream: [],
      partial: /^POST \/wire\/a /,
      isUpstreamClosed: true,
    },
    except: CLIENTS,
  },
  {
    id: 'early-answer-close',
    title: 'so too where the client says close: its answer is not lost in a reset',
    ask: { bytes: [`${UPLOAD}Connection: close\r\n\r\n${HALF}`, { client: 'early' }, HALF] },
    upstream: [[TOO_LARGE]],
    expect: { answers: [{ status: 413, body: 'early' }], end: 'closed', upstream: [], partial: /^POST \/wire\/a / },
    except: CLIENTS,
  },
  {
    id: 'early-answer-closes',
    title: 'so too where the upstream hangs up at once',
    ask: { bytes: [`${UPLOAD}\r\n${HALF}`, { client: 'early' }, HALF] },
    upstream: [[TOO_LARGE, 'close']],
    expect: {
      answers: [{ status: 413, body: 'early' }],
      end: 'open',
      upstream: [],
      partial: /^POST \/wire\/a /,
      isUpstreamClosed: true,
    },
    except: CLIENTS,
  },
  {
    id: 'both-ways',
    title: 'an answer and a body may flow at once',
    ask: {
      bytes: [
        'POST /wire/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n',
        { client: 'one' },
        '1\r\nb\r\n0\r\n\r\n',
      ],
    },
    upstream: [['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n', 'whole', '3\r\ntwo\r\n0\r\n\r\n']],
    expect: {
      answers: [{ status: 200, body: 'onetwo' }],
      end: 'open',
      upstream: [{ line: 'POST /wire/a', body: 'ab' }],
    },
    except: { workerd: 'fetch answers once the body has been sent' },
  },
  {
    id: 'client-gone-before',
    title: 'a client that leaves before its answer cancels the upstream',
    ask: { bytes: [GET, { upstream: '\r\n\r\n' }, 'reset'] },
    upstream: [['whole']],
    expect: { answers: [], end: 'gone', upstream: A, isUpstreamClosed: true },
  },
  {
    id: 'client-gone-during',
    title: 'a client that leaves during its answer cancels the upstream',
    ask: { bytes: [GET, { client: 'some' }, 'reset'] },
    upstream: [['whole', 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome']],
    expect: { answers: [], end: 'gone', upstream: A, isUpstreamClosed: true },
  },
  {
    id: 'client-gone-upload',
    title: 'a client that leaves during its body leaves no whole request behind',
    ask: {
      bytes: [
        'POST /wire/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n',
        { upstream: 'some' },
        'reset',
      ],
    },
    upstream: [['whole']],
    expect: { answers: [], end: 'gone', upstream: [], partial: /some(?:\r\n)?$/, isUpstreamClosed: true },
  },
  {
    id: 'client-gone-upload-length',
    title: 'so too with a length',
    ask: { bytes: [`${UPLOAD}\r\nsome`, { upstream: 'some' }, 'end'] },
    upstream: [['whole']],
    expect: { answers: [], end: 'gone', upstream: [], partial: /some$/, isUpstreamClosed: true },
  },
  {
    id: 'client-gone-pipelined',
    title: 'so too with a second request behind the first',
    ask: { bytes: [GET, { upstream: '/wire/a' }, GET.replace('/a', '/b'), { upstream: '/wire/b' }, 'reset'] },
    upstream: [['whole'], ['whole']],
    expect: { answers: [], end: 'gone', upstream: AB, isUpstreamClosed: true },
    except: CLIENTS,
  },
  {
    id: 'client-gone-after',
    title: 'a client that leaves after its answer spoils nothing',
    ask: { bytes: [GET, { client: 'ok' }, 'reset'] },
    expect: { answers: [OK_SEEN], end: 'gone', upstream: A },
  },
  ...(
    [
      ['garbage', OLD, HALF],
      ['requests', OLD, GET.repeat(5_000)],
      ['upload', GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'), `${UPLOAD}\r\n${HALF}`],
      ['upgrade', OLD, `${UPGRADE}${HALF}`],
    ] as const
  ).map(
    ([name, last, more]): HttpRow => ({
      id: `last-and-${name}`,
      title: 'what comes behind the last request is nobody’s, and does not make a reset of the end',
      ask: { bytes: [last + more, { client: '\r\n\r\n' }, more, { client: 'ok' }, more] },
      upstream: [['whole', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n', { client: '\r\n\r\n' }, 'ok']],
      expect: { answers: [OK_SEEN], end: 'closed', upstream: A },
      except: CLIENTS,
    }),
  ),
  {
    id: 'client-half-closed',
    title: 'a client that ends its side has left: nobody works for who may not be there',
    ask: { bytes: [GET, { upstream: '\r\n\r\n' }, 'end'] },
    upstream: [['whole']],
    expect: { answers: [], end: 'closed', upstream: A, isUpstreamClosed: true },
    except: CLIENTS,
  },
  {
    id: 'upstream-gone-before',
    title: 'an upstream that hangs up without an answer is asked again for a GET, and is then a 502',
    ask: {},
    upstream: [['whole', 'close']],
    expect: { answers: [{ status: 502 }], end: 'open', upstream: A, isRetried: true },
  },
  {
    id: 'upstream-gone-before-post',
    title: 'a POST is never sent twice',
    ask: { method: 'POST', body: 'once' },
    upstream: [['whole', 'reset']],
    expect: { answers: [{ status: 502 }], end: 'open', upstream: [{ line: 'POST /wire/a', body: 'once' }] },
  },
  {
    id: 'upstream-gone-head',
    title: 'half a head is no answer',
    ask: {},
    upstream: [['whole', 'HTTP/1.1 200 OK\r\nContent-Le', 'close']],
    expect: { answers: [{ status: 502 }], end: 'open', upstream: A, isUpstreamClosed: true },
    differs: {
      undici: {
        because: 'undici does not tell half a head from none, and a GET that had no answer is sent again',
        isRetried: true,
      },
    },
  },
  ...(
    [
      ['length', 'Content-Length: 1000\r\n\r\nsome', 'close'],
      ['length-reset', 'Content-Length: 1000\r\n\r\nsome', 'reset'],
      ['chunked', 'Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n', 'close'],
      ['chunk', 'Transfer-Encoding: chunked\r\n\r\n9\r\nsome', 'close'],
      ['trailers', 'Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\nX-A: b\r\n', 'close'],
      ['bad-chunk', 'Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\nzz\r\n', 'close'],
    ] as const
  ).flatMap(([name, rest, end]): HttpRow[] => {
    const head = rest.replace(/some[\s\S]*$/, '')
    const tail = rest.replace(/^[\s\S]*some/, '')
    const upstream = [['whole', `HTTP/1.1 200 OK\r\n${head}some`, { client: 'some' }, tail, end]] as const
    return [
      {
        id: `torn-${name}`,
        title: 'a torn answer is never delivered as complete',
        ask: { bytes: [GET] },
        upstream,
        expect: { answers: [{ status: 200 }], end: 'torn', upstream: A },
      },
      {
        id: `torn-${name}-http10`,
        title: 'to a client of HTTP/1.0 only a reset says that it is not all',
        ask: { bytes: [OLD] },
        upstream,
        expect: { answers: [{ status: 200 }], end: name.startsWith('length') ? 'torn' : 'reset', upstream: A },
        except: CLIENTS,
      },
    ]
  }),
  {
    id: 'stalled',
    title: 'an upstream that says nothing is a 504 in the end',
    ask: { target: '/wire/slow' },
    upstream: [['whole']],
    expect: { answers: [{ status: 504 }], end: 'open', upstream: [{ line: 'GET /wire/slow' }], isUpstreamClosed: true },
  },
  {
    id: 'stalled-during',
    title: 'one that falls silent in the middle is torn',
    ask: { bytes: ['GET /wire/slow HTTP/1.1\r\nHost: HOST\r\n\r\n'] },
    upstream: [['whole', 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome']],
    expect: { answers: [{ status: 200 }], end: 'torn', upstream: [{ line: 'GET /wire/slow' }], isUpstreamClosed: true },
    except: { workerd: 'fetch is timed to its head' },
  },
  ...(
    [
      ['after', `${OK}GARBAGE`],
      ['after-answer', `${OK}HTTP/1.1 200 OK\r\nX-A: poison\r\nContent-Length: 6\r\n\r\npoison`],
      [
        'after-chunks',
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison',
      ],
      ['after-304', 'HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'],
    ] as const
  ).map(
    ([name, bytes]): HttpRow => ({
      id: `garbage-${name}`,
      title: 'what an upstream sends behind its answer is not the next answer',
      ask: { bytes: [GET, { client: '\r\n\r\n' }, GET.replace('/a', '/b')] },
      upstream: [bytes, OK],
      expect: {
        answers: [name === 'after-304' ? { status: 304 } : OK_SEEN, OK_SEEN],
        end: 'open',
        upstream: AB,
        never: ['poison', 'GARBAGE'],
      },
    }),
  ),
  {
    id: 'garbage-idle',
    title: 'what an upstream sends on an idle connection is not the next answer',
    ask: { bytes: [GET, { client: 'ok' }, { openAtUpstream: 0 }, GET.replace('/a', '/b')] },
    upstream: [['whole', OK, { client: 'ok' }, 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'], OK],
    expect: { answers: [OK_SEEN, OK_SEEN], end: 'open', upstream: AB, never: ['poison'] },
  },
  {
    id: 'garbage-instead',
    title: 'garbage in place of an answer is a 502',
    ask: {},
    upstream: ['\0\x01 poison\r\n\r\n'],
    expect: { answers: [{ status: 502 }], end: 'open', upstream: A, isUpstreamClosed: true, never: ['poison'] },
  },
  {
    id: 'head-too-large',
    title: 'a head of an upstream without end is a 502',
    ask: {},
    upstream: [['whole', `HTTP/1.1 200 OK\r\nX-A: ${'x'.repeat(200_000)}`]],
    expect: { answers: [{ status: 502 }], end: 'open', upstream: A, isUpstreamClosed: true },
    except: { workerd: 'the runtime bounds heads at another size' },
  },
]
