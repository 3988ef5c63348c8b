/** The command as an operator meets it: what the demo promises, and every start that must be refused with its cure. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createStore } from '../test/ports/identity.ts'
import { command, MAIN } from '../test/support/command.ts'
import { freePort } from '../test/support/ports.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-serve-'))
const SECRET = 'Zm9yIHRlc3RzIG9ubHksIG5ldmVyIGZvciBhIHJlYWwgZ2F0ZXdheSE='

/** Also those of a test that failed half-way. */
const started: ChildProcess[] = []

afterAll(() => {
  for (const child of started) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

type Env = Readonly<Record<string, string>>

interface Run {
  readonly child: ChildProcess
  output(): string
  /** Resolves with the exit code. */
  readonly exit: Promise<number | null>
}

function run(args: readonly string[], env: Env = {}): Run {
  const { PATH = '', HOME = '' } = process.env
  const child = spawn(process.execPath, [MAIN, ...args], { env: { PATH, HOME, ...env } })
  started.push(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)))
  return { child, output: () => output, exit: once(child, 'close').then(([code]) => code as number | null) }
}

async function untilServing(running: Run, port: number): Promise<void> {
  await expect
    .poll(
      async () =>
        (await fetch(`http://localhost:${port}/_postern/healthz`).catch(() => null))?.status ?? running.output(),
      { timeout: 20_000 },
    )
    .toBe(200)
}

function policy(name: string, text: string): string {
  const file = join(folder, `${name}.yaml`)
  writeFileSync(
    file,
    `version: 1\nupstreams:\n  up: http://127.0.0.1:9\nroutes:\n  /**: { to: up, access: login }\n${text}\n`,
  )
  return file
}

test('[FR-024] the demo keeps its passwords and its secret from everybody but their owner, and keeps its users', async () => {
  const data = join(folder, 'demo')
  const port = await freePort()
  const outputs: string[] = []
  let passwords = ''
  for (const round of [1, 2]) {
    const running = run(['serve', '--demo', '--data', data], { PORT: String(port) })
    await untilServing(running, port)
    await expect.poll(running.output, { timeout: 20_000 }).toContain('Ctrl-C stops it.')
    if (round === 1) passwords = readFileSync(join(data, 'demo.txt'), 'utf8')
    for (const line of passwords.trim().split('\n')) {
      const [email, password] = line.trim().split(/\s+/)
      const origin = `http://localhost:${port}`
      const answer = await fetch(`${origin}/api/auth/sign-in/email`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin },
        body: JSON.stringify({ email, password }),
      })
      expect(answer.status, `${email} in round ${round}`).toBe(200)
    }
    running.child.kill('SIGINT')
    expect(await running.exit).toBe(0)
    outputs.push(running.output())
  }
  for (const file of ['demo.txt', 'secret', 'postern.db']) expect(statSync(join(data, file)).mode & 0o077, file).toBe(0)
  for (const line of passwords.trim().split('\n')) expect(outputs.join('')).not.toContain(line.trim().split(/\s+/)[1])
  expect(outputs[1]).toContain('The demo users are those of the first start')
})

test('[FR-022] DATABASE_URL and REDIS_URL move the demo to Postgres and Redis, its passwords still to a file of its own', async () => {
  const store = await createStore('postgres')
  const data = join(folder, 'elsewhere')
  const port = await freePort()
  const env = { DATABASE_URL: store.url, REDIS_URL: process.env.POSTERN_TEST_REDIS_URL!, POSTERN_SECRET: SECRET }
  const running = run(['serve', '--demo', '--data', data], { PORT: String(port), ...env })
  await untilServing(running, port)
  await expect.poll(running.output, { timeout: 20_000 }).toContain('Ctrl-C stops it.')
  expect((await fetch(`http://localhost:${port}/_postern/readyz`)).status).toBe(200)
  running.child.kill('SIGINT')
  expect(await running.exit).toBe(0)
  expect(statSync(join(data, 'demo.txt')).mode & 0o077).toBe(0)
  for (const file of ['postern.db', 'secret']) expect(() => statSync(join(data, file))).toThrow()
  await store.remove()
})

test('[FR-024] demo users exist only under --demo', async () => {
  const port = await freePort()
  const file = policy('plain', `origin: http://localhost:${port}\nlisten: 127.0.0.1:${port}`)
  const data = join(folder, 'plain')
  const running = run(['serve', '--config', file, '--data', data])
  await untilServing(running, port)
  running.child.kill('SIGTERM')
  expect(await running.exit).toBe(0)
  expect(running.output()).not.toContain('example.com')
  expect(() => statSync(join(data, 'demo.txt'))).toThrow()
})

