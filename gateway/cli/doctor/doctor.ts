/**
 * `postern doctor`: looks at what stands around a policy: secret, stores, clocks, cookies, TLS, upstreams, and whether an
 * identity can be forged. Each finding comes with its cure; exit code 1 where something is wrong.
 */

import { styleText } from 'node:util'
import { loadPolicy, type Policy, readPolicyFile } from '../../node/config-file.ts'
import { secretReason } from '../../node/open.ts'
import { runPolicyTests } from '../../policy/run-tests.ts'
import { configFile, portOverride } from '../settings.ts'
import { type Finding, good, warning, wrong } from './finding.ts'
import { examineGateway, examineUpstreams } from './probe.ts'
import { examineDatabase, examineRedis, examineSecret } from './stores.ts'

export interface DoctorOptions {
  readonly config?: string
  readonly data: string
  readonly yes?: boolean
  readonly json?: boolean
}

export async function doctor(options: DoctorOptions): Promise<void> {
  const policy = loadPolicy(readPolicyFile(configFile(options.config)), process.env, {
    port: portOverride(),
    upstreamUrl: null,
  })
  const { config, snapshot } = policy
  const findings = [
    ...(await examinePolicy(policy)),
    examineSecret(config, options.data, secretReason(config, process.env)),
    ...(await examineDatabase(config, options.data)),
    ...(await examineRedis(config)),
    examineCookies(policy),
  ]
  if (options.yes === true) {
    findings.push(...(await examineUpstreams(config, snapshot)))
    findings.push(...(await examineGateway(snapshot, openPaths(policy))))
  }
  process.stdout.write(options.json === true ? `${JSON.stringify(findings, null, 2)}\n` : shown(findings))
  if (options.yes !== true) {
    const asked = [...Object.values(config.upstreams).flatMap(({ url }) => url.map((one) => one.url)), snapshot.origin]
    process.stderr.write(
      `Not asked yet: ${asked.join(', ')}.\nWith --yes they get a few GETs, some in the name of a user that cannot exist.\n`,
    )
  }
  if (findings.some(({ verdict }) => verdict === 'wrong')) process.exitCode = 1
}

async function examinePolicy(policy: Policy): Promise<Finding[]> {
  const found = policy.warnings.map((text) => warning('policy', text, ''))
  const { results, failed } = await runPolicyTests({ ...policy, nowMs: Date.now() })
  if (results.length === 0) {
    const cure = 'write `people` and `tests`: they say what must stay true when somebody edits the file'
    return [...found, warning('policy', 'has no tests', cure)]
  }
  if (failed > 0)
    return [...found, wrong('policy', `${failed} of its ${results.length} tests fail`, 'run `postern test`')]
  return [...found, good('policy', `its ${results.length} tests pass`)]
}

function examineCookies({ snapshot }: Policy): Finding {
  const { sessionCookieName } = snapshot.admission
  return sessionCookieName.startsWith('__Host-')
    ? good('cookies', `${sessionCookieName}: Secure, HttpOnly, SameSite=Lax, and bound to this host`)
    : good('cookies', `${sessionCookieName}: HttpOnly, SameSite=Lax; Secure and __Host- come with an https origin`)
}

/** Literal paths that everybody may read: asking for them is what a stranger could do too. */
function openPaths({ config, snapshot }: Policy): string[] {
  const { authority } = snapshot.admission
  return Object.keys(config.routes)
    .filter((pattern) => pattern.startsWith('/'))
    .map((pattern) => (pattern === '/**' ? '/' : pattern))
    .filter((path) => !/[:*]/.test(path))
    .filter((path) => {
      const access = snapshot.routes.find(authority, path)?.route.access
      const asked = access?.get('GET') ?? access?.get('*')
      return asked?.kind === 'public' || asked?.kind === 'optional'
    })
    .slice(0, PATHS_MAX)
}

const PATHS_MAX = 5

const MARKS = { good: ['ok', 'green'], warning: ['warning', 'yellow'], wrong: ['wrong', 'red'] } as const

function shown(findings: readonly Finding[]): string {
  return findings
    .map(({ about, verdict, message, cure }) => {
      const [word, color] = MARKS[verdict]
      const line = `${styleText(color, word.padEnd(7))}  ${about}: ${message}\n`
      return cure === '' ? line : `${line}         cure: ${cure}\n`
    })
    .join('')
}
