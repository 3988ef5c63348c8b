/** Our own client against servers made of bytes: which connection it trusts again, and what it makes of an end. */

import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Asking, ask, begin } from '../../../test/support/asking.ts'
import { always, ok, received, requests, start, USUAL } from '../../../test/support/own-client.ts'
import { freePort } from '../../../test/support/ports.ts'
import type { RawConnection } from '../../../test/support/raw-server.ts'
import { until } from '../../../test/support/until.ts'
import { codeOf, isStaleConnection, refusalOf } from '../../upstream-failure.ts'
import { ClientTransport } from './client-transport.ts'

describe('connections', () => {
  test('[FR-054] one after another uses one connection, the one used last first', async () => {
    const { server, transport } = await start(always(ok('x')))
    await Promise.all([ask(transport), ask(transport), ask(transport)])
    expect(server.connections).toHaveLength(3)
    for (let at = 0; at < 5; at++) await ask(transport)
    expect(server.connections.map((each) => requests(each.received())).sort()).toEqual([1, 1, 6])
  })

  for (const [title, first, method = 'GET'] of [
    ['Connection: close', ok('x', 'Connection: close\r\n')],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx'],
    ['a HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n', 'HEAD'],
    ['a 204 with a length', 'HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n'],
    ['a 304 with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 1\r\n\r\n'],
    ['a 100 unasked', `HTTP/1.1 100 Continue\r\n\r\n${ok('x')}`],
    ['bytes behind the answer', `${ok('x')}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`],
    ['one byte behind the answer', `${ok('x')}\n`],
    ['bytes behind the trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n'],
    ['a server that waits no second longer', ok('x', 'Keep-Alive: timeout=1\r\n')],
  ] as const) {
    test(`[FR-054] not used again after ${title}: the answer stands, the next one is its own`, async () => {
      let isFirst = true
      const { server, transport } = await start((connection, text) => {
        if (requests(text) === 0) return
        connection.send(isFirst ? first : ok('next'))
        isFirst = false
      })
      const asking = await ask(transport, { method })
      expect(asking.error).toBeNull()
      const next = await ask(transport)
      expect(next).toMatchObject({ status: 200, body: 'next', error: null })
      expect(server.connections).toHaveLength(2)
      await until(() => server.connections[0]!.isClosed(), 'the first connection ends')
    })
  }

  test('[FR-054] bytes on an idle connection end it', async () => {
    const { server, transport } = await start(always(ok('x')))
    await ask(transport)
    server.connections[0]!.send(ok('poison'))
    await until(() => server.connections[0]!.isClosed(), 'the connection ends')
    expect((await ask(transport)).body).toBe('x')
    expect(server.connections).toHaveLength(2)
  })

  test('[FR-054] bytes that come before the request has left are no answer to it', async () => {
    const { server, transport } = await start(always(ok('x')))
    await ask(transport)
    const asking = new Asking({ connected: () => server.connections[0]!.send(ok('poison')) })
    begin(transport, { method: 'POST', bodyBytes: 5 }, asking)
    await asking.ended()
    expect(asking.events).toEqual(['connected', 'failure'])
    expect(isStaleConnection(asking.error)).toBe(true)
  })

  test('[FR-054] a head waits for its body, but not for long', async () => {
    const { server, transport } = await start((connection, text) => {
      if (text.includes('\r\n\r\n')) connection.send(ok('early'))
    })
    const asking = begin(transport, { method: 'POST', bodyBytes: 5 })
    await until(() => asking.events.length === 1, 'a connection')
    expect(received(server)).toBe('')
    await asking.ended()
    expect(asking.body).toBe('early')
    expect(received(server)).toMatch(/Content-Length: 5\r\n\r\n$/)
  })

  test('[FR-054] a connection that is ending is not used, even in the moment before it has ended', async () => {
    for (let round = 0; round < 20; round++) {
      const { server, transport } = await start((connection, text) => {
        if (text.endsWith('second\r\n\r\n')) {
          for (const each of server.connections) each.send(each === connection ? ok('x') : 'poison')
        } else if (text.endsWith('\r\n\r\n')) connection.send(ok('x'))
      })
      await Promise.all([ask(transport), ask(transport)])
      const more: Asking[] = []
      const asking = new Asking({ end: () => more.push(begin(transport, {}), begin(transport, {})) })
      begin(transport, { headers: ['X', 'second'] }, asking)
      await asking.ended()
      for (const each of more) await each.ended()
      expect(more.map(({ error }) => error)).toEqual([null, null])
    }
  })

  test('[FR-054] an idle connection that the server closes is not used', async () => {
    const { server, transport } = await start(always(ok('x')))
    await ask(transport)
    server.connections[0]!.socket.end()
    await until(() => transport.connectionCount === 0, 'it is gone')
    expect((await ask(transport)).body).toBe('x')
  })

  for (const [title, end] of [
    ['closes', ({ socket }: RawConnection) => socket.destroy()],
    ['resets', ({ socket }: RawConnection) => socket.resetAndDestroy()],
    ['ends its side', ({ socket }: RawConnection) => socket.end()],
  ] as const) {
    test(`[FR-054] a server that ${title} instead of answering: a failure that may be asked again`, async () => {
      const { transport } = await start((connection) => end(connection))
      const asking = await ask(transport)
      expect(isStaleConnection(asking.error)).toBe(true)
      expect(asking.events).toEqual(['connected', 'failure'])
    })

    test(`[FR-054] a server that ${title} after a byte of its answer: a failure that may not`, async () => {
      for (const part of ['H', 'HTTP/1.1 103 E\r\n\r\n', 'HTTP/1.1 200 OK\r\n', `${ok('xx').slice(0, -1)}`]) {
        const { transport } = await start((connection) => {
          if (part !== '') connection.socket.write(part, () => end(connection))
        })
        const asking = begin(transport, {}, new Asking())
        await asking.ended()
        expect(asking.error).not.toBeNull()
        // A reset may overtake the bytes before it: then nothing of an answer was seen.
        if (title !== 'resets') expect(isStaleConnection(asking.error), part).toBe(false)
        expect(refusalOf(asking.error).reason).toBe('upstream.terminated')
        expect(asking.events).not.toContain('end')
      }
    })
  }

  test('[FR-054] an answer that ends with its connection is whole, unless that was reset', async () => {
    const { transport } = await start((connection, text) => {
      connection.socket.write('HTTP/1.1 200 OK\r\n\r\nall', () => {
        if (text.includes('GET /end')) connection.socket.end()
        else until(() => asking.body === 'all', 'it was read').then(() => connection.socket.resetAndDestroy())
      })
    })
    expect(await ask(transport, { path: '/end' })).toMatchObject({ body: 'all', error: null, lengthBytes: -1 })
    const asking = begin(transport, {})
    await asking.ended()
    expect(asking.error).not.toBeNull()
    expect(asking.body).toBe('all')
  })

  for (const garbage of [
    'SSH-2.0\r\n',
    '\0\x01\x02',
    'HTTP/1.1 200 OK\nContent-Length: 0\n\n',
    ok('x').replace(':', ' :'),
  ]) {
    test(`[FR-054] ${JSON.stringify(garbage)} is a protocol error at once, and the next answer is clean`, async () => {
      let isFirst = true
      const { server, transport } = await start((connection) => {
        connection.send(isFirst ? garbage : ok('clean'))
        isFirst = false
      })
      const asking = await ask(transport)
      expect(refusalOf(asking.error).reason).toBe('upstream.protocol')
      expect(isStaleConnection(asking.error)).toBe(false)
      expect((await ask(transport)).body).toBe('clean')
      await until(() => server.connections[0]!.isClosed(), 'the first connection ends')
    })
  }

  test('[FR-054] an answer before the request was sent whole stands, and the connection goes', async () => {
    const { server, transport } = await start((connection, text) => {
      if (text.includes('\r\n\r\n') && !connection.isClosed()) connection.send(ok('early'))
    })
    const asking = new Asking({ connected: ({ call }) => call!.write(Buffer.from('half')) })
    begin(transport, { method: 'POST', bodyBytes: 8 }, asking)
    await asking.ended()
    expect(asking).toMatchObject({ body: 'early', error: null })
    expect(asking.call!.write(Buffer.from('late'))).toBe(true)
    asking.call!.end()
    expect((await ask(transport)).error).toBeNull()
    expect(server.connections).toHaveLength(2)
    await until(() => server.connections[0]!.isClosed(), 'the connection ends')
    expect(received(server)).not.toContain('late')
  })

  test('[FR-054] an answer while the last of the request is still on its way: the connection goes', async () => {
    const { server, transport } = await start((connection) => {
      connection.socket.pause()
      connection.send(ok('early'))
    })
    const large = Buffer.alloc(16 * 1024 * 1024, 'x')
    const asking = new Asking({ connected: ({ call }) => call!.write(large) || call!.end() })
    begin(transport, { method: 'POST', bodyBytes: large.length }, asking)
    await asking.ended()
    expect(asking).toMatchObject({ body: 'early', error: null })
    expect((await ask(transport)).body).toBe('early')
    expect(server.connections).toHaveLength(2)
  })

  for (const when of ['connected', 'head', 'data'] as const) {
    test(`[FR-054] aborted at ${when}: nothing more is told, and the connection is not used again`, async () => {
      const { server, transport } = await start((connection) => connection.send(ok('hello').slice(0, -1)))
      const asking = new Asking({ [when]: ({ call }: Asking) => call!.abort() })
      begin(transport, {}, asking)
      await until(() => transport.connectionCount === 0, 'the connection ends')
      expect(asking.events.at(-1)).toBe(when)
      expect(server.connections.every((each) => (when === 'connected' ? each.received() === '' : true))).toBe(true)
      asking.call!.abort()
    })
  }

  for (const when of ['connected', 'interim', 'head', 'data', 'end'] as const) {
    test(`[FR-054] whoever asked throws at ${when}: that is the failure, and nobody else suffers`, async () => {
      let isFirst = true
      const { server, transport } = await start((connection) => {
        connection.send(isFirst ? `HTTP/1.1 103 E\r\n\r\n${ok('hello')}` : ok('next'))
        isFirst = false
      })
      const bug = new TypeError('a bug nobody foresaw')
      const asking = new Asking({
        [when]: () => {
          throw bug
        },
      })
      begin(transport, {}, asking)
      await until(() => asking.error !== null, 'a failure')
      expect(asking.error).toBe(bug)
      expect((await ask(transport)).error).toBeNull()
      if (when !== 'end') await until(() => server.connections[0]!.isClosed(), 'the first connection ends')
    })
  }

  test('[FR-054] whoever asked throws at the end of an answer that ends with its connection', async () => {
    const { transport } = await start(({ socket }) => socket.end('HTTP/1.1 200 OK\r\n\r\nall'))
    const bug = new TypeError('a bug nobody foresaw')
    const asking = new Asking({
      end: () => {
        throw bug
      },
    })
    begin(transport, {}, asking)
    await until(() => asking.error !== null, 'a failure')
    expect(asking.error).toBe(bug)
  })

  test('[FR-054] aborted after it failed, and before that was told: nothing is told', async () => {
    const { transport } = await start()
    const refused = begin(transport, { path: '' })
    refused.call!.abort()
    const asking = new Asking({ connected: ({ call }) => call!.write(Buffer.from('too much')) && call!.abort() })
    begin(transport, { method: 'POST', bodyBytes: 1 }, asking)
    await until(() => transport.connectionCount === 0 && asking.events.length > 0, 'it is over')
    expect([refused.events, asking.events]).toEqual([[], ['connected']])
  })

  test('[FR-054] what is aborted while it waits is never sent, and its connection serves another', async () => {
    const { server, transport } = await start(always(ok('x')))
    const first = begin(transport, { path: '/first' })
    first.call!.abort()
    expect(await ask(transport, { path: '/second' })).toMatchObject({ body: 'x' })
    expect(first.events).toEqual([])
    expect(received(server)).not.toContain('/first')
    expect(server.connections).toHaveLength(1)
  })

  test('[FR-054] paused, no data comes; resumed, all of it', async () => {
    const large = 'x'.repeat(500_000)
    const { transport } = await start(always(ok(large)))
    const asking = new Asking({ head: ({ call }) => call!.pause() })
    begin(transport, {}, asking)
    await until(() => asking.status === 200, 'the head')
    const other = await ask(transport)
    expect(other.body.length).toBe(large.length)
    expect(asking.isEnded).toBe(false)
    asking.call!.resume()
    await asking.ended()
    expect(asking.body).toBe(large)
  })

  test('[FR-054] a connection whose last call was paused at its end serves the next one', async () => {
    const { server, transport } = await start(always(ok('hello')))
    const asking = new Asking({ head: ({ call }) => call!.pause() })
    begin(transport, {}, asking)
    await asking.ended()
    expect((await ask(transport)).body).toBe('hello')
    expect(server.connections).toHaveLength(1)
  })

  test('[FR-054] many chunks that come together are one piece', async () => {
    const { transport } = await start(
      always(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(500)}0\r\nX: y\r\n\r\n`),
    )
    const asking = await ask(transport)
    expect(asking.body).toBe('x'.repeat(500))
    expect(asking.trailers).toEqual(['X', 'y'])
    expect(asking.events.filter((event) => event === 'data').length).toBeLessThan(5)
  })

  test('[FR-054] early hints come before the answer', async () => {
    const { server, transport } = await start(always(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('x')}`))
    for (let at = 0; at < 2; at++) {
      expect((await ask(transport)).events).toEqual(['connected', 'interim 103 Link </a>', 'head', 'data', 'end'])
    }
    expect(server.connections).toHaveLength(1)
  })
})

