/** A server behind the gateway that a test holds in its hand: it can be stopped, killed and brought back under the same address. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createMute } from 'node:net'

export type Answer = (request: IncomingMessage, response: ServerResponse) => void

export interface Backend {
  readonly url: string
  readonly port: number
  /** Method and path of each request that came, in order. */
  readonly seen: readonly string[]
  /** Their Host, without that of health paths. */
  readonly hosts: readonly string[]
  /** Answers from now on. */
  answer: Answer
  /** Ends every connection in the middle of whatever it is, and listens no more. */
  kill(): Promise<void>
  /** Listens again. */
  revive(): Promise<void>
}

export const fine: Answer = (_request, response) => void response.end('fine')
export const torn: Answer = (request) => void request.socket.destroy()

/** Paths below `/health/` answer 200, or what `unwell` says of their whole URL. */
export async function startBackend(
  unwell: ReadonlyMap<string, number> = new Map(),
  host = '127.0.0.1',
  port = 0,
): Promise<Backend> {
  const seen: string[] = []
  const hosts: string[] = []
  let server: Server
  const listen = async (at: number) => {
    server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      seen.push(`${request.method} ${request.url}`)
      if (request.url?.startsWith('/health/') !== true) {
        hosts.push(request.headers.host ?? '')
        return backend.answer(request, response)
      }
      response.writeHead(unwell.get(backend.url + request.url) ?? 200, { location: '/well' }).end()
    })
    await new Promise<void>((resolve, reject) => server.listen(at, host, resolve).once('error', reject))
    return (server.address() as AddressInfo).port
  }
  const backend: Backend & { url: string; port: number } = {
    url: '',
    port: 0,
    seen,
    hosts,
    answer: fine,
    async kill() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
    revive: async () => void (await listen(backend.port)),
  }
  backend.port = await listen(port)
  backend.url = `http://${host}:${backend.port}`
  return backend
}

/** Takes connections and says nothing: a TLS handshake with it never ends. */
export async function startMute(): Promise<{ readonly port: number; close(): void }> {
  const server = createMute(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() }
}
