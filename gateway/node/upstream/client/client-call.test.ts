/** What our own client sends: heads as they are, bodies in the framing promised, and nothing that could be read in two ways. */

import { expect, test } from 'vitest'
import { Asking, ask, begin } from '../../../test/support/asking.ts'
import { always, ok, received, start } from '../../../test/support/own-client.ts'
import { until } from '../../../test/support/until.ts'
import { refusalOf } from '../../upstream-failure.ts'
import type { UpstreamRequest } from '../transport.ts'

test('[FR-054] a head is written as it is, framed, and without a word about the connection', async () => {
  const { server, transport } = await start(always(ok('')))
  await ask(transport, { path: '/a?b=\xe9', headers: ['Host', 'x', 'X-Two', '1', 'X-Two', '2', 'X-Latin', '\xff'] })
  await ask(transport, { method: 'POST' })
  await ask(transport, { method: 'DELETE', headers: [] })
  expect(received(server)).toBe(
    'GET /a?b=\xe9 HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nX-Two: 2\r\nX-Latin: \xff\r\n\r\n' +
      'POST / HTTP/1.1\r\nHost: up.test\r\nContent-Length: 0\r\n\r\n' +
      `DELETE / HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n\r\n`,
  )
  expect(server.connections).toHaveLength(1)
})

const unsendable: readonly (readonly [title: string, request: Partial<UpstreamRequest>])[] = [
  ['a line end in the path', { path: '/\r\nX: y' }],
  ['a blank in the path', { path: '/ HTTP/1.1' }],
  ['a character that latin1 cuts to a line end, in the path', { path: '/\u010a' }],
  ['an empty path', { path: '' }],
  ['a blank in the method', { method: 'GET /' }],
  ['a method that opens a tunnel', { method: 'CONNECT' }],
  ['CR in a value', { headers: ['X', 'a\rb'] }],
  ['LF in a value', { headers: ['X', 'a\nb'] }],
  ['NUL in a value', { headers: ['X', 'a\0b'] }],
  ['a character that latin1 cuts to CR, in a value', { headers: ['X', 'a\u010d\u010ab'] }],
  ['a colon in a name', { headers: ['X:', 'a'] }],
  ['a line end in a name', { headers: ['X\r\nY', 'a'] }],
  ['two hosts', { headers: ['Host', 'a', 'host', 'b'] }],
  ['a length of the caller’s', { headers: ['Content-Length', '4'], bodyBytes: 0 }],
  ['a coding of the caller’s', { headers: ['transfer-encoding', 'chunked'] }],
  ['a word about the connection', { headers: ['Connection', 'upgrade'] }],
  ['an upgrade', { headers: ['Upgrade', 'h2c'] }],
]
for (const [title, request] of unsendable) {
  test(`[FR-054] ${title} never leaves, and is a bug of ours`, async () => {
    const { server, transport } = await start()
    const asking = begin(transport, request)
    expect(asking.isEnded).toBe(false)
    await asking.ended()
    expect(refusalOf(asking.error).reason).toBe('gateway.bug')
    expect(asking.events).toEqual(['failure'])
    expect(server.connections).toHaveLength(0)
  })
}

test('[FR-054] a body of known length leaves with its head, byte for byte', async () => {
  const { server, transport } = await start((connection, text) => {
    if (text.endsWith('end')) connection.send(ok('done'))
  })
  const asking = new Asking({
    connected: ({ call }) => call!.write(Buffer.from('body \xff\0 end', 'latin1')) && call!.end(),
  })
  begin(transport, { method: 'POST', bodyBytes: 11 }, asking)
  await asking.ended()
  expect(asking.body).toBe('done')
  expect(received(server)).toBe('POST / HTTP/1.1\r\nHost: up.test\r\nContent-Length: 11\r\n\r\nbody \xff\0 end')
})

test('[FR-054] chunks are chunks, an empty one does not end them, and trailers follow', async () => {
  const { server, transport } = await start((connection, text) => {
    if (text.endsWith('X-Sum: 1\r\n\r\n')) connection.send(ok('done'))
  })
  const large = 'x'.repeat(20_000)
  const asking = new Asking({
    connected({ call }) {
      for (const piece of ['hello', '', large, '!']) call!.write(Buffer.from(piece))
      call!.end(['X-Sum', '1'])
    },
  })
  begin(transport, { method: 'POST', bodyBytes: -1 }, asking)
  await asking.ended()
  expect(asking.body).toBe('done')
  const [head, body] = received(server).split(/\r\n\r\n(.*)/s)
  expect(head).toMatch(/Transfer-Encoding: chunked$/)
  expect(body).toBe(`5\r\nhello\r\n4e20\r\n${large}\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n`)
})

for (const [title, pieces] of [
  ['more', ['hello', '!']],
  ['more at once', ['hello!']],
  ['fewer', ['hell']],
] as const) {
  test(`[FR-054] ${title} bytes than promised end the connection, and the request is not complete`, async () => {
    const { server, transport } = await start()
    const asking = new Asking({
      connected({ call }) {
        for (const piece of pieces) call!.write(Buffer.from(piece))
        call!.end()
      },
    })
    begin(transport, { method: 'POST', bodyBytes: 5 }, asking)
    await asking.ended()
    expect(refusalOf(asking.error).reason).toBe('gateway.bug')
    await until(() => server.connections.every((each) => each.isClosed()), 'the connection ends')
    expect(received(server)).not.toContain('!')
  })
}

test('[FR-054] trailers that frame, or break the line, are not sent', async () => {
  for (const trailers of [
    ['Content-Length', '4'],
    ['X', 'a\r\nb'],
  ]) {
    const { server, transport } = await start()
    const asking = new Asking({ connected: ({ call }) => call!.end(trailers) })
    begin(transport, { method: 'POST', bodyBytes: -1 }, asking)
    await asking.ended()
    expect(refusalOf(asking.error).reason).toBe('gateway.bug')
    expect(received(server)).toBe('')
  }
})

test('[FR-054] a server that takes nothing holds the sender up, and then lets it go on', async () => {
  const { server, transport } = await start()
  const piece = Buffer.alloc(64 * 1024, 'x')
  let isTaken = true
  const asking = new Asking({ writable: () => (isTaken = true) })
  begin(transport, { method: 'POST', bodyBytes: -1 }, asking)
  await until(() => asking.call !== null && server.connections.length === 1, 'a connection')
  server.connections[0]!.socket.pause()
  await until(() => {
    if (isTaken) isTaken = asking.call!.write(piece)
    return !isTaken
  }, 'no more is taken')
  server.connections[0]!.socket.resume()
  await until(() => isTaken, 'it may go on')
  asking.call!.abort()
})
