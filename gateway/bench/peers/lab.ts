/** The lab of one run: a folder of its own with keys, tokens and configurations, free ports, and the servers that can be started. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { freePort } from '../../test/support/ports.ts'
import { KINDS, type Kind } from './arguments.ts'
import {
  caddyConfiguration,
  haproxyConfiguration,
  nginxConfiguration,
  upstreamConfiguration,
} from './configurations.ts'
import { AUDIENCE, type Credentials, ISSUER, makeCredentials, publicKeyFile } from './credentials.ts'
import { benchPolicy, manyRoutes } from './policies.ts'
import { cpuUs, type Program, type Running, run } from './processes.ts'
import { MANY_ROUTES, PORTS, type PortName, type Row, type ServerName } from './rows.ts'
import { HOST, writeScript } from './wrk.ts'

const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))
const PROGRAMS = fileURLToPath(new URL('.', import.meta.url))
/** Of the client and the upstream, and of the proxy. */
const CORE_OF_LOAD = '0'
const CORE_OF_PROXY = '1'
const SESSIONS = 32
const PASSWORD = 'correct horse battery staple'
const BIG_BYTES = 102_400

export const PEERS_OF_NPM = [
  'express',
  'http-proxy-middleware',
  'fastify',
  '@fastify/http-proxy',
  '@fastify/jwt',
  'jose',
]
export const INSTALL_PEERS = `npm install --prefix DIR ${PEERS_OF_NPM.join(' ')}`

export interface Lab {
  readonly folder: string
  readonly ports: Readonly<Record<PortName, number>>
  readonly credentials: Credentials
  /** Null once it runs; otherwise why it does not, and how to mend that. */
  start(server: ServerName): Promise<string | null>
  pidsOf(row: Row): readonly number[]
  cpuUsOf(row: Row): number
  /** wrk's script, for a server that is running. */
  scriptOf(row: Row, kind: Kind): Promise<string>
  stop(server: ServerName): Promise<void>
  close(): Promise<void>
}

export interface LabOptions {
  readonly peersDir: string | null
  readonly besideDir?: string | null
  readonly besideFlags?: readonly string[]
  /** Postern can be looked into. */
  readonly isInspected?: boolean
}

