/** Upstreams behind TLS are checked against their own name: the public Host that a request carries proves nothing about them. */

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { acceptWebSocket } from '../../../upstream-mock/websocket.ts'
import { OPEN_POLICY, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { isWhole, parseAnswer, rawClient } from '../support/raw.ts'

interface Behind {
  readonly server: Server
  readonly gateway: TestGateway
}

const folder = mkdtempSync(join(tmpdir(), 'postern-tls-'))
const trusted = getCACertificates()
/** Its certificate is for the address it stands at. */
let right: Behind
/** Its certificate is for the gateway's public name, which is what the Host field says. */
let wrong: Behind

beforeAll(async () => {
  right = await startBehind('IP:127.0.0.1')
  wrong = await startBehind('DNS:localhost')
})

afterAll(async () => {
  for (const { server, gateway } of [right, wrong]) {
    await gateway.close()
    server.close()
  }
  setDefaultCACertificates(trusted)
  rmSync(folder, { recursive: true, force: true })
})

/** A certificate made for this run; no key is ever committed. */
async function startBehind(name: string): Promise<Behind> {
  const base = join(folder, name.replaceAll(/\W/g, '-'))
  const subject = ['-subj', '/CN=upstream', '-addext', `subjectAltName=${name}`, '-days', '2']
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${base}.key`]
  execFileSync('openssl', ['req', '-x509', ...key, ...subject, '-out', `${base}.pem`], { stdio: 'pipe' })
  const cert = readFileSync(`${base}.pem`, 'utf8')
  setDefaultCACertificates([...getCACertificates('default'), cert])
  const server = createServer({ cert, key: readFileSync(`${base}.key`) }, (_request, response) =>
    response.end('secret'),
  )
  server.on('upgrade', (request, socket) => acceptWebSocket(request, socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { server, gateway: await startTestGateway({ policy: OPEN_POLICY, upstreamUrl: `https://127.0.0.1:${port}` }) }
}

async function ask({ gateway }: Behind, more: readonly string[], isEnough: (text: string) => boolean) {
  const client = await rawClient(gateway.url)
  client.send(['GET / HTTP/1.1', `Host: ${new URL(gateway.origin).host}`, ...more, '', ''].join('\r\n'))
  const answer = parseAnswer(await client.until(isEnough))
  client.close()
  return answer
}

const UPGRADE = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]
const hasHead = (text: string) => text.includes('\r\n\r\n')

test('[FR-016] an upstream whose certificate names it is reached, while Host stays the public one', async () => {
  expect(await ask(right, [], isWhole)).toMatchObject({ status: 200, body: 'secret' })
})

test('[FR-017] and so it is by WebSocket', async () => {
  expect((await ask(right, UPGRADE, hasHead)).status).toBe(101)
})

test('[FR-016] a certificate for our public name is not one for the upstream', async () => {
  const answer = await ask(wrong, [], isWhole)
  expect(answer.status).toBe(502)
  expect(JSON.parse(answer.body).code).toBe('upstream-unreachable')
})

test('[FR-017] and so it is by WebSocket, before any byte of the request', async () => {
  expect((await ask(wrong, UPGRADE, isWhole)).status).toBe(502)
})
