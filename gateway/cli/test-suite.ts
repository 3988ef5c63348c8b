/**
 * What `npm test` runs: format, lint, types and every test, against a Redis and a Postgres of its own.
 * It ends with one plain line, and a skipped test is a failed one.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type PrivateServer, startPostgres, startRedis } from '../test/support/servers.ts'
import { ensurePrograms } from './test-programs.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** What runs on Node is checked with the tests: both have the same settings. */
const PROJECTS = ['gateway', 'gateway/workers', 'gateway/test'] as const

const FLEET = 'gateway/test/fleet'
/** What looks at when something happens wants the machine for itself. */
const TIMED = ['database', 'faults', 'revocation'].map((name) => `${FLEET}/${name}.test.ts`)
/**
 * Folders whose tests leave nothing behind in their process: no environment, signal, global or clock of their own. They share
 * one, which spares each the time to load what it imports: for the identity provider most of what such a file takes.
 */
const SHARING = [
  ...['admit', 'authenticate', 'authorize', 'config', 'credentials', 'endpoints', 'forward', 'http'],
  ...['identity-provider', 'jwt', 'limit', 'policy', 'problem', 'record', 'revocation', 'route', 'stores', 'transform'],
].map((name) => `gateway/${name}/`)
/** Whole fleets of processes take both cores, so their tests run after the others. */
const SELECTIONS = [
  [...SHARING, '--no-isolate'],
  [...SHARING, `${FLEET}/`].flatMap((folder) => ['--exclude', `${folder}**`]),
  [FLEET, ...TIMED.flatMap((file) => ['--exclude', file])],
  [...TIMED, '--maxWorkers=1'],
] as const

/** Variables of a developer's shell that would change what the gateway under test does. */
const FOREIGN = ['DATABASE_URL', 'REDIS_URL', 'POSTERN_SECRET', 'POSTERN_CONFIG', 'PORT', 'NODE_ENV'] as const

interface Check {
  readonly title: string
  readonly command: readonly [string, ...string[]]
}

const CHECKS: readonly Check[] = [
  { title: 'format and lint', command: ['biome', 'ci', '--max-diagnostics=50', '.'] },
  // The workers project embeds the compiled policy.
  { title: 'the policy compiles for Workers', command: ['node', 'gateway/workers/compile-policy.ts'] },
  ...PROJECTS.map((project): Check => ({ title: `types of ${project}`, command: ['tsc', '-p', project] })),
]

/** The part of vitest's JSON report that is counted. */
interface Report {
  readonly success: boolean
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly numFailedTestSuites: number
}

export async function runTestSuite(): Promise<void> {
  const startedAtMs = performance.now()
  ensurePrograms(print)
  const servers: PrivateServer[] = []
  const folder = mkdtempSync(join(tmpdir(), 'postern-suite-'))
  let running: ChildProcess | null = null
  let isStopped = false
  const onSignal = () => {
    isStopped = true
    running?.kill('SIGINT')
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  const env = ownEnvironment()
  const run = async ([command, ...args]: Check['command']): Promise<boolean> => {
    if (isStopped) return false
    running = spawn(command, args, { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'] })
    const [code] = await once(running, 'exit')
    return code === 0
  }

  let passed = 0
  let failed = 0
  try {
    for (const { title, command } of CHECKS) {
      const isGood = await run(command)
      print(`${isGood ? 'passed' : 'FAILED'}: ${title}`)
      if (isGood) passed += 1
      else failed += 1
    }
    const [redis, postgres] = await Promise.all([startRedis(), startPostgres()])
    servers.push(redis, postgres)
    env.POSTERN_TEST_REDIS_URL = redis.url
    env.POSTERN_TEST_DATABASE_URL = postgres.url
    for (const [at, selection] of SELECTIONS.entries()) {
      const reportFile = join(folder, `report-${at}.json`)
      const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`]
      const isGood = await run(['vitest', 'run', '--config', 'gateway/vitest.config.ts', ...selection, ...reporters])
      const report = readReport(reportFile)
      const skipped = report.numPendingTests + report.numTodoTests
      if (skipped > 0) print(`FAILED: ${skipped} tests were skipped`)
      passed += report.numPassedTests
      failed += report.numFailedTests + skipped
      // A file that does not load, or an error outside of any test, has no count of its own.
      if ((!isGood || !report.success) && report.numFailedTests === 0) failed += Math.max(1, report.numFailedTestSuites)
    }
  } finally {
    await Promise.all(servers.map((server) => server.close()))
    rmSync(folder, { recursive: true, force: true })
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
  print(`took ${Math.round((performance.now() - startedAtMs) / 1000)} s`)
  print(`${passed} passed, ${failed} failed`)
  process.exitCode = isStopped ? 130 : failed > 0 || passed === 0 ? 1 : 0
}

function ownEnvironment(): Record<string, string | undefined> {
  const env: Record<string, string | undefined> = { ...process.env, CI: '1' }
  for (const name of FOREIGN) delete env[name]
  // What is compiled once is read by every process of the run: each test file and each gateway it starts has one.
  env.NODE_COMPILE_CACHE = join(ROOT, 'node_modules', '.cache', 'postern')
  env.PATH = join(ROOT, 'node_modules', '.bin') + delimiter + (process.env.PATH ?? '')
  return env
}

function readReport(file: string): Report {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Report
  } catch {
    print('FAILED: the tests left no report')
    const none = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, numFailedTestSuites: 1 }
    return { success: false, ...none }
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
