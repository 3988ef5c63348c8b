/** Rows: fields that are about a connection, a body or an origin, and what becomes of them on the way. */

import { type HttpRow, OK, OK_SEEN } from './table.ts'

const A = [{ line: 'GET /wire/a' }] as const
const trailing = (trailers: string) =>
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\n${trailers}\r\n`
const FETCH = { workerd: 'fetch shows no trailers' } as const

export const FIELD_ROWS: readonly HttpRow[] = [
  {
    id: 'date-kept',
    title: 'a Date of the upstream is kept, and is the only one',
    ask: {},
    upstream: ['HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok'],
    expect: { answers: [{ ...OK_SEEN, has: ['date: Sun, 06 Nov 1994 08:49:37 GMT'] }], end: 'open', upstream: A },
  },
  {
    id: 'date-added',
    title: 'an answer without a Date gets one',
    ask: {},
    expect: { answers: [{ ...OK_SEEN, has: ['date: *'] }], end: 'open', upstream: A },
    differs: {
      workerd: { because: 'what a Worker answers is dated by the edge in front of it, if at all', answers: [OK_SEEN] },
    },
  },
  {
    id: 'via-none',
    title: 'no Via and no Server of ours: neither end learns what stands between',
    ask: {},
    expect: {
      answers: [{ ...OK_SEEN, lacks: ['via', 'server', 'x-powered-by'] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', lacks: ['via', 'user-agent'] }],
    },
  },
  {
    id: 'via-kept',
    title: 'Via of other proxies and Server of the upstream pass as they are',
    ask: { fields: ['Via: 1.1 other'] },
    upstream: ['HTTP/1.1 200 OK\r\nServer: books/1\r\nVia: 1.0 inner\r\nContent-Length: 2\r\n\r\nok'],
    expect: {
      answers: [{ ...OK_SEEN, has: ['server: books/1', 'via: 1.0 inner'] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', has: ['via: 1.1 other'] }],
    },
  },
  {
    id: 'compression',
    title: 'compression is between the two ends: fields and bytes pass as they are',
    ask: { fields: ['Accept-Encoding: br;q=0.5, gzip'] },
    upstream: [
      'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\xff',
    ],
    expect: {
      answers: [{ status: 200, body: '\x1f\x8b\x00\xff', has: ['content-encoding: gzip'] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', has: ['accept-encoding: br;q=0.5, gzip'] }],
    },
    except: { workerd: 'fetch writes Accept-Encoding itself, and decodes' },
  },
  {
    id: 'compression-unasked',
    title: 'no compression is asked for that the client did not ask for',
    ask: {},
    expect: { answers: [OK_SEEN], end: 'open', upstream: [{ line: 'GET /wire/a', lacks: ['accept-encoding'] }] },
    except: { workerd: 'fetch writes Accept-Encoding itself, and decodes' },
  },
  {
    id: 'prototype',
    title: 'names that mean something to JavaScript are names (CVE-2026-21710)',
    ask: { fields: ['__proto__: a', 'constructor: b', '__proto__: c'] },
    upstream: ['HTTP/1.1 200 OK\r\n__proto__: a\r\nconstructor: b\r\nContent-Length: 2\r\n\r\nok'],
    expect: {
      answers: [{ ...OK_SEEN, has: ['constructor: b'] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', has: ['constructor: b'], lacks: ['__proto__'] }],
    },
  },
  {
    id: 'ranges',
    title: 'a range is asked for and answered as it stands',
    ask: { fields: ['Range: bytes=0-1', 'If-None-Match: "a"'] },
    upstream: ['HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok'],
    expect: {
      answers: [{ status: 206, body: 'ok', has: ['content-range: bytes 0-1/9'] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', has: ['range: bytes=0-1', 'if-none-match: "a"'] }],
    },
  },
  {
    id: 'connection-request',
    title: 'what the client says of its connection goes no further, nor what it nominates',
    ask: {
      bytes: [
        'GET /wire/a HTTP/1.1\r\nHost: HOST\r\nConnection: keep-alive, X-One, x-forwarded-for\r\nX-One: dropped\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nX-Two: kept\r\n\r\n',
      ],
    },
    expect: {
      answers: [OK_SEEN],
      end: 'open',
      upstream: [
        {
          line: 'GET /wire/a',
          has: ['x-two: kept', 'x-forwarded-for: *'],
          lacks: ['x-one', 'keep-alive', 'proxy-connection', 'te'],
        },
      ],
    },
  },
  {
    id: 'connection-answer',
    title: 'what the upstream says of its connection goes no further, nor what it nominates',
    ask: {},
    upstream: [
      'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-One\r\nX-One: dropped\r\nKeep-Alive: timeout=47114711\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Two: kept\r\nContent-Length: 2\r\n\r\nok',
    ],
    expect: {
      answers: [{ ...OK_SEEN, has: ['x-two: kept'], lacks: ['x-one', 'proxy-authenticate', 'upgrade'] }],
      end: 'open',
      upstream: A,
      never: ['47114711'],
    },
  },
  {
    id: 'cookies',
    title: 'our cookies do not reach the upstream, and it cannot set ours',
    ask: {
      fields: ['Cookie: theme=dark; postern.session_token=mine-47114711; __Host-postern.session_token=mine-47114711'],
    },
    upstream: [
      'HTTP/1.1 200 OK\r\nSet-Cookie: books=1\r\nSet-Cookie: postern.session_token=theirs-47114711\r\nSet-Cookie: __Secure-postern.session_token=theirs-47114711\r\nSet-Cookie: books=2; Path=/\r\nContent-Length: 2\r\n\r\nok',
    ],
    expect: {
      answers: [{ ...OK_SEEN, has: ['set-cookie: books=1', 'set-cookie: books=2; Path=/'] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', has: ['cookie: theme=dark'] }],
      never: ['47114711'],
    },
  },
  {
    id: 'trailers',
    title: 'trailers of an answer pass to a client that takes them',
    ask: { fields: ['TE: trailers'] },
    upstream: [trailing('X-Sum: 1\r\nServer-Timing: db;dur=5\r\nGrpc-Status: 0\r\n')],
    expect: {
      answers: [
        { ...OK_SEEN, trailers: ['x-sum: 1', 'server-timing: db;dur=5', 'grpc-status: 0'], lacks: ['trailer'] },
      ],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', has: ['te: trailers'] }],
    },
    except: FETCH,
  },
  {
    id: 'trailers-among',
    title: 'TE may name more; what we do not speak is not passed on',
    ask: { bytes: ['GET /wire/a HTTP/1.1\r\nHost: HOST\r\nConnection: TE\r\nTE: deflate;q=0.5, Trailers\r\n\r\n'] },
    upstream: [trailing('X-Sum: 1\r\n')],
    expect: {
      answers: [{ ...OK_SEEN, trailers: ['x-sum: 1'] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', has: ['te: trailers'] }],
    },
    except: FETCH,
  },
  {
    id: 'trailers-unasked',
    title: 'trailers of an answer end with us where the client did not say that it takes them',
    ask: {},
    upstream: [trailing('X-Sum: 1\r\n')],
    expect: {
      answers: [{ ...OK_SEEN, trailers: [], lacks: ['trailer'] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', lacks: ['te'] }],
    },
  },
  {
    id: 'trailers-policy',
    title: 'no trailer says what only a head may say, nor what no upstream may say',
    ask: { fields: ['TE: trailers'] },
    upstream: [
      trailing(
        [
          'Set-Cookie: postern.session_token=47114711',
          'Set-Cookie: books=47114711',
          'Keep-Alive: 47114711',
          'Cache-Control: max-age=47114711',
          'CDN-Cache-Control: max-age=47114711',
          'Authorization: 47114711',
          'WWW-Authenticate: 47114711',
          'X-Forwarded-User: 47114711',
          'X_Forwarded_User: 47114711',
          'Set_Cookie: 47114711',
          'Cache.Control: 47114711',
          'Remote-User: 47114711',
          'X-Postern-Assertion: 47114711',
          'Access-Control-Allow-Origin: 47114711',
          'Location: /47114711',
          'Host: 47114711',
          'Vary: x-47114711',
          'Content-Encoding: 47114711',
          'Content-Type: text/47114711',
          'Clear-Site-Data: "47114711"',
          'Strict-Transport-Security: max-age=47114711',
          'X-Request-Id: 47114711',
          'RateLimit: 47114711',
          'Sec-Thing: 47114711',
          'Link: </47114711>',
          'X-Sum: kept',
          '',
        ].join('\r\n'),
      ),
    ],
    expect: { answers: [{ ...OK_SEEN, trailers: ['x-sum: kept'] }], end: 'open', upstream: A, never: ['47114711'] },
    except: FETCH,
  },
  ...['Content-Length: 47114711', 'X-A: b\nX-B: 47114711', 'X-A : 47114711', ' X-A: 47114711'].map(
    (line, at): HttpRow => ({
      id: `trailers-wrong-${at}`,
      title: 'trailers that frame, or that cannot be read, are the end of an answer that is not whole',
      ask: { bytes: ['GET /wire/a HTTP/1.1\r\nHost: HOST\r\nTE: trailers\r\n\r\n'] },
      upstream: [
        [
          'whole',
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n',
          { client: 'ok' },
          `0\r\n${line}\r\n\r\n`,
        ],
      ],
      expect: { answers: [{ status: 200 }], end: 'torn', upstream: A, isUpstreamClosed: true, never: ['47114711'] },
      except: FETCH,
    }),
  ),
  {
    id: 'trailers-edited',
    title: 'what a route removes from answers it removes from their trailers',
    ask: { target: '/wire/edited', fields: ['TE: trailers'] },
    upstream: [trailing('X-Sum: 47114711\r\nX-Other: 1\r\n')],
    expect: {
      answers: [{ ...OK_SEEN, trailers: ['x-other: 1'] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/edited' }],
      never: ['47114711'],
    },
    except: FETCH,
  },
  {
    id: 'trailers-http10',
    title: 'a client of HTTP/1.0 gets the body and nothing behind it',
    ask: { bytes: ['GET /wire/a HTTP/1.0\r\nHost: HOST\r\nTE: trailers\r\n\r\n'] },
    upstream: [trailing('X-Sum: 47114711\r\n')],
    expect: { answers: [OK_SEEN], end: 'closed', upstream: A, never: ['47114711'] },
  },
  {
    id: 'request-trailers',
    title: 'trailers of a request end with us: no upstream can say that it takes them',
    ask: {
      method: 'POST',
      body: ['ok'],
      fields: ['Trailer: X-Sum'],
      trailers: ['X-Sum: 47114711', 'X-Forwarded-User: 47114711', 'Cookie: 47114711'],
    },
    upstream: [OK],
    expect: {
      answers: [OK_SEEN],
      end: 'open',
      upstream: [{ line: 'POST /wire/a', body: 'ok', trailers: [], lacks: ['trailer'] }],
      never: ['47114711'],
    },
    except: { h2: 'the client of this runner sends none' },
  },
]
