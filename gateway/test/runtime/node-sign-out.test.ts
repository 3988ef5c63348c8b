/** The whole gateway with its real log: what people and operators do ends what is open, and only that. */

import { request } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import WebSocket from 'ws'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { type SignedIn, signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { parseAnswer, rawClient } from '../support/raw.ts'

const POLICY = `
version: 1
origin: ORIGIN
login: { allowUnverifiedEmail: true }
upstreams:
  up: { url: UPSTREAM, assertion: false }
defaults: { timeout: 10s }
admission: { perAddress: off }
routes:
  /**: { to: up, access: { role: reader } }
`

let upstream: Upstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startUpstream({ faults: true })
  gateway = await startTestGateway({ policy: POLICY, upstreamUrl: upstream.url })
})

afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

async function openStream(...credentials: readonly string[]) {
  const client = await rawClient(gateway.url)
  const lines = ['GET /api/chat?message=hi&events=1000&gapMs=20 HTTP/1.1', `Host: ${new URL(gateway.origin).host}`]
  client.send([...lines, ...credentials, '', ''].join('\r\n'))
  await client.until((text) => text.includes('\r\n\r\n') && parseAnswer(text).body.length > 10)
  return client
}

async function openSocket(who: SignedIn) {
  const headers = { cookie: who.cookie, origin: gateway.origin }
  const socket = new WebSocket(`${gateway.origin.replace('http', 'ws')}/ws`, { headers })
  const closed = new Promise<number>((resolve) => socket.once('close', resolve))
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  return { socket, closed }
}

async function goesOn(client: Awaited<ReturnType<typeof openStream>>): Promise<void> {
  const length = client.received().length
  await client.until((text) => text.length > length)
}

async function post(who: SignedIn, path: string): Promise<number> {
  const headers = { host: new URL(gateway.origin).host, origin: gateway.origin, cookie: who.cookie }
  const { statusCode, body } = await request(gateway.url + path, { method: 'POST', headers })
  await body.dump()
  return statusCode
}

test('[FR-036] a sign-out cuts what rests on that session, by cookie and by token, and not the other session', async () => {
  const ada = await signIn(gateway, 'ada@example.com', ['reader'])
  const elsewhere = await signIn(gateway, 'ada@example.com', ['reader'])
  const byCookie = await openStream(`Cookie: ${ada.cookie}`)
  const byToken = await openStream(`Authorization: Bearer ${ada.token}`)
  const { closed } = await openSocket(ada)
  const other = await openStream(`Cookie: ${elsewhere.cookie}`)
  expect(await post(ada, '/api/auth/sign-out')).toBe(200)
  expect(await closed).toBe(1008)
  expect(await byCookie.closed()).not.toMatch(/\r\n0\r\n\r\n$/)
  await byToken.closed()
  await goesOn(other)
  other.close()
})

test('[FR-036] a change of roles cuts where it no longer allows, and a ban cuts everything of that person', async () => {
  const bob = await signIn(gateway, 'bob@example.com', ['reader'])
  const cleo = await signIn(gateway, 'cleo@example.com', ['reader'])
  const bobs = await openStream(`Cookie: ${bob.cookie}`)
  const cleos = await openStream(`Cookie: ${cleo.cookie}`)
  const { closed } = await openSocket(bob)
  await gateway.users.setRoles(bob.id, ['reader', 'editor'])
  await goesOn(bobs)
  await gateway.users.setRoles(bob.id, ['editor'])
  await bobs.closed()
  expect(await closed).toBe(1008)
  const cleosSocket = await openSocket(cleo)
  await gateway.users.ban(cleo.id, 'test', null)
  await cleos.closed()
  expect(await cleosSocket.closed).toBe(1008)
  expect(gateway.faults).toEqual([])
})
