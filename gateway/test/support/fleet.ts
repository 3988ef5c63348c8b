/** Gateway processes of one fleet, as operators run them: `postern serve`, one origin, one database, one Redis; ended, frozen and killed by pid. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { command, MAIN } from './command.ts'
import { freePort } from './ports.ts'

const START_MS_MAX = 30_000
export const SECRET = `${'f'.repeat(22)}0123456789abcdefghijk+`

export interface FleetOptions {
  /** `ORIGIN`, `UPSTREAM` and `ADMIN` in it are replaced; `listen` is added. */
  readonly policy: string
  readonly upstreamUrl: string
  readonly databaseUrl: string | null
  readonly redisUrl: string | null
  readonly count: number
  /** Nodes may be given Redis by another address each, such as a switch of their own. */
  readonly redisUrlOf?: (node: number) => string | null
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface Node {
  readonly url: string
  readonly adminUrl: string
  /** Everything the process wrote so far. */
  readonly output: () => string
  readonly pid: () => number
  send(method: string, path: string, headers?: Readonly<Record<string, string>>, body?: object | null): Promise<Answer>
  admin(method: string, path: string, key: string, body?: object | null): Promise<Answer>
  signal(signal: NodeJS.Signals): void
  /** Sends the signal and waits for the exit. */
  end(signal: NodeJS.Signals): Promise<{ readonly code: number | null }>
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>
  start(): Promise<void>
}

export interface Fleet {
  readonly origin: string
  readonly nodes: readonly Node[]
  /** Where the embedded database lies, when it is used. */
  readonly dataDir: string
  /** The command, against the same stores. Rejects when it fails. */
  command(args: readonly string[], input?: string, how?: typeof command): Promise<string>
  close(): Promise<void>
}

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-fleet-'))
  const ports = await Promise.all(Array.from({ length: options.count * 2 }, freePort))
  const origin = `http://localhost:${ports[0]}`
  const agent = new Agent({ connections: 32, pipelining: 1, headersTimeout: 20_000, bodyTimeout: 20_000 })
  const nodes = Array.from({ length: options.count }, (_, at) => node(at))
  await nodes[0]!.start()
  await Promise.all(nodes.slice(1).map((each) => each.start()))
  return {
    origin,
    nodes,
    dataDir: join(folder, 'data'),
    command: (args, input = '', how = command) =>
      run([...args, '--config', fileOf(0), '--data', join(folder, 'data')], input, how),
    async close() {
      await Promise.all(nodes.map((each) => each.kill()))
      await agent.destroy()
      rmSync(folder, { recursive: true, force: true })
    },
  }

  function fileOf(at: number): string {
    return join(folder, `node-${at}.yaml`)
  }

  function environment(at: number): NodeJS.ProcessEnv {
    const redisUrl = options.redisUrlOf === undefined ? options.redisUrl : options.redisUrlOf(at)
    return {
      PATH: process.env.PATH,
      POSTERN_SECRET: SECRET,
      NODE_OPTIONS: process.env.NODE_OPTIONS,
      ...(options.databaseUrl === null ? {} : { DATABASE_URL: options.databaseUrl }),
      ...(redisUrl === null ? {} : { REDIS_URL: redisUrl }),
    }
  }

  function node(at: number): Node {
    const port = ports[2 * at]!
    const adminPort = ports[2 * at + 1]!
    const url = `http://127.0.0.1:${port}`
    const adminUrl = `http://127.0.0.1:${adminPort}`
    let child: ChildProcess | null = null
    let output = ''
    const text = options.policy
      .replaceAll('ORIGIN', origin)
      .replaceAll('UPSTREAM', options.upstreamUrl)
      .replaceAll('ADMIN', `127.0.0.1:${adminPort}`)
    writeFileSync(fileOf(at), `${text}\nlisten: 127.0.0.1:${port}\n`)
    const host = new URL(origin).host

    return {
      url,
      adminUrl,
      output: () => output,
      pid: () => child!.pid!,
      send: (method, path, headers = {}, body = null) => send(url + path, method, { host, ...headers }, body),
      admin: (method, path, key, body = null) => send(adminUrl + path, method, { 'x-api-key': key }, body),
      signal: (signal) => void child!.kill(signal),
      async end(signal) {
        const exit = once(child!, 'close')
        child!.kill(signal)
        return { code: (await exit)[0] as number | null }
      },
      async kill() {
        if (child === null || child.exitCode !== null || child.signalCode !== null) return
        const exit = once(child, 'exit')
        child.kill('SIGKILL')
        await exit
      },
      async start() {
        output = ''
        const args = [MAIN, 'serve', '--config', fileOf(at), '--data', join(folder, 'data')]
        const started = spawn(process.execPath, args, { env: environment(at), stdio: ['ignore', 'pipe', 'pipe'] })
        child = started
        for (const stream of [started.stdout, started.stderr]) {
          stream.on('data', (chunk) => {
            output = (output + chunk).slice(-200_000)
          })
        }
        const endsAtMs = performance.now() + START_MS_MAX
        while (!(await isServing(url, host))) {
          if (started.exitCode !== null || performance.now() > endsAtMs) {
            started.kill('SIGKILL')
            throw new Error(`a node did not start: ${output}`)
          }
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
      },
    }
  }

  async function send(
    url: string,
    method: string,
    headers: Record<string, string>,
    body: object | null,
  ): Promise<Answer> {
    const answer = await request(url, {
      dispatcher: agent,
      method,
      headers: body === null ? headers : { ...headers, 'content-type': 'application/json' },
      body: body === null ? null : JSON.stringify(body),
    }).catch((error: unknown) => {
      throw new Error(`${method} ${url}`, { cause: error })
    })
    return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() }
  }

  async function isServing(url: string, host: string): Promise<boolean> {
    try {
      return (await send(`${url}/_postern/healthz`, 'GET', { host }, null)).status === 200
    } catch {
      return false
    }
  }

  async function run(args: readonly string[], input: string, how: typeof command): Promise<string> {
    const { status, stdout, stderr } = await how(args, { env: environment(0), input })
    if (status !== 0) throw new Error(`postern ${args.join(' ')} failed: ${stderr}${stdout}`)
    return stdout
  }
}

const PASSWORD = 'correct horse battery staple'

export interface Signed {
  readonly cookie: string
  readonly id: string
}

/** Signs up, or in when the account is there, as a browser would. */
export async function signInAt(node: Node, origin: string, email: string, isNew: boolean): Promise<Signed> {
  const path = isNew ? '/api/auth/sign-up/email' : '/api/auth/sign-in/email'
  const body = { email, password: PASSWORD, ...(isNew ? { name: email.split('@')[0] } : {}) }
  const answer = await node.send('POST', path, { origin }, body)
  const lines = [answer.headers['set-cookie'] ?? []].flat()
  const cookie = lines.map((line) => line.split(';')[0]).join('; ')
  if (answer.status !== 200 || cookie === '') throw new Error(`sign-in failed: ${answer.status} ${answer.body}`)
  return { cookie, id: (JSON.parse(answer.body) as { user: { id: string } }).user.id }
}

export async function tokenAt(node: Node, cookie: string): Promise<string> {
  const answer = await node.send('GET', '/api/auth/token', { cookie })
  if (answer.status !== 200) throw new Error(`no token: ${answer.status} ${answer.body}`)
  return (JSON.parse(answer.body) as { token: string }).token
}
