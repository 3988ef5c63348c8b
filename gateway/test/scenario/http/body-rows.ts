/** Rows: bodies of requests, many requests on one connection, and targets in every form. */

import { type HttpRow, OK, OK_SEEN } from './table.ts'

const LARGE = 'x'.repeat(300_000)
const AB = [{ line: 'GET /wire/a' }, { line: 'GET /wire/b' }] as const
const of = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`

const NO_BODY_WITH_GET = 'fetch sends no body with GET, so there is nothing that could be sent'

export const BODY_ROWS: readonly HttpRow[] = [
  {
    id: 'body-length',
    title: 'a body with a length leaves with that length',
    ask: { method: 'POST', body: LARGE },
    expect: {
      answers: [OK_SEEN],
      end: 'open',
      upstream: [{ line: 'POST /wire/a', body: LARGE, has: ['content-length: 300000'], lacks: ['transfer-encoding'] }],
    },
  },
  {
    id: 'body-zero',
    title: 'a body of no bytes is said to be one',
    ask: { method: 'POST', body: '' },
    expect: {
      answers: [OK_SEEN],
      end: 'open',
      upstream: [{ line: 'POST /wire/a', body: '', has: ['content-length: 0'] }],
    },
  },
  {
    id: 'body-none',
    title: 'a POST without a body is said to have none',
    ask: { method: 'POST' },
    expect: {
      answers: [OK_SEEN],
      end: 'open',
      upstream: [{ line: 'POST /wire/a', body: '', has: ['content-length: 0'] }],
    },
    except: { h2: 'the client of this runner ends each request with a frame of its own' },
  },
  {
    id: 'body-chunked',
    title: 'a body in chunks leaves in chunks',
    ask: { method: 'PUT', body: ['a', 'bc', LARGE] },
    expect: {
      answers: [OK_SEEN],
      end: 'open',
      upstream: [
        { line: 'PUT /wire/a', body: `abc${LARGE}`, has: ['transfer-encoding: chunked'], lacks: ['content-length'] },
      ],
    },
  },
  {
    id: 'body-chunked-empty',
    title: 'chunks of no bytes are a body of none',
    ask: { method: 'POST', body: [] },
    expect: { answers: [OK_SEEN], end: 'open', upstream: [{ line: 'POST /wire/a', body: '' }] },
  },
  {
    id: 'body-extensions',
    title: 'chunk extensions are of this hop',
    ask: {
      bytes: [
        'POST /wire/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n2;x=47114711\r\nok\r\n0;y="47114711"\r\n\r\n',
      ],
    },
    expect: { answers: [OK_SEEN], end: 'open', upstream: [{ line: 'POST /wire/a', body: 'ok' }], never: ['47114711'] },
  },
  ...['GET', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND'].flatMap((method): HttpRow[] => [
    {
      id: `body-${method.toLowerCase()}`,
      title: `a body on ${method} goes with it, and is not the next request`,
      ask: [{ method, body: 'GET /wire/smuggled HTTP/1.1\r\nHost: h\r\n\r\n' }, { target: '/wire/b' }],
      expect: {
        answers: [OK_SEEN, OK_SEEN],
        end: 'open',
        upstream: [
          { line: `${method} /wire/a`, body: 'GET /wire/smuggled HTTP/1.1\r\nHost: h\r\n\r\n' },
          { line: 'GET /wire/b' },
        ],
      },
      ...(method === 'GET'
        ? {
            differs: {
              workerd: {
                because: NO_BODY_WITH_GET,
                answers: [{ status: 502 }, OK_SEEN],
                upstream: [{ line: 'GET /wire/b' }],
              },
            },
          }
        : {}),
    },
  ]),
  {
    id: 'body-get-chunked',
    title: 'a body in chunks on GET goes with it',
    ask: { body: ['ok'] },
    expect: {
      answers: [OK_SEEN],
      end: 'open',
      upstream: [{ line: 'GET /wire/a', body: 'ok', has: ['transfer-encoding: chunked'] }],
    },
    differs: { workerd: { because: NO_BODY_WITH_GET, answers: [{ status: 502 }], upstream: [] } },
  },
  {
    id: 'drip',
    title: 'a request that comes byte by byte is one request',
    ask: {
      bytes: [
        { drip: 'POST /wire/a HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n' },
      ],
    },
    expect: { answers: [OK_SEEN], end: 'open', upstream: [{ line: 'POST /wire/a', body: 'ok' }] },
  },
  {
    id: 'pipeline-order',
    title: 'requests behind one another are answered in their order, whichever is done first',
    ask: [{}, { target: '/wire/b' }, { target: '/wire/c' }],
    upstream: [['whole', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n', '1'], of('2'), of('3')],
    expect: {
      answers: [{ status: 200, body: '1' }, { status: 200 }, { status: 200 }],
      end: 'open',
      upstream: [...AB, { line: 'GET /wire/c' }],
    },
  },
  {
    id: 'pipeline-refused',
    title: 'a refusal in the middle stands in its place, and its body is not a request',
    ask: [
      {},
      { method: 'POST', target: '/wire/login', body: 'GET /wire/smuggled HTTP/1.1\r\nHost: h\r\n\r\n' },
      { target: '/wire/b' },
    ],
    expect: { answers: [OK_SEEN, { status: 401 }, OK_SEEN], end: 'open', upstream: AB, never: ['smuggled'] },
  },
  {
    id: 'pipeline-bodies',
    title: 'large bodies behind one another keep their ends',
    ask: [
      { method: 'POST', body: LARGE },
      { method: 'POST', target: '/wire/b', body: [LARGE, 'b'] },
    ],
    upstream: [OK],
    expect: {
      answers: [OK_SEEN, OK_SEEN],
      end: 'open',
      upstream: [
        { line: 'POST /wire/a', body: LARGE },
        { line: 'POST /wire/b', body: `${LARGE}b` },
      ],
    },
  },
  {
    id: 'pipeline-large-answers',
    title: 'large answers behind one another keep their ends',
    ask: [{}, { target: '/wire/b' }],
    upstream: [of(LARGE)],
    expect: {
      answers: [
        { status: 200, body: LARGE },
        { status: 200, body: LARGE },
      ],
      end: 'open',
      upstream: AB,
    },
  },
  {
    id: 'pipeline-close',
    title: 'nothing behind a request that says close is read (RFC 9112 §9.6)',
    ask: {
      bytes: [
        'GET /wire/a HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\nGET /wire/smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n',
      ],
    },
    expect: { answers: [OK_SEEN], end: 'closed', upstream: [{ line: 'GET /wire/a' }], never: ['smuggled'] },
  },
  {
    id: 'absolute-form',
    title: 'an absolute target leaves in origin form, with the Host that it names',
    ask: { bytes: ['GET ORIGIN/wire/a?x=1 HTTP/1.1\r\nHost: HOST\r\n\r\n'] },
    expect: { answers: [OK_SEEN], end: 'open', upstream: [{ line: 'GET /wire/a?x=1' }] },
  },
  {
    id: 'absolute-form-elsewhere',
    title: 'an absolute target for another host is refused',
    ask: { bytes: ['GET http://elsewhere.example/wire/a HTTP/1.1\r\nHost: HOST\r\n\r\n'] },
    expect: { answers: [{ status: 400 }], end: 'open', upstream: [] },
    except: {
      workerd: 'the runtime resolves such a target before a Worker runs',
    },
  },
  {
    id: 'method-listed',
    title: 'a method of nobody’s book passes where the policy lists it',
    ask: { method: 'PURGE', target: '/wire/methods' },
    expect: { answers: [OK_SEEN], end: 'open', upstream: [{ line: 'PURGE /wire/methods' }] },
    except: { workerd: 'the runtime takes no method that it does not know' },
  },
  {
    id: 'method-unlisted',
    title: 'a method that the policy does not list is refused, with those that it does',
    ask: { method: 'DELETE', target: '/wire/methods' },
    expect: { answers: [{ status: 405, has: ['allow: *'] }], end: 'open', upstream: [] },
  },
  {
    id: 'options',
    title: 'OPTIONS that is no preflight is a request like any other',
    ask: { method: 'OPTIONS' },
    expect: { answers: [OK_SEEN], end: 'open', upstream: [{ line: 'OPTIONS /wire/a' }] },
  },
]
