/** Many requests on one connection before the first is answered: what waits for its turn costs little, and is cut like anything else. */

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { exchangeRaw, parseAnswer, rawClient } from '../support/raw.ts'
import { until } from '../support/until.ts'

const POLICY = `
version: 1
origin: ORIGIN
login: { allowUnverifiedEmail: true }
upstreams:
  up: { url: UPSTREAM, assertion: false }
defaults: { timeout: 20s }
admission: { perAddress: off }
routes:
  /public/**: { to: up, access: public }
  /private/**: { to: up, access: login }
`

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

let upstream: Server
let gateway: TestGateway
let ada: SignedIn
/** What the upstream has got and not answered, by path. */
const held = new Map<string, Socket>()

beforeAll(async () => {
  upstream = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      const path = bytes.toString('latin1').split(' ')[1]!
      held.set(path, socket)
      if (path === '/public/at-once') socket.write(OK)
      if (path === '/private/part') {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecret\r\n')
      }
    })
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
  gateway = await startTestGateway({ policy: POLICY, upstreamUrl })
  ada = await signIn(gateway, 'ada@example.com', [])
})

afterAll(async () => {
  await gateway?.close()
  for (const socket of held.values()) socket.destroy()
  upstream?.close()
})

const request = (path: string, ...lines: readonly string[]) =>
  [`GET ${path} HTTP/1.1`, `Host: ${new URL(gateway.origin).host}`, ...lines, '', ''].join('\r\n')

async function ask(): Promise<void> {
  const text = await exchangeRaw(gateway.url, request('/public/at-once', 'Connection: close'))
  expect(parseAnswer(text).body).toBe('ok')
}

/** Of the piled up requests the gateway may read what came in one piece, and no more. */
const READ_MAX = 10_000

test('[FR-058] requests that pile up behind the last answer of a connection are not read: they would only fill memory', async () => {
  const client = await rawClient(gateway.url)
  let begun = 0
  const count = () => void begun++
  subscribe('http.server.request.start', count)
  client.send(request('/public/held') + request('/public/x', 'Host: other'))
  await until(() => held.has('/public/held'), 'the first is under way')
  client.send(request('/public/held').repeat(100_000))
  // Each lets the gateway read once more from the other connection, if it does.
  for (let turn = 0; turn < 100; turn++) await ask()
  unsubscribe('http.server.request.start', count)
  expect(begun).toBeLessThan(READ_MAX)
  held.get('/public/held')!.write(OK)
  await client.closed()
  held.clear()
})

test('[FR-036] an answer that waits for its turn is cut when its caller is revoked: none of it leaves', async () => {
  const client = await rawClient(gateway.url)
  client.send(request('/public/held') + request('/private/part', `Cookie: ${ada.cookie}`) + request('/public/behind'))
  await until(() => held.has('/private/part') && held.has('/public/behind'), 'all are under way')
  await ask()
  await gateway.users.ban(ada.id, 'test', null)
  held.get('/public/held')!.write(OK)
  expect(await client.closed()).not.toContain('secret')
  held.clear()
})

test('[FR-058] what waits for its turn before a CONNECT is over with its connection, and gives back its place', async () => {
  const client = await rawClient(gateway.url)
  client.send(request('/public/held') + request('/_postern/sign-in') + request('/private/nobody'))
  await until(() => held.has('/public/held'), 'the first is under way')
  client.send(request('/public/x').replace('GET', 'CONNECT'))
  await client.closed()
  await gateway.recordOf(({ path }) => path === '/_postern/sign-in')
  await gateway.recordOf(({ path }) => path === '/private/nobody')
  await gateway.recordOf(({ path, isAborted }) => path === '/public/held' && isAborted)
  held.clear()
})
