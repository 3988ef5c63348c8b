/** Rows: what is refused, and that not a byte of it reaches the upstream. */

import { type HttpRow, OK_SEEN } from './table.ts'

const SMUGGLED = 'GET /wire/smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n'
const CHUNKED = 'Transfer-Encoding: chunked'
const post = (lines: readonly string[], body: string, version = '1.1') =>
  `${['POST /wire/a HTTP/', version].join('')}\r\n${['Host: HOST', ...lines].join('\r\n')}\r\n\r\n${body}${SMUGGLED}`

/** Id, bytes, status. The connection ends, and nothing behind the bytes is a request. */
const ENDING: readonly (readonly [string, string, number])[] = [
  ['length-beside-chunked', post(['Content-Length: 5', CHUNKED], '0\r\n\r\n'), 400],
  ['chunked-beside-length', post([CHUNKED, 'Content-Length: 5'], '0\r\n\r\n'), 400],
  ['lengths-differ', post(['Content-Length: 0', 'Content-Length: 5'], 'hello'), 400],
  ['lengths-agree', post(['Content-Length: 2', 'content-length: 2'], 'ok'), 400],
  ['length-list', post(['Content-Length: 2, 2'], 'ok'), 400],
  ['length-signed', post(['Content-Length: +2'], 'ok'), 400],
  ['length-negative', post(['Content-Length: -2'], 'ok'), 400],
  ['length-hex', post(['Content-Length: 0x2'], 'ok'), 400],
  ['length-empty', post(['Content-Length:'], ''), 400],
  ['length-overflow', post(['Content-Length: 99999999999999999999'], ''), 400],
  ['coding-unknown', post(['Transfer-Encoding: xchunked'], '0\r\n\r\n'), 400],
  ['coding-twice', post(['Transfer-Encoding: chunked, chunked'], '0\r\n\r\n'), 400],
  ['coding-identity', post(['Transfer-Encoding: chunked, identity'], '0\r\n\r\n'), 400],
  ['coding-gzip', post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'), 400],
  ['coding-quoted', post(['Transfer-Encoding: "chunked"'], '0\r\n\r\n'), 400],
  ['coding-vertical-tab', post(['Transfer-Encoding: \x0bchunked'], '0\r\n\r\n'), 400],
  ['coding-lines', post([CHUNKED, 'Transfer-Encoding: identity'], '0\r\n\r\n'), 400],
  ['coding-http10', post([CHUNKED], '0\r\n\r\n', '1.0'), 400],
  ['coding-http10-keep-alive', post(['Connection: keep-alive', CHUNKED], '0\r\n\r\n', '1.0'), 400],
  ['folding', post(['X-A: b\r\n c', 'Content-Length: 2'], 'ok'), 400],
  ['folded-coding', post(['Transfer-Encoding:\r\n chunked'], '0\r\n\r\n'), 400],
  ['space-colon', post(['Content-Length : 2'], 'ok'), 400],
  ['space-line', post([' X-A: b', 'Content-Length: 2'], 'ok'), 400],
  ['bare-line-feed', post(['X-A: b\nContent-Length: 2'], 'ok'), 400],
  ['bare-return', post(['X-A: b\rContent-Length: 2'], 'ok'), 400],
  ['nul', post(['X-A: b\0c', 'Content-Length: 2'], 'ok'), 400],
  ['no-colon', post(['nonsense', 'Content-Length: 2'], 'ok'), 400],
  ['no-name', post([': b', 'Content-Length: 2'], 'ok'), 400],
  ['line-feeds-only', 'GET /wire/a HTTP/1.1\nHost: HOST\n\n', 400],
  ['request-line-tab', `GET\t/wire/a HTTP/1.1\r\nHost: HOST\r\n\r\n${SMUGGLED}`, 400],
  ['request-line-return', 'GET /wire/a HTTP/1.1\rX\r\nHost: HOST\r\n\r\n', 400],
  ['no-host', `GET /wire/a HTTP/1.1\r\n\r\n${SMUGGLED}`, 400],
  ['empty-host', `GET /wire/a HTTP/1.1\r\nHost:\r\n\r\n${SMUGGLED}`, 400],
  ['two-hosts', `GET /wire/a HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n${SMUGGLED}`, 400],
  ['version', `GET /wire/a HTTP/1.2\r\nHost: HOST\r\n\r\n${SMUGGLED}`, 400],
  ['tls-on-plain', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ['preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
  ['http09', 'GET /wire/a\r\n\r\n', 400],
  ['method-small', `get /wire/a HTTP/1.1\r\nHost: HOST\r\n\r\n${SMUGGLED}`, 400],
  ['head-too-large', `GET /wire/a HTTP/1.1\r\nHost: HOST\r\nX-A: ${'x'.repeat(40_000)}\r\n\r\n${SMUGGLED}`, 431],
  ['fields-too-many', `GET /wire/a HTTP/1.1\r\nHost: HOST\r\n${'a:\r\n'.repeat(300)}\r\n`, 431],
  ['target-too-long', `GET /wire/${'a'.repeat(10_000)} HTTP/1.1\r\nHost: HOST\r\n\r\n`, 414],
  ['body-too-large', `POST /wire/small HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2000\r\n\r\n${'x'.repeat(2000)}`, 413],
  ['connect', `CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n${SMUGGLED}`, 405],
]

/** Id, what comes of the body before its fault, the rest. */
const BAD_CHUNKS: readonly (readonly [string, string])[] = [
  ['size', 'z\r\nok\r\n0\r\n\r\n'],
  ['size-signed', '+2\r\nok\r\n0\r\n\r\n'],
  ['size-hex', '0x2\r\nok\r\n0\r\n\r\n'],
  ['size-empty', '\r\nok\r\n0\r\n\r\n'],
  ['size-overflow', 'fffffffffffffffff\r\nok\r\n0\r\n\r\n'],
  ['longer', '1\r\nok\r\n0\r\n\r\n'],
  ['line-feed', '2\nok\r\n0\r\n\r\n'],
  ['line-feed-after', '2\r\nok\n0\r\n\r\n'],
  ['extension-line-feed', '2;a\nok\r\n0\r\n\r\n'],
  ['extension-flood', `2;${'a'.repeat(20_000)}\r\nok\r\n0\r\n\r\n`],
  ['extension-nul', '2;a=\0\r\nok\r\n0\r\n\r\n'],
]

export const REFUSED_ROWS: readonly HttpRow[] = [
  ...ENDING.map(
    ([id, bytes, status]): HttpRow => ({
      id: `refused-${id}`,
      title: 'the answer is one refusal, and the connection ends',
      ask: { bytes: [bytes] },
      expect: { answers: [{ status, has: ['connection: close'] }], end: 'closed', upstream: [], never: ['smuggled'] },
      except: { workerd: 'the runtime parses HTTP/1.1 itself, before a Worker runs' },
    }),
  ),
  ...BAD_CHUNKS.map(
    ([id, body]): HttpRow => ({
      id: `chunk-${id}`,
      title: 'a body whose chunks cannot be told apart is refused, and is never whole for the upstream',
      ask: { bytes: [`POST /wire/a HTTP/1.1\r\nHost: HOST\r\n${CHUNKED}\r\n\r\n${body}${SMUGGLED}`] },
      expect: {
        answers: [{ status: 400, has: ['connection: close'] }],
        end: 'closed',
        upstream: [],
        partial: /^(?:POST (?:(?!\r\n0\r\n\r\n)[\s\S])*)?$/,
        never: ['smuggled'],
      },
      except: { workerd: 'the runtime parses HTTP/1.1 itself, before a Worker runs' },
    }),
  ),
  {
    id: 'refused-body-grows',
    title: 'a body in chunks that grows too long is refused, and is never whole for the upstream',
    ask: { method: 'POST', target: '/wire/small', body: ['x'.repeat(1000), 'x'.repeat(1000)] },
    expect: {
      answers: [{ status: 413 }],
      end: 'closed',
      upstream: [],
      partial: /^(?:POST (?:(?!\r\n0\r\n\r\n)[\s\S])*)?$/,
    },
    differs: { workerd: { because: 'the runtime keeps the connection, and has read the body', end: 'open' } },
  },
  {
    id: 'refused-body-huge',
    title: 'a refusal before a huge body can be read by who is still sending it',
    ask: {
      bytes: [`POST /wire/small HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4000000\r\n\r\n${'x'.repeat(4_000_000)}`],
    },
    expect: { answers: [{ status: 413, has: ['connection: close'] }], end: 'closed', upstream: [] },
    except: { workerd: 'the runtime parses HTTP/1.1 itself, before a Worker runs' },
  },
  {
    id: 'refused-login',
    title: 'a refusal reads the body of its request and goes on',
    ask: [
      { method: 'POST', target: '/wire/login', body: 'x'.repeat(100_000) },
      { method: 'POST', target: '/wire/login', body: ['a', 'b'] },
    ],
    expect: { answers: [{ status: 401 }, { status: 401 }], end: 'open', upstream: [] },
    differs: {
      workerd: {
        because: 'the runtime ends a connection whose body nobody read',
        answers: [{ status: 401 }],
        end: 'closed',
      },
    },
  },
  {
    id: 'refused-target',
    title: 'a target that could be read in two ways is refused, and the next request is served',
    ask: [{ target: '/wire/..%2fa' }, { target: '/wire/b' }],
    expect: { answers: [{ status: 400 }, OK_SEEN], end: 'open', upstream: [{ line: 'GET /wire/b' }] },
  },
  {
    id: 'refused-trace',
    title: 'TRACE is refused and echoes nothing',
    ask: { method: 'TRACE', fields: ['X-A: 47114711'] },
    expect: { answers: [{ status: 405 }], end: 'open', upstream: [], never: ['47114711'] },
    except: { workerd: 'the runtime refuses it before a Worker runs' },
  },
  {
    id: 'refused-options-star',
    title: 'OPTIONS * is for no upstream of ours',
    ask: { bytes: ['OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n'] },
    expect: { answers: [{ status: 405 }], end: 'open', upstream: [] },
    except: { workerd: 'the runtime reads another target' },
  },
  {
    id: 'refused-host',
    title: 'a host that is not ours is refused',
    ask: { bytes: ['GET /wire/a HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n'] },
    expect: { answers: [{ status: 421 }], end: 'open', upstream: [] },
  },
  {
    id: 'garbage-behind',
    title: 'garbage behind a whole request does not take the place of its answer',
    ask: { bytes: ['GET /wire/a HTTP/1.1\r\nHost: HOST\r\n\r\n\0garbage\r\n\r\n'] },
    expect: { answers: [OK_SEEN], end: 'closed', upstream: [{ line: 'GET /wire/a' }] },
    except: { workerd: 'the runtime parses HTTP/1.1 itself, before a Worker runs' },
  },
]
