/** What is on the disk comes into force by itself, however it was put there, or when a signal says so; what is broken does not. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { startUpstream } from '../../upstream-mock/server.ts'
import { freePort } from '../test/support/ports.ts'
import { watchPolicy } from './policy-watch.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-watch-'))
const WAIT_MS = 15_000
const POLL = { timeout: WAIT_MS, interval: 20 }

afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Served {
  readonly origin: string
  readonly output: () => string
  readonly child: ChildProcess
  status(path: string): Promise<number>
}

/** `postern serve` as operators run it. */
async function serve(
  name: string,
  file: string,
  policy: (port: number) => void,
  work: (node: Served) => Promise<void>,
) {
  const port = await freePort()
  policy(port)
  const args = [join(import.meta.dirname, '../cli/main.ts'), 'serve', '--config', file, '--data', join(folder, name)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const origin = `http://localhost:${port}`
  const status = (path: string) =>
    fetch(origin + path).then(
      (answer) => answer.status,
      () => 0,
    )
  try {
    await expect.poll(() => status('/_postern/healthz'), POLL).toBe(200)
    await work({ origin, output: () => output, child, status })
  } finally {
    if (child.exitCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
  }
}

/** Refused requests need no upstream: one route is denied by all, and `path` answers 502. */
const textOf = (port: number, path: string) =>
  `version: 1\norigin: http://localhost:${port}\nlisten: 127.0.0.1:${port}\nupstreams: { a: http://127.0.0.1:9 }\nroutes: { ${path}: { to: a, access: public } }\n`

test('[FR-046] a file that is written over, or put in the place of the old one, comes into force; a broken one does not', async () => {
  const home = join(folder, 'plain')
  mkdirSync(home)
  const file = join(home, 'gateway.yaml')
  let port = 0
  const first = (at: number) => {
    port = at
    writeFileSync(file, textOf(at, '/one'))
  }
  await serve('plain-data', file, first, async ({ status, output, child }) => {
    expect([await status('/one'), await status('/two')]).toEqual([502, 404])
    writeFileSync(file, textOf(port, '/two'))
    await expect.poll(() => status('/two'), POLL).toBe(502)
    expect(await status('/one')).toBe(404)

    writeFileSync(file, textOf(port, '/three').replace('access', 'acess'))
    await expect
      .poll(output, POLL)
      .toMatch(/the new policy is refused, and [0-9a-f]{12} stays in force: .*gateway\.yaml:5/)
    expect([await status('/two'), await status('/three')]).toEqual([502, 404])

    writeFileSync(join(home, 'next'), textOf(port, '/four'))
    renameSync(join(home, 'next'), file)
    await expect.poll(() => status('/four'), POLL).toBe(502)
    expect(child.exitCode).toBe(null)
  })
}, 60_000)

test('[FR-046] a link beside the file that is turned to another folder, as Kubernetes does, brings the new policy', async () => {
  const home = join(folder, 'mounted')
  mkdirSync(home)
  const mount = (version: string, text: string) => {
    mkdirSync(join(home, `..${version}`))
    writeFileSync(join(home, `..${version}`, 'gateway.yaml'), text)
    symlinkSync(`..${version}`, join(home, '..data_tmp'))
    renameSync(join(home, '..data_tmp'), join(home, '..data'))
  }
  let port = 0
  const first = (at: number) => {
    port = at
    mount('v1', textOf(at, '/one'))
    symlinkSync(join('..data', 'gateway.yaml'), join(home, 'gateway.yaml'))
  }
  await serve('mounted-data', join(home, 'gateway.yaml'), first, async ({ status }) => {
    expect(await status('/one')).toBe(502)
    for (const [version, path] of [
      ['v2', '/two'],
      ['v3', '/three'],
    ] as const) {
      mount(version, textOf(port, path))
      rmSync(join(home, `..v${Number(version[1]) - 1}`), { recursive: true })
      await expect.poll(() => status(path), POLL).toBe(502)
    }
    expect(await status('/one')).toBe(404)
  })
}, 60_000)

test('[FR-046] files that are included are watched too', async () => {
  const home = join(folder, 'split')
  mkdirSync(join(home, 'routes'), { recursive: true })
  const file = join(home, 'gateway.yaml')
  const more = join(home, 'routes', 'more.yaml')
  const first = (at: number) => {
    writeFileSync(file, `${textOf(at, '/one')}include: [routes/*.yaml]\n`)
    writeFileSync(more, 'routes: { /two: { to: a, access: public } }\n')
  }
  await serve('split-data', file, first, async ({ status }) => {
    expect(await status('/two')).toBe(502)
    writeFileSync(more, 'routes: { /three: { to: a, access: public } }\n')
    await expect.poll(() => status('/three'), POLL).toBe(502)
    writeFileSync(join(home, 'routes', 'new.yaml'), 'routes: { /four: { to: a, access: public } }\n')
    await expect.poll(() => status('/four'), POLL).toBe(502)
  })
}, 60_000)

test('[FR-046] SIGHUP reads everything again, what the policy only refers to included, and ends nothing', async () => {
  const home = join(folder, 'signal')
  mkdirSync(join(home, 'values'), { recursive: true })
  const file = join(home, 'gateway.yaml')
  const value = join(home, 'values', 'upstream')
  const upstream = await startUpstream()
  const first = (at: number) => {
    writeFileSync(value, 'http://127.0.0.1:9')
    writeFileSync(file, textOf(at, '/up').replace('http://127.0.0.1:9', '"${file:values/upstream}"'))
  }
  await serve('signal-data', file, first, async ({ status, output, child }) => {
    expect(await status('/up')).toBe(502)
    writeFileSync(value, upstream.url)
    child.kill('SIGHUP')
    await expect.poll(output, POLL).toMatch(/policy ([0-9a-f]{12}) is in force, in place of \1/)
    expect(await status('/up')).toBe(404)
    child.kill('SIGHUP')
    await expect.poll(output, POLL).toMatch(/nothing has changed/)
    expect(child.exitCode).toBe(null)
  })
  await upstream.close()
}, 60_000)

test('[FR-046] a link further up that is turned, and a folder that was away for a while, bring the new policy', async () => {
  const home = join(folder, 'released')
  const release = (version: string, text: string) => {
    mkdirSync(join(home, version), { recursive: true })
    writeFileSync(join(home, version, 'gateway.yaml'), text)
    symlinkSync(version, join(home, 'next'))
    renameSync(join(home, 'next'), join(home, 'current'))
  }
  let port = 0
  const first = (at: number) => {
    port = at
    release('v1', textOf(at, '/one'))
  }
  await serve('released-data', join(home, 'current', 'gateway.yaml'), first, async ({ status }) => {
    expect(await status('/one')).toBe(502)
    release('v2', textOf(port, '/two'))
    await expect.poll(() => status('/two'), POLL).toBe(502)
    rmSync(join(home, 'v2'), { recursive: true })
    mkdirSync(join(home, 'v2'))
    writeFileSync(join(home, 'v2', 'gateway.yaml'), textOf(port, '/three'))
    await expect.poll(() => status('/three'), POLL).toBe(502)
  })
}, 60_000)

test('[FR-046] a new folder with a file that `include` matches is found', async () => {
  const home = join(folder, 'teams')
  mkdirSync(join(home, 'teams', 'a'), { recursive: true })
  const file = join(home, 'gateway.yaml')
  const first = (at: number) => {
    writeFileSync(file, `${textOf(at, '/one')}include: [teams/*/routes.yaml]\n`)
    writeFileSync(join(home, 'teams', 'a', 'routes.yaml'), 'routes: { /a: { to: a, access: public } }\n')
  }
  await serve('teams-data', file, first, async ({ status }) => {
    expect(await status('/a')).toBe(502)
    mkdirSync(join(home, 'teams', 'b'))
    writeFileSync(join(home, 'teams', 'b', 'routes.yaml'), 'routes: { /b: { to: a, access: public } }\n')
    await expect.poll(() => status('/b'), POLL).toBe(502)
  })
}, 60_000)

test('[FR-046] a policy that comes by a pipe is read once, and nothing waits for more of it', async () => {
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  const first = (at: number) => void spawn('sh', ['-c', 'printf %s "$0" > "$1"', textOf(at, '/one'), pipe])
  await serve('pipe-data', pipe, first, async ({ status, output, child }) => {
    expect(await status('/one')).toBe(502)
    child.kill('SIGHUP')
    await expect.poll(output, POLL).toMatch(/gives its text once\. Restart this node/)
    expect(await status('/one')).toBe(502)
  })
}, 60_000)

test('[FR-046] a file is read when it has come to rest: half of one is no policy', async () => {
  const file = join(folder, 'slow.yaml')
  writeFileSync(file, 'one')
  let reads = 0
  const watched = watchPolicy(
    () => [file],
    () => {
      reads += 1
    },
    (error) => expect(error).toBe(null),
  )
  await expect.poll(() => reads, POLL).toBe(1)
  const beganAtMs = performance.now()
  while (performance.now() - beganAtMs < 3_000) {
    appendFileSync(file, 'a bit more')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  expect(reads).toBe(1)
  await expect.poll(() => reads, POLL).toBe(2)
  await watched.close()
}, 60_000)