describe('limits and ends', () => {
  test('[FR-054] nobody there: the code of Node, for each that waits', async () => {
    const transport = new ClientTransport({ host: 'localhost', port: await freePort() }, USUAL)
    const asked = await Promise.all([ask(transport), ask(transport)])
    expect(asked.map(({ error }) => codeOf(error))).toEqual(['ECONNREFUSED', 'ECONNREFUSED'])
    expect(asked[0]!.events).toEqual(['failure'])
    await transport.destroy()
  })

  test('[FR-054] localhost is whichever address answers', async () => {
    const { server } = await start(always(ok('x')))
    const transport = new ClientTransport({ host: 'localhost', port: server.port }, USUAL)
    expect((await ask(transport)).body).toBe('x')
    await transport.close()
  })

  test('[FR-054] a connection that never comes is given up', async () => {
    const transport = new ClientTransport({ host: 'never.test', port: 80 }, { connectMs: 50, lookup: () => {} })
    const asking = await ask(transport)
    expect(codeOf(asking.error)).toBe('ETIMEDOUT')
    expect(refusalOf(asking.error).reason).toMatch(/timeout$/)
    await transport.destroy()
  })

  test('[FR-054] over a Unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-client-'))
    const path = join(folder, 'up.sock')
    let text = ''
    const server = createServer((socket) => {
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1')
        socket.write(ok('unix'))
      })
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    const transport = new ClientTransport({ path }, USUAL)
    expect((await ask(transport, { headers: [] })).body).toBe('unix')
    expect(text).toContain('Host: localhost\r\n')
    await transport.close()
    await new Promise((resolve) => server.close(resolve))
    rmSync(folder, { recursive: true })
  })

  test('[FR-054] closing waits for what is under way and for what waits, and takes no more', async () => {
    const held: RawConnection[] = []
    const { transport } = await start((connection) => held.push(connection))
    const first = begin(transport, {})
    await until(() => held.length === 1, 'one is under way')
    const second = begin(transport, {})
    let isClosed = false
    const closed = transport.close().then(() => (isClosed = true))
    expect(codeOf((await ask(transport)).error)).toBe('ERR_UPSTREAM_CLOSED')
    expect(isClosed).toBe(false)
    held[0]!.send(ok('one'))
    await first.ended()
    await until(() => held.length === 2, 'the other is under way')
    held[1]!.send(ok('two'))
    await second.ended()
    await closed
    expect([first.body, second.body]).toEqual(['one', 'two'])
    expect(transport.connectionCount).toBe(0)
  })

  test('[FR-054] destroying ends what is under way and what waits', async () => {
    const { transport } = await start()
    const asked = [begin(transport, {})]
    await until(() => asked[0]!.events.length === 1, 'one is under way')
    asked.push(begin(transport, {}))
    await transport.destroy()
    for (const each of asked) {
      await each.ended()
      expect(codeOf(each.error)).toBe('ERR_UPSTREAM_CLOSED')
    }
  })
})
