/**
 * `postern explain`: which route and line decides a request, what was needed and had, what the upstream would get, and what would
 * let the caller pass. People come from the policy file; a real credential comes by standard input and is verified as the gateway does.
 */

import { text } from 'node:stream/consumers'
import { parseAddress } from '../http/address.ts'
import type { HeaderList } from '../model.ts'
import { loadForTools, readPolicyFile } from '../node/config-file.ts'
import { usageError } from '../node/startup-error.ts'
import { type Explanation, explainRequest } from '../policy/explain-request.ts'
import { NOBODY_NAME, personaOf } from '../policy/people.ts'
import { type SimulatedRequest, simulate, simulateWith } from '../policy/simulate.ts'
import type { Snapshot } from '../snapshot.ts'
import { explanationText, recordedText } from './explain-text.ts'
import { configFile } from './settings.ts'

export interface ExplainOptions {
  readonly as?: string
  /** `-`: by standard input, as no secret stands in an argument. */
  readonly token?: string
  readonly cookie?: string
  readonly key?: string
  readonly from?: string
  readonly at?: string
  readonly header?: readonly string[]
  /** Id of a request that was refused. */
  readonly request?: string
  readonly log?: string
  readonly admin?: string
  readonly exitCode?: boolean
  readonly json?: boolean
  readonly config?: string
  readonly data: string
}

const CREDENTIALS = ['token', 'cookie', 'key'] as const
type Credential = (typeof CREDENTIALS)[number]

export async function explain(
  method: string | undefined,
  url: string | undefined,
  options: ExplainOptions,
): Promise<void> {
  if (options.request !== undefined) return explainRecorded(options.request, options)
  const wrong = wrongUsage(method, url, options)
  if (wrong !== null) return refuseUsage(wrong)
  const request = requestOf(method!, url!, options)
  const credential = CREDENTIALS.find((kind) => options[kind] !== undefined) ?? null
  const explained =
    credential === null ? await asPerson(request, options) : await asHolder(credential, request, options)
  if (typeof explained === 'string') return refuseUsage(explained)
  if (options.exitCode === true && explained.verdict === 'refuse') process.exitCode = 1
  process.stdout.write(options.json === true ? `${JSON.stringify(explained, null, 2)}\n` : explanationText(explained))
}

async function asPerson(request: SimulatedRequest, options: ExplainOptions): Promise<Explanation | string> {
  const { config, snapshot } = loadForTools(configFile(options.config))
  const persona = personaOf(config, snapshot, options.as ?? NOBODY_NAME, request.atMs)
  if (typeof persona === 'string') return persona
  return explainRequest(snapshot, await simulate(snapshot, persona, request), persona.notes)
}

/** With the stores and issuers of the policy. Reads only; counts against no limit. */
async function asHolder(kind: Credential, request: SimulatedRequest, options: ExplainOptions): Promise<Explanation> {
  const secret = (await text(process.stdin)).trim()
  if (secret === '') throw usageError(`Nothing came by standard input. Pipe the ${kind} into the command.`)
  const [{ jsonJournal }, { openAll }, { openTokens }] = await Promise.all([
    import('../node/journal.ts'),
    import('../node/open.ts'),
    import('../node/token-issuers.ts'),
  ])
  const policy = readPolicyFile(configFile(options.config))
  const journal = jsonJournal(2)
  const opened = await openAll({ policy, env: process.env, dataDir: options.data, journal, isCommand: true })
  try {
    const { config, snapshot, identity, ports } = opened
    const issuers = await openTokens(config.tokens, identity, (error) => journal.fault('-', error))
    try {
      await ports.revocations?.catchUp()
      const { sessions, keys, revocations } = ports
      const credentials = { sessions, keys, revocations, tokens: issuers.verifier }
      const lines = linesOf(kind, secret, snapshot, request)
      return withoutSecret(explainRequest(snapshot, await simulateWith(snapshot, credentials, request, lines)), lines)
    } finally {
      await issuers.close()
    }
  } finally {
    await opened.close()
    await journal.flush()
  }
}

