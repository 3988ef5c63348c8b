/** Our own client in front of a server made of bytes, both closed after each test. */

import { afterEach } from 'vitest'
import { ClientTransport } from '../../node/upstream/client/client-transport.ts'
import { type RawConnection, type RawServer, startRawServer } from './raw-server.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

type OnData = (connection: RawConnection, received: string) => void

export const USUAL = { connectMs: 5_000, lookup: null }

export async function start(onData: OnData = () => {}) {
  const server = await startRawServer(onData)
  const transport = new ClientTransport({ host: '127.0.0.1', port: server.port }, USUAL)
  closing.push(
    () => transport.destroy(),
    () => server.close(),
  )
  return { server, transport }
}

/** How many requests without a body have come whole. */
export const requests = (received: string) => received.split('\r\n\r\n').length - 1
export const ok = (body: string, more = '') => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`
/** Answers each request with the same bytes, once its head is here. */
export const always = (bytes: string): OnData => {
  const answered = new Map<RawConnection, number>()
  return (connection, received) => {
    for (let at = answered.get(connection) ?? 0; at < requests(received); at++) {
      answered.set(connection, at + 1)
      connection.send(bytes)
    }
  }
}
export const received = ({ connections }: RawServer) => connections.map((each) => each.received()).join('')
