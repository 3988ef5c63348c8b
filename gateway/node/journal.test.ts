/** One JSON line per finished exchange, and nothing that a log must not hold. */

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, read, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { startUpstream } from '../../upstream-mock/server.ts'
import type { AccessRecord } from '../model.ts'
import { OPEN_POLICY, startTestGateway } from '../test/support/gateway.ts'
import { freePort } from '../test/support/ports.ts'
import { jsonJournal, terminalJournal } from './journal.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-journal-'))

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('[FR-019] the journal keeps no query value, cookie or credential, and a bug’s stack', async () => {
  const upstream = await startUpstream()
  const gateway = await startTestGateway({ policy: OPEN_POLICY, upstreamUrl: upstream.url })
  const file = join(folder, 'access.log')
  const fd = openSync(file, 'w')
  try {
    await fetch(`${gateway.origin}/api/books?secret=query-47114711`, {
      headers: {
        authorization: 'Bearer token-47114711',
        cookie: 'theirs=cookie-47114711',
        'x-api-key': 'key-47114711',
      },
    })
    const record = await gateway.recordOf(({ path }) => path === '/api/books')
    const journal = jsonJournal(fd)
    journal.record(record)
    journal.record({ ...record, status: 503 })
    journal.fault('r1', new Error('a bug'))
    journal.note('a note')
    await journal.flush()
    const lines = readFileSync(file, 'utf8').trim().split('\n')
    const [access, failed, fault, note] = lines.map((line) => JSON.parse(line))
    expect(access).toMatchObject({ level: 'info', requestId: record.requestId, path: '/api/books', status: 200 })
    expect(failed).toMatchObject({ level: 'warn', status: 503 })
    expect(fault).toMatchObject({ level: 'error', requestId: 'r1' })
    expect(fault.fault).toMatch(/Error: a bug\n\s+at /)
    expect(note).toMatchObject({ note: 'a note' })
    expect(lines.join('')).not.toContain('47114711')
  } finally {
    closeSync(fd)
    await gateway.close()
    await upstream.close()
  }
})

test('[FR-024] on a terminal an exchange is one short line without control characters of others', () => {
  const lines: string[] = []
  const journal = terminalJournal((line) => lines.push(line))
  const record: AccessRecord = {
    requestId: 'r1',
    at: '2026-11-20T12:34:56.789Z',
    durationMs: 3,
    method: 'GET',
    path: '/a',
    status: 404,
    route: null,
    upstream: null,
    subject: null,
    roles: [],
    scopes: [],
    policy: 'p',
    proposed: null,
    credential: null,
    clientAddress: '127.0.0.1',
    reason: 'route.unlisted',
    log: null,
    droppedHeaders: 0,
    droppedGroups: 0,
    isAborted: false,
  }
  journal.record(record)
  journal.record({ ...record, status: 200, reason: null, proposed: 'would-refuse' })
  expect(lines).toEqual([
    '12:34:56 404 GET /a - 3 ms route.unlisted\n',
    '12:34:56 200 GET /a - 3 ms proposal: would-refuse\n',
  ])
})

test('[FR-001] a gateway whose log is read no more still ends when it is told to', async () => {
  const port = await freePort()
  const data = join(folder, 'unread')
  const file = join(folder, 'unread.yaml')
  const policy = `version: 1\norigin: http://localhost:${port}\nlisten: 127.0.0.1:${port}\nupstreams: { a: http://127.0.0.1:9 }\n`
  writeFileSync(file, `${policy}routes: { /a: { to: a, access: public } }\n`)
  const args = [join(import.meta.dirname, '../cli/main.ts'), 'serve', '--config', file, '--data', data]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const isUp = () =>
    fetch(`http://localhost:${port}/_postern/healthz`).then(
      () => true,
      () => false,
    )
  while (!(await isUp())) await new Promise((resolve) => setTimeout(resolve, 20))
  child.stdout.destroy()
  for (let at = 0; at < 100; at += 1) await fetch(`http://localhost:${port}/nowhere`)
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})

test('[FR-019] where nobody reads the log for a while, what waits is bounded, and what was lost is counted', async () => {
  const pipe = join(folder, 'stalled')
  execFileSync('mkfifo', [pipe])
  const fd = openSync(pipe, constants.O_RDWR)
  try {
    const journal = jsonJournal(fd, 256 * 1024)
    for (let at = 0; at < 10_000; at++) journal.note(`${at} ${'x'.repeat(200)}`)
    const chunk = Buffer.alloc(64 * 1024)
    let text = ''
    while (!/lines of this log were lost/.test(text)) {
      const { bytesRead } = await promisify(read)(fd, chunk, 0, chunk.length, null)
      text += chunk.toString('latin1', 0, bytesRead)
    }
    const notes = text.split('\n').filter((line) => /"note":"\d+ x/.test(line))
    const lost = Number(/"note":"(\d+) lines of this log/.exec(text)![1])
    expect(notes.length).toBeGreaterThan(500)
    expect(notes.length + lost).toBe(10_000)
    expect(text.length).toBeLessThan(1024 * 1024)
  } finally {
    closeSync(fd)
  }
})
