/** What an upstream sends on one connection: answers from the grammar, most of them lawful in most of their parts. */

import type { Chance } from './case.ts'

const STATUS_LINES = [
  ...[
    'HTTP/1.1 200 OK',
    'HTTP/1.1 200 OK',
    'HTTP/1.1 200 OK',
    'HTTP/1.1 200 OK',
    'HTTP/1.1 200 OK',
    'HTTP/1.1 404 Not Found',
  ],
  ...['HTTP/1.1 200 ', 'HTTP/1.1 204 No Content', 'HTTP/1.1 304 Not Modified', 'HTTP/1.1 205 Reset', 'HTTP/1.0 200 OK'],
]
const ODD_STATUS_LINES = [
  ...[
    'HTTP/1.1 200',
    'HTTP/1.1 101 Switching',
    'HTTP/1.1 100 Continue',
    'HTTP/1.1 099 X',
    'HTTP/1.1 999 X',
    'HTTP/1.1 20 OK',
  ],
  ...[
    'HTTP/1.1 2000 OK',
    'HTTP/1.1  200 OK',
    'HTTP/1.1\t200 OK',
    'HTTP/2.0 200 OK',
    'HTTP/0.9 200 OK',
    'HTTP/1.2 200 OK',
  ],
  ...[
    'http/1.1 200 OK',
    'HTTP/1.1 +20 OK',
    'HTTP/1.1 200\tOK',
    'HTTP/1.1 200 O\xe9\x80',
    'HTTP/1.1 200 O\0K',
    'HTTP/01.1 200 OK',
  ],
  ...[
    ' HTTP/1.1 200 OK',
    '\r\nHTTP/1.1 200 OK',
    'HTTP/1.1 200 OK\r',
    'ICY 200 OK',
    'RTSP/1.0 200 OK',
    'HTTP/1.1 -1 X',
    'HTTP/1.10 200 OK',
  ],
]
const INTERIM = [
  ...[
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
    'HTTP/1.1 102 Processing\r\n\r\n',
  ],
  ...[
    'HTTP/1.1 103 Early\r\nContent-Length: 4\r\n\r\n',
    'HTTP/1.1 199 X\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.0 100 C\r\n\r\n',
  ],
  ...['HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n', 'HTTP/1.1 103 E\r\nConnection: close\r\n\r\n'],
]
const FIELDS = [
  ...[
    'Content-Type: text/plain',
    'Server: x',
    'Date: Sat, 21 Nov 2026 00:00:00 GMT',
    'X-Empty:',
    'X-Tight:a',
    'X-Loose: \t a b \t ',
  ],
  ...[
    'Set-Cookie: a=1',
    'Set-Cookie: b=2',
    'X-Latin: \xe9\x80\xff',
    'X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  ],
  ...[
    'Connection: keep-alive',
    'Connection: close',
    'Keep-Alive: timeout=5',
    'connection: Close',
    'Connection: x, close ,y',
  ],
]
const ODD_FIELDS = [
  ...[
    'X Space: a',
    'X-Before : a',
    ': a',
    'nonsense',
    'X-Fold: a\r\n b',
    'X-Fold: a\r\n\tb',
    ' X-First: a',
    'X-Bare: a\rb',
    'X-Bare: a\nb',
  ],
  ...[
    'X-Nul: a\0b',
    'X-Del: \x7f',
    'X-Bell: \x07',
    'X(a): b',
    'X\x80: a',
    'X-Colon: a:b',
    'X-: a',
    '-: b',
    'Upgrade: h2c',
    'Connection: Upgrade',
  ],
  ...[
    'Connection: Upgrade, keep-alive',
    'Proxy-Connection: close',
    'Trailer: X-T',
    'Connection:',
    'Connection: ,',
    'Connection: "close"',
  ],
  ...[
    'Connection: keep-alive, close',
    'Connection: keep-alive\r\nConnection: close',
    'Content_Length: 4',
    'Content-Length-: 4',
    'X-Vt: a\x0bb',
  ],
]
const ODD_LENGTHS = [
  ...[
    'LEN, LEN',
    '+LEN',
    '-1',
    '0xLEN',
    ' LEN ',
    '0LEN',
    '1e1',
    '',
    'L EN',
    'LEN;',
    '"LEN"',
    '18446744073709551617',
    '9007199254740993',
  ],
  ...[
    'LEN\r\nContent-Length: LEN',
    'LEN\r\nContent-Length: 0',
    'LEN\r\nTransfer-Encoding: chunked',
    'LEN\r\nTransfer-Encoding: identity',
  ],
  ...['LEN\r\n ', 'LEN\t', '\x0bLEN', 'LEN\x0c', 'LEN,', '000000000000000000LEN'],
]
const CODINGS = [
  ...[
    'chunked',
    'chunked',
    'chunked',
    'chunked',
    'Chunked',
    ' chunked\t',
    'identity',
    'gzip',
    'gzip, chunked',
    'chunked, gzip',
    'chunked, chunked',
  ],
  ...[
    'xchunked',
    'chunkedx',
    '"chunked"',
    'chunked;q=1',
    ',chunked',
    'chunked,',
    '',
    '\x0bchunked',
    'chun\r\n ked',
    'chunked\r\nTransfer-Encoding: chunked',
  ],
  ...[
    'chunked\r\nTransfer-Encoding: identity',
    'gzip\r\nTransfer-Encoding: chunked',
    'chunked\r\nContent-Length: 5',
    'chunked chunked',
    'chunked\0',
  ],
]
const NEXT = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Smuggled: 1\r\n\r\npoison'
const CONTENTS = [
  '',
  'a',
  'hello',
  '\r\n',
  '0\r\n\r\n',
  NEXT,
  `5\r\nhello\r\n0\r\n\r\n${NEXT}`,
  'x'.repeat(300),
  'HTTP/1.1 ',
]

export function answerStream(by: Chance): string {
  let bytes = ''
  if (by.isOnceIn(8)) for (let more = 1 + by.number(by.isOnceIn(20) ? 40 : 3); more > 0; more--) bytes += by.of(INTERIM)
  bytes += answer(by)
  if (by.isOnceIn(4)) bytes += by.of([NEXT, '\r\n', '\0', 'HTTP', '0\r\n\r\n', answer(by)])
  return bytes
}

function answer(by: Chance): string {
  const lines = [by.isOnceIn(12) ? by.of(ODD_STATUS_LINES) : by.of(STATUS_LINES)]
  for (let more = by.number(4); more > 0; more--) lines.push(by.of(FIELDS))
  if (by.isOnceIn(5)) lines.splice(1 + by.number(lines.length), 0, by.of(ODD_FIELDS))
  if (by.isOnceIn(400)) lines.push(...Array.from({ length: by.of([511, 512, 600]) }, (_, at) => `a${at}: b`))
  if (by.isOnceIn(400)) lines.push(`X-Long: ${'x'.repeat(by.of([16_000, 65_300, 70_000]))}`)
  const content = by.of(CONTENTS)
  const [framing, body] = framed(by, content)
  if (framing !== '') lines.splice(1 + by.number(lines.length), 0, framing)
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

function framed(by: Chance, content: string): readonly [framing: string, body: string] {
  const length = by.isOnceIn(8) ? String(Math.max(0, content.length + by.of([-1, 1, 30]))) : String(content.length)
  switch (by.number(7)) {
    case 0:
    case 1:
      return [`Content-Length: ${length}`, content]
    case 2:
    case 3:
      return ['Transfer-Encoding: chunked', chunked(by, content)]
    case 4:
      return [`Transfer-Encoding: ${by.of(CODINGS)}`, by.isOnceIn(3) ? content : chunked(by, content)]
    case 5:
      return [
        `Content-Length: ${by.of(ODD_LENGTHS)}`.replaceAll('LEN', length),
        by.isOnceIn(3) ? chunked(by, content) : content,
      ]
    default:
      return ['', content]
  }
}

const TRAILERS = [
  ...[
    '',
    '',
    '',
    'X-T: a\r\n',
    'X-T: a \r\nX-U:\r\n',
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    'nonsense\r\n',
  ],
  ...['X: a\r\n b\r\n', 'X : a\r\n', 'Set-Cookie: a\r\n', ' \r\n', 'X: a\n', 'X\x80: a\r\n', 'Connection: close\r\n'],
]
const EXTENSIONS = [
  ...[
    '',
    '',
    '',
    '',
    '',
    ';a',
    ';a=b',
    ';a="b;c"',
    ';a="b\\"c"',
    ';a=b;c=d',
    ' ;a',
    '; a',
    ';',
    ';;',
    ';a=',
    ';a="b',
    ';a="b\r\n"',
    ';a=\0',
    ';a\n',
  ],
  ...[
    ';a="b"c',
    ';=b',
    ';a = b',
    ';\xe9=b',
    ';a="\xe9"',
    '\t',
    ';a=b\t',
    ';a="\x01"',
    ';a="\\\x01"',
    `;${'x'.repeat(1000)}`,
  ],
]

function chunked(by: Chance, content: string): string {
  let bytes = ''
  for (let at = 0; at < content.length; ) {
    const size = Math.min(content.length - at, 1 + by.number(by.of([2, 50, 5000])))
    const extension = by.isOnceIn(6) ? by.of(EXTENSIONS) : ''
    bytes += `${sizeOf(by, size)}${extension}${endOf(by)}${content.slice(at, at + size)}${endOf(by)}`
    at += size
  }
  const last = by.isOnceIn(12) ? by.of(['00', '0;a', '', '0x0', '-0', ' 0', '0 ', '0;a="']) : '0'
  return `${bytes}${last}${endOf(by)}${by.of(TRAILERS)}${endOf(by)}`
}

function sizeOf(by: Chance, size: number): string {
  const hex = size.toString(16)
  if (!by.isOnceIn(10)) return hex
  const wrong = [
    (size + 1).toString(16),
    (size + 2).toString(16),
    '',
    `${hex}g`,
    `+${hex}`,
    `-${hex}`,
    `${hex} `,
    ` ${hex}`,
    `0x${hex}`,
  ]
  const long = [
    `0${hex}`,
    `000000000000${hex}`,
    `00000000000000000${hex}`,
    `1000000000000000${hex}`,
    'fffffffffffff',
    hex.toUpperCase(),
  ]
  return by.of([...wrong, ...long])
}

function endOf(by: Chance): string {
  return by.isOnceIn(50) ? by.of(['\n', '\r', '', '\r\r\n', '\r\n\r\n', ' \r\n']) : '\r\n'
}
