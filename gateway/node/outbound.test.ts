/** Our own requests on real sockets: no redirect, no compression, and bounds in time and bytes that nothing stretches. */

import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type LiveIssuer, startIssuer } from '../test/support/issuer.ts'
import { type NodeOutbound, nodeOutbound } from './outbound.ts'

let outbound: NodeOutbound
let server: LiveIssuer

beforeAll(async () => {
  outbound = nodeOutbound()
  server = await startIssuer()
})

afterAll(async () => {
  await outbound.close()
  await server.close()
})

beforeEach(() => server.answers.clear())

const send = (path: string, more: object = {}) =>
  outbound.send({
    method: 'GET',
    url: server.url + path,
    headers: {},
    body: null,
    timeoutMs: 200,
    bytesMax: 1000,
    ...more,
  })

test('[FR-029] an answer comes as it is, whatever its status', async () => {
  server.answers.set('/a', (_request, response, body) => response.writeHead(418).end(`é${body}`))
  expect(await send('/a', { method: 'POST', body: 'x=1' })).toEqual({ status: 418, body: 'éx=1' })
})

test('[FR-029] a redirect is an answer, and is not followed', async () => {
  server.answers.set('/a', (_request, response) => response.writeHead(302, { location: '/b' }).end())
  expect(await send('/a')).toEqual({ status: 302, body: '' })
  expect(server.hits('/b')).toBe(0)
})

test('[FR-029] an answer may be as long as the bound, and not a byte longer', async () => {
  for (const length of [1000, 1001]) {
    server.answers.set('/a', (_request, response) => response.end('x'.repeat(length)))
    const sent = send('/a')
    if (length === 1000) expect((await sent).body).toHaveLength(1000)
    else await expect(sent).rejects.toThrow('longer than 1000 bytes')
  }
})

test('[FR-029] a compressed answer is none: it would be longer than it looks', async () => {
  const small = gzipSync('x'.repeat(100_000))
  server.answers.set('/a', (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(small))
  await expect(send('/a')).rejects.toThrow('compressed')
})

test('[FR-029] a server that compresses for whoever does not mind is told that we do', async () => {
  server.answers.set('/a', (request, response) => {
    const isAllowed = request.headers['accept-encoding'] !== 'identity'
    if (isAllowed) response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('plain'))
    else response.end('plain')
  })
  expect(await send('/a')).toEqual({ status: 200, body: 'plain' })
})

test('[FR-029] time runs out for a head that does not come, and for a body that trickles', async () => {
  server.answers.set('/silent', () => {})
  server.answers.set('/slow', (_request, response) => {
    const timer = setInterval(() => response.write('x'), 10)
    response.on('close', () => clearInterval(timer))
  })
  for (const path of ['/silent', '/slow']) {
    const before = performance.now()
    await expect(send(path)).rejects.toThrow('in time')
    expect(performance.now() - before).toBeLessThan(1000)
  }
})

test('[FR-029] a server that is not there, or tears the connection, rejects', async () => {
  await expect(send('', { url: 'http://127.0.0.1:1/' })).rejects.toThrow()
  server.answers.set('/a', (request) => void request.socket.destroy())
  await expect(send('/a')).rejects.toThrow()
})
