/** The scenario table and the table of HTTP over HTTP/2: the real gateway with a certificate of its own, real sessions and tokens, a real upstream. */

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll } from 'vitest'
import { converseOverHttp2 } from '../scenario/http/http2-runtime.ts'
import { type RawUpstream, startRawUpstream } from '../scenario/http/raw-upstream.ts'
import { type HttpRuntime, runHttpRows } from '../scenario/http/run.ts'
import { withWire } from '../scenario/http/table.ts'
import { ROLES } from '../scenario/people.ts'
import { type Runtime, runScenarios, startEcho } from '../scenario/run.ts'
import { SCENARIO_POLICY } from '../scenario/table.ts'
import { makeCertificate } from '../support/certificates.ts'
import { signIn, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { type Http2Client, http2Client } from '../support/http2.ts'

const ORIGIN = 'https://books.test'
const folder = mkdtempSync(join(tmpdir(), 'postern-h2-'))
const trusted = getCACertificates('default')
let echo: Awaited<ReturnType<typeof startEcho>>
let gateway: TestGateway
let client: Http2Client
let wire: RawUpstream
let runtime: Runtime
let httpRuntime: HttpRuntime

beforeAll(async () => {
  const { certificate, key, cert } = makeCertificate(folder, 'books', 'DNS:books.test,IP:127.0.0.1')
  setDefaultCACertificates([...trusted, cert])
  echo = await startEcho()
  wire = await startRawUpstream()
  gateway = await startTestGateway({
    policy: `${withWire(SCENARIO_POLICY).replace('WIRE', wire.url)}\ntls: { certificate: ${certificate}, key: ${key} }\nstore: { secret: "\${env:SECRET}" }\n`,
    origin: ORIGIN,
    upstreamUrl: echo.url,
    env: { SECRET: randomBytes(48).toString('base64') },
  })
  const people = {
    reader: await signIn(gateway, 'reader@example.com', ROLES.reader),
    admin: await signIn(gateway, 'admin@example.com', ROLES.admin),
  }
  client = await http2Client(gateway.url, cert, 'books.test')
  httpRuntime = {
    url: gateway.url,
    origin: ORIGIN,
    token: people.reader.token,
    upstream: wire,
    converse: (asked) => converseOverHttp2(client, 'books.test', asked),
  }
  runtime = {
    people,
    async send({ method, target, headers, body }) {
      echo.forget()
      let authority = 'books.test'
      const lines: string[] = []
      for (let at = 0; at < headers.length; at += 2) {
        const name = headers[at]!.toLowerCase()
        if (name === 'host') authority = headers[at + 1]!
        else lines.push(name, headers[at + 1]!)
      }
      if (body !== null) lines.push('content-length', String(body.length))
      const pseudo = [':method', method, ':scheme', 'https', ':authority', authority, ':path', target]
      const answer = await client.ask([...pseudo, ...lines], body ?? '')
      return { status: answer.status, body: answer.body, upstream: echo.lastSeen() }
    },
  }
})

afterAll(async () => {
  client?.close()
  await gateway?.close()
  echo?.server.close()
  wire?.close()
  setDefaultCACertificates(trusted)
  rmSync(folder, { recursive: true, force: true })
})

runScenarios('h2', () => runtime)
runHttpRows('h2', () => httpRuntime)
