/** Rows: answers before the answer (1xx), expectations, and upgrades. */

import { type HttpRow, OK, OK_SEEN } from './table.ts'

const A = [{ line: 'GET /wire/a' }] as const
const HINT =
  'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: x=47114711\r\nX-Forwarded-User: 47114711\r\n\r\n'
const INTERIM = { workerd: 'fetch shows no 1xx' } as const
const CONTINUE = { workerd: 'the runtime answers Expect before a Worker runs' } as const
const post = (target: string, more: string) =>
  `POST ${target} HTTP/1.1\r\nHost: HOST\r\n${more}Expect: 100-continue\r\n`
const ASK =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'
const UPGRADE = {
  workerd: 'the client of a Worker’s WebSocket is the runtime',
} as const

export const INTERIM_ROWS: readonly HttpRow[] = [
  {
    id: 'continue',
    title: 'a body is asked for once the request is let in, and its Expect stays with us',
    ask: {
      bytes: [`${post('/wire/a', 'Content-Length: 4\r\n')}\r\n`, { client: '100 Continue\r\n\r\n' }, 'body'],
      methods: ['POST'],
    },
    expect: {
      answers: [{ ...OK_SEEN, interims: [100] }],
      end: 'open',
      upstream: [{ line: 'POST /wire/a', body: 'body', lacks: ['expect'] }],
    },
    except: CONTINUE,
  },
  {
    id: 'continue-login',
    title: 'so too where somebody must be who they say',
    ask: {
      bytes: [
        `${post('/wire/login', 'Authorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n')}\r\n`,
        { client: '100 Continue\r\n\r\n' },
        '4\r\nbody\r\n0\r\n\r\n',
      ],
    },
    expect: {
      answers: [{ ...OK_SEEN, interims: [100] }],
      end: 'open',
      upstream: [{ line: 'POST /wire/login', body: 'body' }],
    },
    except: CONTINUE,
  },
  {
    id: 'continue-unwaited',
    title: 'a client that does not wait is served all the same',
    ask: { bytes: [`${post('/wire/a', 'Content-Length: 4\r\n')}\r\nbody`] },
    expect: { answers: [OK_SEEN], end: 'open', upstream: [{ line: 'POST /wire/a', body: 'body' }] },
    except: CONTINUE,
  },
  ...(
    [
      ['401', 'Content-Length: 4\r\n', '/wire/login', 401],
      ['403', 'Authorization: Bearer TOKEN\r\nContent-Length: 4\r\n', '/wire/role', 403],
      ['413', 'Content-Length: 2000\r\n', '/wire/small', 413],
      ['chunked', 'Transfer-Encoding: chunked\r\n', '/wire/login', 401],
    ] as const
  ).map(
    ([name, more, target, status]): HttpRow => ({
      id: `expect-refused-${name}`,
      title: 'a refusal comes before the body, which is never asked for, and the connection ends',
      ask: { bytes: [`${post(target, more)}\r\n`, { client: '\r\n\r\n{' }, 'end'] },
      expect: { answers: [{ status, interims: [], has: ['connection: close'] }], end: 'closed', upstream: [] },
      except: CONTINUE,
    }),
  ),
  {
    id: 'expect-refused-sent',
    title: 'a body that is sent in spite of the refusal is read as nothing',
    ask: {
      bytes: [
        `${post('/wire/login', 'Content-Length: 49\r\n')}\r\nGET /wire/smuggled HTTP/1.1\r\nHost: HOST\r\nX: yy\r\n\r\n`,
      ],
    },
    expect: { answers: [{ status: 401 }], end: 'closed', upstream: [], never: ['smuggled'] },
    except: CONTINUE,
  },
  {
    id: 'expect-unknown',
    title: 'another expectation is refused',
    ask: { bytes: ['GET /wire/a HTTP/1.1\r\nHost: HOST\r\nExpect: 200-maybe\r\n\r\n'] },
    expect: { answers: [{ status: 417 }], end: 'open', upstream: [] },
    except: CONTINUE,
  },
  {
    id: 'expect-http10',
    title: 'an Expect of HTTP/1.0 means nothing (RFC 9110 §10.1.1)',
    ask: { bytes: ['POST /wire/a HTTP/1.0\r\nHost: HOST\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nok'] },
    expect: {
      answers: [{ ...OK_SEEN, interims: [] }],
      end: 'closed',
      upstream: [{ line: 'POST /wire/a', body: 'ok', lacks: ['expect'] }],
    },
    except: CONTINUE,
  },
  {
    id: 'early-hints',
    title: 'early hints pass, and of their fields only Link',
    ask: {},
    upstream: [['whole', HINT, OK]],
    expect: {
      answers: [{ ...OK_SEEN, interims: [103] }],
      end: 'open',
      upstream: A,
      never: ['47114711'],
    },
    except: INTERIM,
  },
  {
    id: 'early-hints-early',
    title: 'early hints do not wait for the answer',
    ask: { bytes: ['GET /wire/a HTTP/1.1\r\nHost: HOST\r\n\r\n', { client: 'Link: </a.css>; rel=preload\r\n\r\n' }] },
    upstream: [['whole', HINT, { client: '103 Early Hints' }, HINT.replace('a.css', 'b.css'), OK]],
    expect: { answers: [{ ...OK_SEEN, interims: [103, 103] }], end: 'open', upstream: A, never: ['47114711'] },
    except: INTERIM,
  },
  {
    id: 'early-hints-edited',
    title: 'where a route removes Link, no hint has one, so there is none',
    ask: { target: '/wire/edited' },
    upstream: [['whole', HINT, OK]],
    expect: {
      answers: [{ ...OK_SEEN, interims: [] }],
      end: 'open',
      upstream: [{ line: 'GET /wire/edited' }],
      never: ['a.css'],
    },
    except: INTERIM,
  },
  {
    id: 'early-hints-http10',
    title: 'a client of HTTP/1.0 gets no 1xx, for it would take it for the answer',
    ask: { bytes: ['GET /wire/a HTTP/1.0\r\nHost: HOST\r\n\r\n'] },
    upstream: [['whole', HINT, 'HTTP/1.1 102 Processing\r\n\r\n', OK]],
    expect: { answers: [{ ...OK_SEEN, interims: [] }], end: 'closed', upstream: A },
  },
  {
    id: 'processing',
    title: 'a 102 passes, without a field',
    ask: {},
    upstream: [['whole', 'HTTP/1.1 102 Processing\r\nX-A: 47114711\r\n\r\n', OK]],
    expect: { answers: [{ ...OK_SEEN, interims: [102] }], end: 'open', upstream: A, never: ['47114711'] },
    except: INTERIM,
  },
  {
    id: 'interim-unknown',
    title: 'a 1xx that nobody knows ends with us',
    ask: {},
    upstream: [['whole', 'HTTP/1.1 199 What\r\nX-A: 47114711\r\n\r\n', OK]],
    expect: { answers: [{ ...OK_SEEN, interims: [] }], end: 'open', upstream: A, never: ['47114711'] },
    except: INTERIM,
  },
  {
    id: 'interim-flood',
    title: 'however many 1xx there are, the client gets a few',
    ask: {},
    upstream: [['whole', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(12), OK]],
    expect: { answers: [{ ...OK_SEEN, interims: Array.from({ length: 8 }, () => 102) }], end: 'open', upstream: A },
    except: INTERIM,
  },
  {
    id: 'continue-unasked',
    title: 'a 100 that nobody asked for does not become an answer',
    ask: {},
    upstream: [['whole', 'HTTP/1.1 100 Continue\r\n\r\n', OK]],
    expect: { answers: [{ ...OK_SEEN, interims: [] }], end: 'open', upstream: A },
    differs: { undici: { because: 'undici takes an unasked 100 for a broken server', answers: [{ status: 502 }] } },
    except: INTERIM,
  },
  {
    id: 'switching-unasked',
    title: 'a 101 that nobody asked for is no answer, and nothing behind it is read',
    ask: {},
    upstream: [`${SWITCHED}frames-47114711`],
    expect: { answers: [{ status: 502 }], end: 'open', upstream: A, isUpstreamClosed: true, never: ['47114711'] },
  },
  {
    id: 'upgrade',
    title: 'a WebSocket opens for somebody who may, and bytes pass both ways',
    ask: {
      bytes: [
        `GET /wire/socket HTTP/1.1\r\nHost: HOST\r\nOrigin: ORIGIN\r\nAuthorization: Bearer TOKEN\r\n${ASK}\r\n`,
        { client: 'hello' },
        '\x81\x85\x00\x00\x00\x00frame',
        { upstream: 'frame' },
        'reset',
      ],
    },
    upstream: [['whole', `${SWITCHED}\x81\x05hello`]],
    expect: {
      answers: [{ status: 101 }],
      end: 'gone',
      upstream: [{ line: 'GET /wire/socket', has: ['upgrade: websocket'], lacks: ['authorization'] }],
      partial: /frame$/,
    },
    except: UPGRADE,
  },
  {
    id: 'upgrade-refused',
    title: 'a WebSocket is refused before a byte goes on, with what was sent behind it',
    ask: {
      bytes: [`GET /wire/socket HTTP/1.1\r\nHost: HOST\r\nOrigin: ORIGIN\r\n${ASK}\r\n\x81\x85\x00\x00\x00\x00smugl`],
    },
    expect: { answers: [{ status: 401, has: ['connection: close'] }], end: 'closed', upstream: [] },
    except: UPGRADE,
  },
  {
    id: 'upgrade-prototype',
    title: 'names that mean something to JavaScript are names in the head of a 101 too (CVE-2026-21710)',
    ask: {
      bytes: [
        `GET /wire/socket HTTP/1.1\r\nHost: HOST\r\nOrigin: ORIGIN\r\nAuthorization: Bearer TOKEN\r\n__proto__: a\r\n${ASK}\r\n`,
        { client: 'hello' },
        'reset',
      ],
    },
    upstream: [['whole', `${SWITCHED.replace('\r\n\r\n', '\r\n__proto__: a\r\nconstructor: b\r\n\r\n')}\x81\x05hello`]],
    expect: {
      answers: [{ status: 101, has: ['constructor: b'] }],
      end: 'gone',
      upstream: [{ line: 'GET /wire/socket', lacks: ['__proto__'] }],
    },
    except: UPGRADE,
  },
  {
    id: 'upgrade-elsewhere',
    title: 'an upstream that switches to another protocol than the one asked for has not answered',
    ask: {
      bytes: [`GET /wire/socket HTTP/1.1\r\nHost: HOST\r\nOrigin: ORIGIN\r\nAuthorization: Bearer TOKEN\r\n${ASK}\r\n`],
    },
    upstream: [`${SWITCHED.replace('Upgrade: websocket', 'Upgrade: h2c')}frames-47114711`],
    expect: {
      answers: [{ status: 502, has: ['connection: close'] }],
      end: 'closed',
      upstream: [{ line: 'GET /wire/socket' }],
      isUpstreamClosed: true,
      never: ['47114711'],
    },
    except: UPGRADE,
  },
  {
    id: 'upgrade-declined',
    title: 'what an upstream declines is an answer like any other',
    ask: {
      bytes: [`GET /wire/socket HTTP/1.1\r\nHost: HOST\r\nOrigin: ORIGIN\r\nAuthorization: Bearer TOKEN\r\n${ASK}\r\n`],
    },
    upstream: [
      [
        'whole',
        'HTTP/1.1 426 Upgrade Required\r\nSet-Cookie: postern.session_token=47114711\r\nContent-Length: 2\r\n\r\nno',
        'close',
      ],
    ],
    expect: {
      answers: [{ status: 426, body: 'no' }],
      end: 'closed',
      upstream: [{ line: 'GET /wire/socket' }],
      never: ['47114711'],
    },
    except: UPGRADE,
  },
  ...['h2c', 'TLS/1.3', 'websocket, h2c', 'foo'].map(
    (protocol): HttpRow => ({
      id: `upgrade-${protocol.replace(/\W+/g, '-')}`,
      title: 'another protocol is never switched to: it is the plain request that it also is, and the connection ends',
      ask: {
        bytes: [
          `GET /wire/a HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
          { client: 'ok' },
          'GET /wire/smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n',
        ],
      },
      expect: {
        answers: [OK_SEEN],
        end: 'closed',
        upstream: [{ line: 'GET /wire/a', lacks: ['upgrade', 'http2-settings'] }],
        never: ['smuggled'],
      },
      except: UPGRADE,
    }),
  ),
  {
    id: 'upgrade-post',
    title: 'a POST that asks for WebSocket is a plain POST',
    ask: { bytes: [`POST /wire/a HTTP/1.1\r\nHost: HOST\r\n${ASK}Content-Length: 2\r\n\r\nok`] },
    expect: { answers: [OK_SEEN], end: 'closed', upstream: [{ line: 'POST /wire/a', body: 'ok', lacks: ['upgrade'] }] },
    except: UPGRADE,
  },
]
