/**
 * A thousand reloads under steady traffic on connections that are kept: nothing is lost, and no request is decided by half of
 * one policy and half of another. Two policies take turns in which everything differs at once, so that a mix would show.
 */

import { once } from 'node:events'
import { Agent, request } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import WebSocket from 'ws'
import { startUpstream, type Upstream } from '../../../upstream-mock/server.ts'
import { createIssuer, ISSUER, type TestIssuer } from '../fleet/policy.ts'
import { startTestGateway, type TestGateway } from '../support/gateway.ts'

const RELOADS_COUNT = 1_000
const CONNECTIONS_COUNT = 6
const SOCKETS_COUNT = 4

let upstream: Upstream
let issuer: TestIssuer
let gateway: TestGateway
const agent = new Agent({ connections: CONNECTIONS_COUNT, pipelining: 1 })

/** The token has the roles of both; each policy believes one, and asks for it. Route, identity and answer name the same one. */
function policyOf(name: string): string {
  return `
version: 1
origin: ORIGIN
login: { allowUnverifiedEmail: true }
admission: { perAddress: off }
tokens:
  ci: { issuer: ${ISSUER}, audience: books, roles: [${name}], claims: { roles: roles }, keys: [${JSON.stringify(issuer.jwk)}] }
upstreams:
  up: { url: UPSTREAM, assertion: false, identity: { X-User-Roles: roles } }
routes:
  /api/whoami:
    to: up
    access: { role: ${name} }
    headers: { request: { set: { X-Stamp: ${name} } }, response: { set: { X-Stamp: ${name} } } }
  /api/${name}/**: { to: up, access: public }
  /ws: { to: up, access: { role: ${name} } }
tests:
  - { GET: /api/whoami, as: job, expect: allow }
people:
  job: { token: ci, sub: job, roles: [${name}] }
`
}

const bad = (at: number): string => {
  const wrong = [
    'routes: [',
    policyOf('even').replace('expect: allow', 'expect: 403'),
    policyOf('odd').replace('ORIGIN', 'http://localhost:1'),
  ]
  return wrong[at % wrong.length]!
}

beforeAll(async () => {
  ;[upstream, issuer] = await Promise.all([startUpstream(), createIssuer()])
  gateway = await startTestGateway({ policy: policyOf('even'), upstreamUrl: upstream.url })
})

afterAll(async () => {
  await agent.destroy()
  await gateway?.close()
  await upstream?.close()
})

test('[FR-046] 1,000 reloads, good and bad, under load: no request is lost, and none is decided by a half-swapped policy', async () => {
  const authorization = `Bearer ${await issuer.sign({ sub: 'job', roles: ['even', 'odd'] })}`
  const wrong: string[] = []
  const seen = new Map<string, number>()
  let isOver = false
  const client = async () => {
    while (!isOver) {
      const { statusCode, headers, body } = await request(`${gateway.origin}/api/whoami`, {
        dispatcher: agent,
        headers: { authorization },
      })
      const text = await body.text()
      if (statusCode !== 200) {
        wrong.push(`${statusCode} ${text}`)
        continue
      }
      const told = new Map((JSON.parse(text) as { headers: [string, string][] }).headers)
      const stamps = `${headers['x-stamp']} ${told.get('X-Stamp')} ${told.get('X-User-Roles')}`
      seen.set(stamps, (seen.get(stamps) ?? 0) + 1)
    }
  }
  const sockets = await Promise.all(Array.from({ length: SOCKETS_COUNT }, () => openSocket(authorization)))
  const clients = Array.from({ length: CONNECTIONS_COUNT }, client)
  const outcomes = { done: 0, same: 0, refused: 0 }
  for (let at = 0; at < RELOADS_COUNT; at++) {
    const policy = at % 2 === 1 ? bad(at) : policyOf(at % 4 === 0 ? 'odd' : 'even')
    outcomes[(await gateway.put(policy)).outcome]++
    // Traffic between any two, and long enough in all that the sockets are decided again by many.
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  isOver = true
  await Promise.all(clients)
  const isAlive = await Promise.all(sockets.map(({ end }) => end()))

  expect(wrong).toEqual([])
  expect([...seen.keys()].toSorted()).toEqual(['even even even', 'odd odd odd'])
  expect(Math.min(...seen.values())).toBeGreaterThan(100)
  expect(outcomes).toEqual({ done: RELOADS_COUNT / 2, same: 0, refused: RELOADS_COUNT / 2 })
  expect(isAlive).toEqual(sockets.map(() => true))
  expect(gateway.faults).toEqual([])
  const lost = gateway.records.filter(({ status, reason }) => status >= 400 || reason !== null)
  expect(lost.slice(0, 3)).toEqual([])
}, 90_000)

/** Says something as soon as it hears itself, for as long as it lives. */
async function openSocket(authorization: string): Promise<{ end(): Promise<boolean> }> {
  const socket = new WebSocket(`${gateway.origin.replace('http', 'ws')}/ws`, { headers: { authorization } })
  let count = 0
  let isWhole = true
  socket.on('message', (data) => {
    if (String(data) !== String(count)) isWhole = false
    count += 1
    socket.send(String(count))
  })
  await once(socket, 'open')
  socket.send('0')
  return {
    async end() {
      const isOpen = socket.readyState === WebSocket.OPEN
      socket.terminate()
      return isOpen && isWhole && count > RELOADS_COUNT
    },
  }
}