export async function openLab({
  peersDir,
  besideDir = null,
  besideFlags = [],
  isInspected = false,
}: LabOptions): Promise<Lab> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', remove)
  const ports = Object.fromEntries(await portsOf(PORTS)) as Record<PortName, number>
  const credentials = await makeCredentials(folder)
  const peers = peersDir === null ? null : join(resolve(peersDir), 'node_modules')
  const key = publicKeyFile(folder, 'ES256')
  writeFileSync(join(folder, 'big'), 'x'.repeat(BIG_BYTES))
  const flags = isInspected ? [`--inspect=127.0.0.1:${ports.inspector}`] : []
  const running = new Map<ServerName, Running>()
  const lacking = new Map<ServerName, string | null>()
  const scripts = new Map<string, readonly string[]>()
  const to = { upstream: ports.upstream, verdict: ports.upstreamVerdict, streams: ports.streams }
  // Beside no policy: a folder that is watched is looked at whenever something in it changes.
  const logs = join(folder, 'logs')
  mkdirSync(logs)
  const file = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  }

  const start = async (server: ServerName): Promise<string | null> => {
    const known = lacking.get(server)
    if (known !== undefined) return known
    let lack = lackOf(server, peers)
    if (lack === null) {
      try {
        running.set(server, await run({ logFile: join(logs, `${server}.log`), ...programOf(server) }))
      } catch (error) {
        lack = `does not start: ${error instanceof Error ? error.message : error}`
      }
    }
    lacking.set(server, lack)
    return lack
  }

  return {
    folder,
    ports,
    credentials,
    start,
    pidsOf,
    cpuUsOf: (row) => cpuUs(pidsOf(row)),
    async scriptOf(row, kind) {
      const name = row.credential
      if (!scripts.has(name)) {
        const isSession = name === 'session'
        const presented = isSession ? await signUp(ports.postern) : credentials.tokens[name]
        scripts.set(
          name,
          KINDS.map((each) => writeScript(folder, name, each, presented, isSession)),
        )
      }
      return scripts.get(name)![KINDS.indexOf(kind)]!
    },
    async stop(server) {
      await running.get(server)?.stop()
      running.delete(server)
      lacking.delete(server)
    },
    async close() {
      await Promise.all([...running.values()].map((each) => each.stop()))
      remove()
    },
  }

  function pidsOf({ server, also }: Row): readonly number[] {
    return [server, ...also].map((name) => running.get(name)!.pid)
  }

  function programOf(server: ServerName): Omit<Program, 'logFile'> {
    const proxy = (port: PortName, ...command: string[]) => ({ command, cores: CORE_OF_PROXY, port: ports[port] })
    const node = (port: PortName, name: string, ...args: string[]) => {
      return proxy(port, process.execPath, join(PROGRAMS, name), ...args)
    }
    const peer = (port: PortName, name: string, ...args: string[]) => {
      return node(port, name, peers!, String(ports[port]), String(ports.upstream), key, ISSUER, AUDIENCE, ...args)
    }
    switch (server) {
      case 'upstream':
        return {
          ...proxy('upstream', 'nginx', '-c', file('upstream.conf', upstreamConfiguration(folder, to))),
          cores: CORE_OF_LOAD,
        }
      case 'verdict':
        return node('verdict', 'verdict.mjs', String(ports.verdict), key, ISSUER, AUDIENCE)
      case 'nginx': {
        const own = { plain: ports.nginx, authRequest: ports.nginxAuth, authRequestNode: ports.nginxAuthNode }
        return proxy('nginx', 'nginx', '-c', file('nginx.conf', nginxConfiguration(folder, to, own, ports.verdict)))
      }
      case 'haproxy': {
        const own = { ES256: ports.haproxyES256, RS256: ports.haproxyRS256 }
        return proxy('haproxyES256', 'haproxy', '-db', '-f', file('haproxy.cfg', haproxyConfiguration(folder, to, own)))
      }
      case 'caddy': {
        const path = file('Caddyfile', caddyConfiguration(to, { forwardAuth: ports.caddy }))
        const command = ['caddy', 'run', '--config', path, '--adapter', 'caddyfile']
        return { ...proxy('caddy', ...command), env: { GOMAXPROCS: '1', HOME: folder } }
      }
      case 'express':
        return peer('express', 'express.mjs')
      case 'fastify':
        return peer('fastify', 'fastify.mjs')
      case 'fastify-cached':
        return peer('fastifyCached', 'fastify.mjs', 'cache')
      case 'postern':
        return postern(server, 'postern', 'posternAdmin', '')
      case 'postern-routes':
        return postern(server, 'posternRoutes', 'posternRoutesAdmin', manyRoutes(MANY_ROUTES))
      case 'postern-2': {
        const program = postern(server, 'postern2', 'postern2Admin', 'workers: 2\n')
        return { ...program, cores: `${CORE_OF_LOAD},${CORE_OF_PROXY}` }
      }
      case 'postern-beside':
        return postern(
          server,
          'beside',
          'besideAdmin',
          '',
          join(resolve(besideDir!), 'gateway/cli/main.ts'),
          besideFlags,
        )
    }
  }

  function postern(
    server: ServerName,
    port: PortName,
    admin: PortName,
    more: string,
    main = MAIN,
    nodeFlags: readonly string[] = flags,
  ): Omit<Program, 'logFile'> {
    const own = { listen: ports[port], admin: ports[admin], upstream: ports.upstream, streams: ports.streams }
    const policy = file(`${server}.yaml`, benchPolicy(own, credentials, more))
    const data = join(folder, `${server}-data`)
    mkdirSync(data, { recursive: true })
    const command = [process.execPath, ...nodeFlags, main, 'serve', '--config', policy, '--data', data]
    return { command, cores: CORE_OF_PROXY, port: ports[port], env: { NODE_ENV: 'test' } }
  }
}

/** What has to be installed first; null when nothing has. */
export function lackOf(server: ServerName, peers: string | null): string | null {
  if (server === 'upstream' || server === 'nginx' || server === 'haproxy' || server === 'caddy') {
    const program = server === 'upstream' ? 'nginx' : server
    return isInstalled(program) ? null : `not installed: \`apt-get install ${program}\``
  }
  if (server === 'verdict' || server.startsWith('postern')) return null
  if (peers === null) return `not given: \`${INSTALL_PEERS}\`, then \`--peers DIR\``
  const absent = PEERS_OF_NPM.filter((name) => !existsSync(join(peers, name)))
  return absent.length === 0 ? null : `${absent.join(' and ')} not in ${peers}: \`${INSTALL_PEERS}\``
}

export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
}

async function portsOf(names: readonly PortName[]): Promise<(readonly [PortName, number])[]> {
  return Promise.all(names.map(async (name) => [name, await freePort()] as const))
}

/** New people, and the cookie each is signed in by. */
async function signUp(port: number): Promise<readonly string[]> {
  const cookies: string[] = []
  for (let at = 0; at < SESSIONS; at++) {
    const answer = await request(`http://127.0.0.1:${port}/api/auth/sign-up/email`, {
      method: 'POST',
      headers: { host: HOST, origin: `http://${HOST}`, 'content-type': 'application/json' },
      body: JSON.stringify({ email: `user${at}@bench.test`, password: PASSWORD, name: `User ${at}` }),
    })
    const text = await answer.body.text()
    const lines = [answer.headers['set-cookie'] ?? []].flat().map((line) => line.split(';')[0]!)
    if (answer.statusCode !== 200 || lines.length === 0) throw new Error(`sign-up: ${answer.statusCode} ${text}`)
    cookies.push(lines.join('; '))
  }
  return cookies
}
