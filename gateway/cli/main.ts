/** The `postern` command. Each subcommand is loaded when it is asked for, so that none pays for another's start. */

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { Argument, Command, CommanderError, InvalidArgumentError } from 'commander'
import { isStartupError, isUsageError } from '../node/startup-error.ts'

const CONFIG_OPTION = [
  '--config <file>',
  'the policy file; without it POSTERN_CONFIG, config/gateway.yaml or gateway.yaml',
] as const
const DATA_OPTION = ['--data <folder>', 'where the embedded database and secret live'] as const

// Compiled code is kept beside the dependencies it comes from; where that cannot be written, nothing is kept.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/postern', import.meta.url)))

const program = new Command('postern')
  .description(
    'An auth-enforcing API gateway: sign-in, sessions, tokens and policy in front of backends you do not edit.',
  )
  .showHelpAfterError()
  .showSuggestionAfterError()
  .exitOverride()
  .addHelpText(
    'after',
    `
A policy, from nothing:
  postern init --upstream http://127.0.0.1:9000   write one
  postern check gateway.yaml                      every mistake at once, each with its cure
  postern test gateway.yaml                       its own tests, and what they leave out
  postern explain GET /admin --as alice           which line decides, and what would let her in
  postern diff old.yaml new.yaml                  who gets in who did not, and the reverse
  postern serve --config gateway.yaml             run it; a changed file is taken up while it runs
Exit codes: 0 good, 1 something was found, 2 the command itself was wrong.
Completion: postern complete bash (or zsh, fish, powershell) prints what your shell sources.
`,
  )

program
  .command('serve')
  .description('run the gateway')
  .option('--demo', 'with a demo upstream and users of its own, on loopback only')
  .option(...CONFIG_OPTION)
  .option(...DATA_OPTION, 'data')
  .action(async (options) => (await import('./serve.ts')).serve(options))

program
  .command('check')
  .argument('[file]', 'the policy file')
  .description('parse and compile a policy; prints every mistake with its line, column and cure')
  .option('--json', 'print an array of mistakes and warnings')
  .option('--allow-unset', 'judge it where its variables and secrets are not, such as in CI')
  .option('--warnings-as-errors', 'exit with 1 for a warning too')
  .action(async (file, options) => (await import('./check.ts')).check(file, options))

program
  .command('test')
  .argument('[file]', 'the policy file')
  .description('run the tests of a policy file, and say which routes and branches they leave out')
  .option('--coverage', 'list what no test touches')
  .option('--coverage-min <percent>', 'exit with 1 below so much', percentOf)
  .option('--junit <file>', 'write a JUnit report')
  .option('--json', 'print JSON')
  .action(async (file, options) => (await import('./policy-test.ts')).testPolicy(file, options))

program
  .command('routes')
  .argument('[file]', 'the policy file')
  .description('list the routes, most specific first, with who may do what in plain words')
  .option('--json', 'print JSON')
  .action(async (file, options) => (await import('./routes.ts')).routes(file, options))

program
  .command('explain')
  .argument('[method]', 'such as GET; WEBSOCKET for an upgrade')
  .argument('[url]', 'a path with its query, or a whole URL')
  .description('say which line decides a request, what is needed and had, and what would let it pass')
  .option('--as <person>', 'one of `people` in the policy; without it nobody')
  .option('--token <->', 'a real token, by standard input')
  .option('--cookie <->', 'a real session cookie, by standard input')
  .option('--key <->', 'a real API key, by standard input')
  .option('--from <address>', 'the client’s address')
  .option('--at <time>', 'when, such as 2026-01-31T09:00:00Z; without it now')
  .option('--header <line...>', "a header, such as 'Accept: text/html'; repeat for more")
  .option('--request <id>', 'a request that was refused, by the id in its answer; with --log or --admin')
  .option('--log <file>', 'the gateway’s log')
  .option('--admin <url>', 'the admin API; its key by POSTERN_ADMIN_KEY or standard input')
  .option('--exit-code', 'exit with 1 when it is refused')
  .option('--json', 'print JSON')
  .option(...CONFIG_OPTION)
  .option(...DATA_OPTION, 'data')
  .action(async (method, url, options) => (await import('./explain.ts')).explain(method, url, options))

program
  .command('diff')
  .argument('<old>', 'the policy in force, or with --proposed the only one')
  .argument('[new]', 'the policy that would take its place')
  .description(
    'what changes for requests, worst first: who gets in who did not, who no longer does, and what else becomes of them',
  )
  .option('--replay <log>', 'which requests of an access log (JSON lines) would come out differently')
  .option('--proposed', 'what `proposed` would change if it stood in the place of `access`')
  .option('--exit-code', 'exit with 1 where anything differs')
  .option('--json', 'print JSON')
  .action(async (before, after, options) => (await import('./diff.ts')).diff(before, after, options))

program
  .command('import')
  .addArgument(
    new Argument('<kind>', 'what the file is').choices(['openapi', 'oauth2-proxy', 'oathkeeper', 'authelia']),
  )
  .argument('<file>', 'an OpenAPI document or the rules of another gateway; nothing it refers to is fetched')
  .description('write a policy from somebody else’s rules; what it cannot carry is denied, and listed')
  .option('-o, --output <file>', 'the policy to write; without it standard output')
  .option('--upstream <url>', 'where the backend listens; without it what the file says, or http://127.0.0.1:9000')
  .option('--origin <url>', 'the URL people will use; without it what the file says, or http://localhost:8080')
  .option('--force', 'replace a file that is there')
  .option('--json', 'print JSON')
  .action(async (kind, file, options) => (await import('./import.ts')).importPolicy(kind, file, options))

