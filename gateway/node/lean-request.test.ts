/** node:http finds in a lean request what it looks for: that a body comes, that a 100 is awaited, and nothing else. */

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, IncomingMessage, type Server, type ServerOptions } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, expect, test } from 'vitest'
import { LeanRequest } from './lean-request.ts'

const servers: Server[] = []
afterAll(() => {
  for (const server of servers) server.close()
})

/** What a server makes of these bytes: which event, the body, and whether its answer of no known length is chunked. */
async function served(bytes: string, options: ServerOptions): Promise<object> {
  const server = createServer({ ...options, requireHostHeader: false, optimizeEmptyRequests: true })
  servers.push(server)
  const seen = Promise.withResolvers<object>()
  for (const event of ['request', 'checkContinue', 'checkExpectation'] as const) {
    server.on(event, async (request, response) => {
      if (event === 'checkContinue') response.writeContinue()
      const body = await text(request)
      response.write('x')
      response.end()
      seen.resolve({ event, body, isChunked: response.getHeader('transfer-encoding') ?? response.chunkedEncoding })
    })
  }
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.end(bytes)
  socket.resume()
  return seen.promise
}

const HEAD = 'POST / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n'
const REQUESTS: Readonly<Record<string, string>> = {
  empty: `${HEAD}\r\n`,
  'no host': 'GET / HTTP/1.1\r\n\r\n',
  'a length': `${HEAD}Content-Length: 3\r\n\r\nabc`,
  'a length in other letters': `${HEAD}CONTENT-length: 3\r\n\r\nabc`,
  chunks: `${HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
  'a 100 is awaited': `${HEAD}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc`,
  'a 100 is awaited, twice': `${HEAD}Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc`,
  'something else is awaited': `${HEAD}Expect: the-unexpected\r\nContent-Length: 3\r\n\r\nabc`,
  'HTTP/1.0': 'GET / HTTP/1.0\r\n\r\n',
  'HTTP/1.0 and chunks are taken': 'GET / HTTP/1.0\r\nTE: chunked\r\n\r\n',
}

test.each(Object.entries(REQUESTS))('[FR-004] as of any request: %s', async (_name, bytes) => {
  const ordinary = await served(bytes, { IncomingMessage })
  expect(await served(bytes, { IncomingMessage: LeanRequest })).toEqual(ordinary)
})

test('[FR-004] the other fields are not in it, and whoever needs them can put them there', () => {
  const request = new LeanRequest(null as never)
  request.rawHeaders.push('Host', 'a.example', 'Cookie', 'a=b', 'toString', 'x')
  expect(Object.keys(request.headers)).toEqual(['host'])
  const fields: IncomingHttpHeaders = { cookie: 'a=b' }
  request.headers = fields
  expect(request.headers).toBe(fields)
})
