/** A client that asks over TLS and resets the connection at once: nobody knows any more whose request it is. */

import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Recorder, startRecorder } from '../../bench/fuzz/recorder.ts'
import { type MadeCertificate, makeCertificate } from '../support/certificates.ts'
import { OPEN_POLICY, startTestGateway, type TestGateway } from '../support/gateway.ts'
import { until } from '../support/until.ts'

const HOST = 'books.test'
const folder = mkdtempSync(join(tmpdir(), 'postern-gone-'))
let made: MadeCertificate
let recorder: Recorder
let gateway: TestGateway

beforeAll(async () => {
  made = makeCertificate(folder, 'books', `DNS:${HOST}`)
  recorder = await startRecorder()
  const tls = `tls: { certificate: ${made.certificate}, key: ${made.key} }\nstore: { secret: "\${env:SECRET}" }\n`
  gateway = await startTestGateway({
    policy: OPEN_POLICY + tls,
    origin: `https://${HOST}`,
    upstreamUrl: recorder.url,
    env: { SECRET: Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString('base64') },
  })
})

afterAll(async () => {
  await gateway?.close()
  await recorder?.close()
  rmSync(folder, { recursive: true, force: true })
})

const TIMES = 20

test('[FR-058] a request whose client address nobody can tell any more goes nowhere', async () => {
  for (let times = 0; times < TIMES; times++) await askAndReset()
  await until(() => gateway.records.length === TIMES, 'each is on record')
  const known = gateway.records.filter(({ upstream }) => upstream !== null)
  expect(known.map(({ clientAddress }) => clientAddress)).toEqual(known.map(() => '127.0.0.1'))
  expect(recorder.heard.flatMap(({ message }) => message.headers)).not.toContain('unknown')
})

function askAndReset(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(gateway.url).port) })
    const secure = connectTls({ socket, ca: made.cert, servername: HOST, ALPNProtocols: ['http/1.1'] }, () => {
      secure.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`, () => socket.resetAndDestroy())
    })
    secure.on('error', () => {})
    socket.on('error', () => {}).on('close', () => resolve())
  })
}