program
  .command('admin')
  .description('manage people from the command line')
  .command('create')
  .description('make a user with the role admin; the password comes by standard input')
  .requiredOption('--email <address>', 'the e-mail to sign in with')
  .requiredOption('--password-stdin', 'read the password from standard input')
  .option('--name <name>', 'how the person is called')
  .option(...CONFIG_OPTION)
  .option(...DATA_OPTION, 'data')
  .action(async (options) => (await import('./admin.ts')).createAdmin(options))

const keys = program.command('keys').description('manage the API keys of machine clients')
keys
  .command('create')
  .description('make a key that acts for its owner; it is printed once, and kept nowhere')
  .requiredOption('--owner <user>', 'e-mail or id of the user it acts for')
  .requiredOption('--name <name>', 'what it is for')
  .option('--scope <scope...>', 'a scope it has; repeat for more')
  .option('--expires <duration>', 'how long it lives, such as 90d; without it the key has no end')
  .option('--limit <rate>', 'a limit of its own, such as 100/min; without it the policy’s')
  .option('--json', 'print JSON')
  .option(...CONFIG_OPTION)
  .option(...DATA_OPTION, 'data')
  .action(async (options) => (await import('./keys.ts')).createKey(options))
keys
  .command('list')
  .description('list keys, newest first; never their text')
  .option('--owner <user>', 'e-mail or id of a user; without it everybody’s')
  .option('--json', 'print JSON')
  .option(...CONFIG_OPTION)
  .option(...DATA_OPTION, 'data')
  .action(async (options) => (await import('./keys.ts')).listKeys(options))
keys
  .command('revoke')
  .argument('<id>', 'the id that `keys list` shows')
  .description('end a key for good, on every node')
  .option(...CONFIG_OPTION)
  .option(...DATA_OPTION, 'data')
  .action(async (id, options) => (await import('./keys.ts')).revokeKey(id, options))

program
  .command('revoke')
  .argument('<kind>', 'session, user, token, key, kid, issuer or all')
  .argument(
    '[name]',
    'an id; for a user also an e-mail or <issuer>:<sub>; for a token its jti, or - to read a whole one',
  )
  .description('end a credential or many, on every node; a gateway may be running')
  .option('--issuer <name>', 'whose token or kid: a name under tokens in the policy, or postern')
  .option('--subject <subject>', 'whose token it is')
  .option('--yes', 'for all: everybody signs in again')
  .option('--json', 'print what was done as JSON')
  .option(...CONFIG_OPTION)
  .option(...DATA_OPTION, 'data')
  .action(async (kind, name, options) => (await import('./revoke.ts')).revoke(kind, name ?? null, options))

program
  .command('init')
  .argument('[file]', 'the file to write; without it gateway.yaml')
  .description('write a first policy: asks three questions, or takes them as options')
  .option('--upstream <url>', 'where the backend listens')
  .option('--origin <url>', 'the URL people will use; without it http://localhost:8080')
  .option('--access <who>', 'login, read (everybody reads, who is signed in writes) or public')
  .option('--force', 'replace a file that is there')
  .action(async (file, options) => (await import('./init.ts')).init(file, options))

program
  .command('doctor')
  .description('look at what stands around a policy: secret, stores, clocks, TLS, upstreams, forged identities')
  .option('--yes', 'ask the upstreams and the gateway too: a few GETs, some in the name of a user that cannot exist')
  .option('--json', 'print JSON')
  .option(...CONFIG_OPTION)
  .option(...DATA_OPTION, 'data')
  .action(async (options) => (await import('./doctor/doctor.ts')).doctor(options))

program
  .command('token')
  .argument('<person>', 'one of `people` in the policy')
  .description('sign a person of the policy in at a gateway on this machine, and print what proves it')
  .option('--jwt', 'a JWT; without it a session token, or the key of who has one')
  .option('--json', 'print JSON')
  .option(...CONFIG_OPTION)
  .option(...DATA_OPTION, 'data')
  .action(async (person, options) => (await import('./token.ts')).mintToken(person, options))

program
  .command('schema')
  .description('print the JSON Schema of the policy file, for editors')
  .action(async () => (await import('./schema.ts')).printSchema())

program
  .command('secret')
  .description('print a new secret')
  .action(async () => {
    const { newSecret } = await import('../node/secret.ts')
    process.stdout.write(`${newSecret()}\n`)
  })

program
  .command('test-suite')
  .description('run every check of this repository (what `npm test` runs)')
  .action(async () => (await import('./test-suite.ts')).runTestSuite())

if (process.argv[2] === 'complete') (await import('@bomb.sh/tab/commander')).default(program)

// Who reads the first lines only has what they wanted, and the command ends as it would have.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return
    process.exitCode = 1
    if (stream === process.stdout) process.stderr.write(`postern: what was found cannot be written: ${error.code}\n`)
  })
}

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = exitCodeOf(error)
  if (!(error instanceof CommanderError)) process.stderr.write(`postern: ${textOf(error)}\n`)
}

/** The library has told already what was wrong with a command line. */
function exitCodeOf(error: unknown): number {
  if (!(error instanceof CommanderError)) return isUsageError(error) ? 2 : 1
  return error.exitCode === 0 ? 0 : 2
}

function textOf(error: unknown): string {
  if (isStartupError(error)) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function percentOf(text: string): number {
  const percent = Number(text)
  if (/^\d{1,3}$/.test(text) && percent <= 100) return percent
  throw new InvalidArgumentError('Write a number from 0 to 100.')
}