describe('a start that must be refused says why and what to do', () => {
  const https = 'origin: https://books.example.com\nlisten: 127.0.0.1:0\ntrust: [127.0.0.1/32]'
  const local = 'origin: http://localhost:8080\nlisten: 127.0.0.1:0'
  const rows: readonly (readonly [
    title: string,
    id: string,
    file: string,
    args: readonly string[],
    env: Env,
    says: RegExp,
  ])[] = [
    [
      '[FR-024] the demo beyond loopback',
      'wide',
      'origin: http://localhost:8080\nlisten: 0.0.0.0:0',
      ['--demo'],
      {},
      /demo.*loopback only/,
    ],
    [
      '[FR-025] an https origin without a secret',
      'https',
      https,
      [],
      {},
      /secret is required, because the origin is https.*openssl rand/s,
    ],
    [
      '[FR-025] production without a secret',
      'production',
      local,
      [],
      { NODE_ENV: 'production' },
      /secret is required, because NODE_ENV is production/,
    ],
    [
      '[FR-025] a shared database without a secret',
      'shared',
      `${local}\nstore: { database: "\${env:DB}" }`,
      [],
      { DB: 'postgres://127.0.0.1:9/x' },
      /secret is required, because the database is shared/,
    ],
    [
      '[FR-025] a shared Redis without a secret',
      'redis',
      `${local}\nstore: { redis: "\${env:DB}" }`,
      [],
      { DB: 'redis://127.0.0.1:9' },
      /secret is required, because Redis is shared/,
    ],
    [
      '[FR-025] a weak secret',
      'weak',
      `${local}\nstore: { secret: "\${env:POSTERN_SECRET}" }`,
      [],
      { POSTERN_SECRET: 'changeme'.repeat(8) },
      /too weak.*32 random bytes/s,
    ],
    [
      '[FR-023] a database that is not there',
      'gone',
      `${local}\nstore: { database: "\${env:DB}", secret: "\${env:POSTERN_SECRET}" }`,
      [],
      { DB: 'postgres://127.0.0.1:9/x', POSTERN_SECRET: SECRET },
      /database cannot be used/,
    ],
    [
      '[FR-014] a policy with a mistake',
      'mistake',
      `${local}\nadmision: { perAddress: off }`,
      [],
      {},
      /mistake\.yaml:\d+:\d+.*admission/s,
    ],
    [
      '[FR-001] a port that is no number',
      'port',
      local,
      [],
      { PORT: 'eighty' },
      /PORT is "eighty", and must be a number/,
    ],
  ]
  for (const [title, id, text, args, env, says] of rows) {
    test(title, async () => {
      const words = ['serve', '--config', policy(id, text), '--data', join(folder, `data-${id}`), ...args]
      const { PATH, HOME } = process.env
      const { status, stdout, stderr } = await command(words, { env: { PATH, HOME, ...env } })
      expect(status).toBe(1)
      expect(stdout + stderr).toMatch(says)
      expect(stdout + stderr, 'an operator needs no stack').not.toMatch(/\n\s+at /)
    })
  }

  test('[FR-001] a port in use', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const address = taken.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const running = run(['serve', '--config', policy('taken', local), '--data', join(folder, 'data-taken')], {
      PORT: String(port),
    })
    expect(await running.exit).toBe(1)
    expect(running.output()).toMatch(new RegExp(`Port ${port} on 127\\.0\\.0\\.1 is in use.*PORT=`, 's'))
    taken.close()
  })
})

test('[FR-024] the first admin is made from the command line, with the password on standard input', async () => {
  const port = await freePort()
  const file = policy('admin', `origin: http://localhost:${port}\nlisten: 127.0.0.1:${port}`)
  const data = join(folder, 'admin')
  const made = run([
    'admin',
    'create',
    '--email',
    'root@example.com',
    '--password-stdin',
    '--config',
    file,
    '--data',
    data,
  ])
  made.child.stdin?.end('correct horse battery staple\n')
  expect(await made.exit, made.output()).toBe(0)
  const running = run(['serve', '--config', file, '--data', data])
  await untilServing(running, port)
  const origin = `http://localhost:${port}`
  const answer = await fetch(`${origin}/api/auth/sign-in/email`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin },
    body: JSON.stringify({ email: 'root@example.com', password: 'correct horse battery staple' }),
  })
  expect(answer.status).toBe(200)
  expect(await answer.json()).toMatchObject({ user: { role: 'admin' } })
  running.child.kill('SIGINT')
  expect(await running.exit).toBe(0)
})
