/** The instrument is checked before anything is measured with it: what it records, echoes and breaks is what it says. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { FAULT_NAMES, UPGRADE_FAULT_NAMES } from './faults.ts'
import { startUpstream, type Upstream } from './server.ts'

let upstream: Upstream

beforeEach(async () => {
  upstream = await startUpstream({ faults: true, record: true })
})

afterEach(() => upstream.close())

/** Sends bytes and reads until the other end closes, or until `isEnough`. */
async function exchange(bytes: string, isEnough: (answer: string) => boolean = () => false): Promise<string> {
  const socket = connect(upstream.port, '127.0.0.1')
  let answer = ''
  await new Promise<void>((resolve) => {
    socket.on('error', () => resolve())
    socket.on('close', () => resolve())
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
      if (isEnough(answer)) resolve()
    })
    socket.write(bytes, 'latin1')
  })
  socket.destroy()
  return answer
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: books\r\n\r\n`
const getAndClose = (path: string) => `GET ${path} HTTP/1.1\r\nHost: books\r\nConnection: close\r\n\r\n`

describe('recording', () => {
  test('each byte of a request is recorded, in order and as sent', async () => {
    const bytes =
      'POST /upload HTTP/1.1\r\nhOsT:  books\r\nX_Odd: 1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc'
    await exchange(bytes)
    expect(upstream.recordings().map(String)).toEqual([bytes])
  })

  test('a large body is recorded whole', async () => {
    const body = Buffer.alloc(3_000_000, 'body')
    const response = await fetch(`${upstream.url}/upload`, { method: 'POST', body, headers: { connection: 'close' } })
    expect(await response.json()).toEqual({ bytes: 3_000_000, sha256: createHash('sha256').update(body).digest('hex') })
    expect(upstream.recordings()[0]!.subarray(-body.length).equals(body)).toBe(true)
  })

  test('frames after an upgrade are recorded too', async () => {
    const socket = new WebSocket(`${upstream.url.replace('http', 'ws')}/ws`)
    await once(socket, 'open')
    socket.send('hello')
    expect(String((await once(socket, 'message'))[0])).toBe('hello')
    const [recording] = upstream.recordings()
    const head = recording!.indexOf('\r\n\r\n') + 4
    expect(recording!.length - head).toBe(2 + 4 + 'hello'.length)
    socket.close()
    await once(socket, 'close')
  })

  test('forget drops finished recordings, and nothing is kept without the option', async () => {
    await exchange(getAndClose('/api/health'))
    upstream.forget()
    expect(upstream.recordings()).toEqual([])
    const quiet = await startUpstream()
    await (await fetch(`${quiet.url}/api/health`)).text()
    expect(quiet.recordings()).toEqual([])
    await quiet.close()
  })
})

describe('the Books app', () => {
  test('whoami echoes method, target and every header line as received', async () => {
    const answer = await exchange(
      'GET /api/whoami?a=%41 HTTP/1.1\r\nHost: books\r\nx-TWICE: 1\r\nX-Twice: 2\r\nX_Under: 3\r\nConnection: close\r\n\r\n',
    )
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toEqual({
      method: 'GET',
      target: '/api/whoami?a=%41',
      httpVersion: '1.1',
      headers: [
        ['Host', 'books'],
        ['x-TWICE', '1'],
        ['X-Twice', '2'],
        ['X_Under', '3'],
        ['Connection', 'close'],
      ],
    })
  })

  test('the page greets whom the headers name, escaped, and otherwise offers to sign in', async () => {
    const nobody = await (await fetch(upstream.url)).text()
    expect(nobody).toContain('not signed in')
    expect(nobody).toContain('href="/_postern/sign-in"')
    const someone = await (await fetch(upstream.url, { headers: { 'x-forwarded-email': '<b>@x' } })).text()
    expect(someone).toContain('&lt;b&gt;@x')
    expect(someone).not.toContain('<b>@x')
  })

  test('books are listed, added, changed and removed', async () => {
    const url = `${upstream.url}/api/books`
    const added = await fetch(url, { method: 'POST', body: '{"title":"Pale Fire","author":"Nabokov"}' })
    expect([added.status, added.headers.get('location')]).toEqual([201, '/api/books/4'])
    const changed = await fetch(`${url}/4`, { method: 'PUT', body: '{"title":"Ada"}' })
    expect(await changed.json()).toEqual({ id: 4, title: 'Ada', author: 'Nabokov' })
    expect((await fetch(`${url}/4`, { method: 'DELETE' })).status).toBe(204)
    expect((await fetch(`${url}/4`)).status).toBe(404)
    expect(((await (await fetch(url)).json()) as { books: object[] }).books).toHaveLength(3)
    expect((await fetch(url, { method: 'POST', body: 'null' })).status).toBe(400)
    expect((await fetch(url, { method: 'PATCH' })).headers.get('allow')).toBe('GET, HEAD, POST')
  })

  test('tasks belong to the user in the path', async () => {
    const url = `${upstream.url}/api/users/u%201/tasks`
    await fetch(url, { method: 'POST', body: '{"text":"read"}' })
    expect(await (await fetch(url)).json()).toEqual({ user: 'u 1', tasks: [{ id: 1, text: 'read', done: false }] })
    expect(await (await fetch(`${upstream.url}/api/users/u2/tasks`)).json()).toEqual({ user: 'u2', tasks: [] })
  })

  for (const method of ['GET', 'POST'] as const) {
    test(`[FR-018] chat streams events one by one on ${method}`, async () => {
      const url = `${upstream.url}/api/chat?message=good+day&events=3&gapMs=5`
      const response = await fetch(url, method === 'POST' ? { method, body: '{"message":"good day"}' } : {})
      expect(response.headers.get('content-type')).toBe('text/event-stream')
      const body = await response.text()
      expect(body.match(/event: word/g)).toHaveLength(3)
      expect(body.endsWith('event: done\ndata: {}\n\n')).toBe(true)
    })
  }
})

describe('the WebSocket', () => {
  test('text, binary, long and fragmented messages come back, and a ping is answered', async () => {
    const socket = new WebSocket(`${upstream.url.replace('http', 'ws')}/ws`)
    await once(socket, 'open')
    for (const message of ['short', 'm'.repeat(300), Buffer.alloc(70_000, 7)]) {
      socket.send(message)
      const [echo, isBinary] = (await once(socket, 'message')) as [Buffer, boolean]
      expect([echo.equals(Buffer.from(message)), isBinary]).toEqual([true, typeof message !== 'string'])
    }
    socket.send('one ', { fin: false })
    socket.send('two', { fin: true })
    expect(String((await once(socket, 'message'))[0])).toBe('one two')
    socket.ping('p')
    expect(String((await once(socket, 'pong'))[0])).toBe('p')
    socket.close(4001)
    expect((await once(socket, 'close'))[0]).toBe(4001)
  })

  test('whoami tells the handshake as it was received', async () => {
    const socket = new WebSocket(`${upstream.url.replace('http', 'ws')}/ws?whoami`, { headers: { 'X-Mark': 'here' } })
    const [message] = (await once(socket, 'message')) as [Buffer]
    expect((JSON.parse(String(message)) as { headers: [string, string][] }).headers).toContainEqual(['X-Mark', 'here'])
    socket.close()
    await once(socket, 'close')
  })

  const handshake =
    'GET /ws HTTP/1.1\r\nHost: books\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n'

  for (const [name, bytes, code] of [
    ['an unmasked frame', '\x81\x01a', 1002],
    ['a reserved opcode', '\x83\x80\x00\x00\x00\x00', 1002],
    ['text that is not UTF-8', '\x81\x81\x00\x00\x00\x00\xff', 1007],
    ['a frame larger than allowed', '\x82\xff\x00\x00\x00\x00\x10\x00\x00\x00', 1009],
    ['a continuation of nothing', '\x80\x80\x00\x00\x00\x00', 1002],
  ] as const) {
    test(`${name} closes with ${code}`, async () => {
      const answer = await exchange(handshake + bytes, (text) => text.slice(text.indexOf('\r\n\r\n') + 4).length >= 4)
      const frame = Buffer.from(answer.slice(answer.indexOf('\r\n\r\n') + 4), 'latin1')
      expect([frame[0], frame.readUInt16BE(2)]).toEqual([0x88, code])
    })
  }

  test('an upgrade elsewhere, or without a key, is refused', async () => {
    expect(await exchange(handshake.replace('/ws', '/api/whoami'))).toMatch(/^HTTP\/1.1 404 /)
    expect(await exchange(handshake.replace(/Sec-WebSocket-Key.*\r\n/, ''))).toMatch(/^HTTP\/1.1 400 /)
  })
})

describe('faults', () => {
  test('the README has a row for each fault, and no other', () => {
    const readme = readFileSync(new URL('./README.md', import.meta.url), 'utf8')
    const rows = [...readme.matchAll(/^\| `\/faults\/([\w-]+)`/gm)].map((match) => match[1])
    expect(rows.toSorted()).toEqual([...FAULT_NAMES, ...UPGRADE_FAULT_NAMES].toSorted())
  })

  test('torn promises more than it sends', async () => {
    const answer = await exchange(get('/faults/torn?after=7'))
    expect(answer).toMatch(/Content-Length: 1007\r\n\r\nx{7}$/)
  })

  test('torn-chunked ends inside a chunk', async () => {
    expect(await exchange(get('/faults/torn-chunked'))).toMatch(/10\r\nhalf$/)
  })

  test('1xx sends 103 and 100 before 200', async () => {
    const answer = await exchange(get('/faults/1xx'), (text) => text.includes('final'))
    expect([...answer.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((match) => match[1])).toEqual(['103', '100', '200'])
  })

  test('trailers, wrong lengths and garbage reach the wire as they stand', async () => {
    expect(await exchange(get('/faults/trailers'), (text) => text.endsWith('evil\r\n\r\n'))).toContain('X-Checksum: 1')
    const two = await exchange(get('/faults/wrong-length?kind=two'), (text) => text.includes('promised'))
    expect(two.match(/Content-Length/g)).toHaveLength(2)
    expect(await exchange(get('/faults/garbage'), (text) => text.length > 10)).toMatch(/^\x00\x01\x02/)
  })

  test('set-cookie writes hostile lines and those asked for', async () => {
    const answer = await exchange(get('/faults/set-cookie?cookie=a%3D1'), (text) => text.endsWith('ok\n'))
    expect(answer).toContain('Set-Cookie: postern.session_token=evil')
    expect(answer).toContain('Clear-Site-Data: "*"')
    expect(answer).toContain('Set-Cookie: a=1')
  })

  test('early answers before the body is sent', async () => {
    const head = 'POST /faults/early HTTP/1.1\r\nHost: books\r\nContent-Length: 1000000\r\n\r\n'
    expect(await exchange(head, (text) => text.endsWith('early\n'))).toMatch(/^HTTP\/1.1 200/)
  })

  test('close ends without a byte, never does not answer, stale closes after its answer', async () => {
    expect(await exchange(get('/faults/close'))).toBe('')
    expect(await exchange(get('/faults/stale'))).toMatch(/keep-alive[\s\S]*stale\n$/)
    const silent = connect(upstream.port, '127.0.0.1')
    silent.on('error', () => {})
    silent.write(get('/faults/never'))
    // A later request that is answered proves that the earlier one was left waiting.
    await exchange(getAndClose('/api/health'))
    expect(silent.bytesRead).toBe(0)
    silent.destroy()
  })

  test('ws-refuse answers an upgrade with a plain refusal', async () => {
    const socket = new WebSocket(`${upstream.url.replace('http', 'ws')}/faults/ws-refuse?status=401`)
    socket.on('error', () => {})
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }]
    expect(response.statusCode).toBe(401)
    socket.terminate()
  })

  test('big sends exactly as many bytes as were asked for', async () => {
    for (const query of ['bytes=3000000', 'bytes=3000000&chunked']) {
      expect((await (await fetch(`${upstream.url}/faults/big?${query}`)).arrayBuffer()).byteLength).toBe(3_000_000)
    }
  })

  test('every fault ends its connections when the upstream closes', async () => {
    const sockets = FAULT_NAMES.map((name) => {
      const socket = connect(upstream.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.resume().write(get(`/faults/${name}`))
      return socket
    })
    await exchange(getAndClose('/api/health'))
    const closed = Promise.all(sockets.map((socket) => socket.closed || once(socket, 'close')))
    await upstream.close()
    await closed
    expect(upstream.connections()).toBe(0)
    upstream = await startUpstream()
  })

  test('without the option there are no faults', async () => {
    const plain = await startUpstream()
    expect((await fetch(`${plain.url}/faults/torn`)).status).toBe(404)
    await plain.close()
  })
})