/** What is passed on to the upstream as it came is a secret still, and is never printed (SECURITY rule 28). */
function withoutSecret(explained: Explanation, [name, secret]: HeaderList): Explanation {
  const { upstream } = explained
  if (upstream === null) return explained
  const hide = ([sent, value]: readonly [string, string]) => {
    const isSecret =
      sent.toLowerCase() === name!.toLowerCase() && value.split('; ').some((part) => secret!.includes(part))
    return [sent, isSecret ? '(as it came)' : value] as const
  }
  return { ...explained, upstream: { ...upstream, headers: upstream.headers.map(hide) } }
}

function linesOf(kind: Credential, secret: string, { admission }: Snapshot, request: SimulatedRequest): HeaderList {
  switch (kind) {
    case 'token':
      return ['Authorization', `Bearer ${secret.replace(/^Bearer\s+/i, '')}`]
    case 'key':
      return [admission.apiKeyHeader ?? 'x-api-key', secret]
    case 'cookie': {
      const cookie = secret.replace(/^Cookie:\s*/i, '')
      const isWhole = cookie.includes(`${admission.sessionCookieName}=`)
      const isSaid = Object.keys(request.headers).some((name) => /^(?:sec-fetch-site|origin)$/i.test(name))
      const site = isSaid ? [] : ['Sec-Fetch-Site', 'same-origin']
      return ['Cookie', isWhole ? cookie : `${admission.sessionCookieName}=${cookie}`, ...site]
    }
  }
}

async function explainRecorded(id: string, options: ExplainOptions): Promise<void> {
  const { log, admin } = options
  if (log === undefined && admin === undefined) {
    return refuseUsage('say where the decision is kept: `--log access.log`, or `--admin http://127.0.0.1:8081`')
  }
  const { askAdmin, readDecisionFromLog } = await import('./decision-source.ts')
  // Only a policy that is named can say that keys go by another header.
  const keyHeader = options.config === undefined ? undefined : loadForTools(options.config).config.keys?.header
  const key = async () => process.env.POSTERN_ADMIN_KEY || (await text(process.stdin)).trim()
  const decision =
    log === undefined ? await askAdmin(admin!, await key(), id, keyHeader) : await readDecisionFromLog(log, id)
  if (decision === null) {
    process.stderr.write(
      `postern: there is no refused request ${JSON.stringify(id)} there. Another node may have decided it.\n`,
    )
    process.exitCode = 1
    return
  }
  process.stdout.write(options.json === true ? `${JSON.stringify(decision, null, 2)}\n` : recordedText(decision))
}

function requestOf(method: string, url: string, options: ExplainOptions): SimulatedRequest {
  const headers = Object.fromEntries((options.header ?? []).map(splitHeader))
  const atMs = options.at === undefined ? Date.now() : Date.parse(options.at)
  return { method: method.toUpperCase(), url, from: options.from ?? null, atMs, headers }
}

function splitHeader(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()]
}

function wrongUsage(method: string | undefined, url: string | undefined, options: ExplainOptions): string | null {
  if (method === undefined || url === undefined) return 'name a request: `postern explain GET /api/books --as alice`'
  if (!/^(?:\/|https?:\/\/)/i.test(url)) return `${JSON.stringify(url)} is no path and no URL: write \`/api/books\``
  const given = [...CREDENTIALS, 'as' as const].filter((kind) => options[kind] !== undefined)
  if (given.length > 1) return `--${given.join(' and --')} do not go together: name one caller`
  const typed = CREDENTIALS.find((kind) => options[kind] !== undefined && options[kind] !== '-')
  if (typed !== undefined)
    return `others can read what stands in a command: say \`--${typed} -\` and send it by standard input`
  const bad = options.header?.find((line) => line.indexOf(':') < 1)
  if (bad !== undefined) return `${JSON.stringify(bad)} is no header: write \`'Accept: text/html'\``
  const names = (options.header ?? []).map((line) => splitHeader(line)[0].toLowerCase())
  const again = names.find((name, at) => names.indexOf(name) !== at)
  if (again !== undefined) return `the header ${again} is given twice, and one line of each name is taken`
  if (options.from !== undefined && parseAddress(options.from) === null) {
    return `${JSON.stringify(options.from)} is no address: write \`--from 10.1.2.3\``
  }
  if (options.at !== undefined && Number.isNaN(Date.parse(options.at))) {
    return `${JSON.stringify(options.at)} is no time: write 2026-01-31T09:00:00Z`
  }
  return null
}

function refuseUsage(message: string): void {
  process.stderr.write(`postern: ${message}\n`)
  process.exitCode = 2
}
