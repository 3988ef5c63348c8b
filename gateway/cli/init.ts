/** `postern init`: asks three questions, or takes flags, and writes a policy that compiles and passes its own tests. */

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { cancel, intro, isCancel, outro, select, text } from '@clack/prompts'
import { loadPolicy } from '../node/config-file.ts'
import { usageError } from '../node/startup-error.ts'
import { runPolicyTests } from '../policy/run-tests.ts'
import { STARTER_ACCESS, type StarterAnswers, starterPolicy } from '../policy/starter.ts'
import { schemaText } from './schema.ts'
import { writeOutput } from './settings.ts'

export interface InitOptions {
  readonly origin?: string
  readonly upstream?: string
  readonly access?: string
  readonly force?: boolean
}

const DEFAULT_FILE = 'gateway.yaml'
/** Stands in for what a real start asks for, so that the file can be tried where it is written. */
const TRIAL_SECRET = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKL'

export async function init(given: string | undefined, options: InitOptions): Promise<void> {
  const file = given ?? DEFAULT_FILE
  if (existsSync(file) && options.force !== true) {
    throw usageError(`${file} is there already. Name another file, or replace it with --force.`)
  }
  const answers = await ask(options)
  if (answers === null) return
  const policy = starterPolicy(answers)
  const loaded = loadPolicy({ text: policy, file }, { POSTERN_SECRET: TRIAL_SECRET }, { port: null, upstreamUrl: null })
  const { failed, results } = await runPolicyTests({ ...loaded, nowMs: Date.now() })
  if (failed > 0) throw new Error(`the starter policy fails ${failed} of its own tests`)
  writeOutput(file, policy, options.force === true ? 'w' : 'wx')
  const schema = join(dirname(file), 'gateway.schema.json')
  if (!existsSync(schema)) writeOutput(schema, schemaText(), 'wx')
  process.stdout.write(
    `Wrote ${file}; its ${results.length} tests pass.\n${next(file, answers)
      .map((line) => `  ${line}\n`)
      .join('')}`,
  )
}

function next(file: string, { origin }: StarterAnswers): string[] {
  const isHttps = origin.startsWith('https:')
  return [
    `postern test ${file}`,
    `postern explain GET /admin --as alice --config ${file}`,
    ...(isHttps ? ['export POSTERN_SECRET=$(postern secret)'] : []),
    `echo 'a long password' | postern admin create --email you@example.com --password-stdin --config ${file}`,
    `postern serve --config ${file}`,
  ]
}

/** Null when the person at the terminal gave up. */
async function ask({ origin, upstream, access }: InitOptions): Promise<StarterAnswers | null> {
  for (const [name, url] of Object.entries({ upstream, origin })) {
    const fault = url === undefined ? undefined : urlFault(url)
    if (fault !== undefined) throw usageError(`--${name} is ${JSON.stringify(url)}. ${fault}.`)
  }
  if (upstream !== undefined) {
    return { upstream, origin: origin ?? 'http://localhost:8080', access: accessOf(access ?? 'login') }
  }
  if (process.stdin.isTTY !== true) {
    throw usageError(
      'There is no terminal to ask at. Say it in flags: postern init --upstream http://127.0.0.1:9000 [--origin URL] [--access login|read|public]',
    )
  }
  intro('A policy for one backend')
  const backend = await text({
    message: 'Where does your backend listen?',
    initialValue: 'http://127.0.0.1:9000',
    validate: urlFault,
  })
  if (isCancel(backend)) return stop()
  const site =
    origin ??
    (await text({ message: 'Which URL will people use?', initialValue: 'http://localhost:8080', validate: urlFault }))
  if (isCancel(site)) return stop()
  const chosen =
    access ??
    (await select({
      message: 'Who may come in?',
      options: [
        { value: 'login', label: 'whoever is signed in' },
        { value: 'read', label: 'everybody reads, whoever is signed in writes' },
        { value: 'public', label: 'everybody; only /admin is for admins' },
      ],
    }))
  if (isCancel(chosen)) return stop()
  outro('Thank you.')
  return { upstream: backend, origin: site, access: accessOf(chosen) }
}

function stop(): null {
  cancel('Nothing was written.')
  process.exitCode = 1
  return null
}

function urlFault(value: string | undefined): string | undefined {
  const url = URL.parse(value ?? '')
  return url !== null && /^https?:\/\/[^\s/?#@]+\/?$/.test(value!)
    ? undefined
    : 'Write scheme, host and port, such as http://127.0.0.1:9000'
}

function accessOf(word: string): StarterAnswers['access'] {
  const found = STARTER_ACCESS.find((known) => known === word)
  if (found === undefined)
    throw usageError(`--access is one of ${STARTER_ACCESS.join(', ')}, and not ${JSON.stringify(word)}.`)
  return found
}
