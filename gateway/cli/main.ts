/** The `postern` command. Each subcommand is loaded when it is asked for, so that none pays for another's start. */

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { isStartupError } from '../node/startup-error.ts'

const CONFIG_OPTION = ['--config <file>', 'the policy file (or POSTERN_CONFIG)'] as const
const DATA_OPTION = ['--data <folder>', 'where the embedded database and secret live'] as const

// Compiled code is kept beside the dependencies it comes from; where that cannot be written, nothing is kept.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/postern', import.meta.url)))

const program = new Command('postern')
  .description(
    'An auth-enforcing API gateway: sign-in, sessions, tokens and policy in front of backends you do not edit.',
  )
  .showHelpAfterError()

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
  .action(async (file) => (await import('./check.ts')).check(file))

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

try {
  await program.parseAsync()
} catch (error) {
  const text = isStartupError(error)
    ? error.message
    : error instanceof Error
      ? (error.stack ?? error.message)
      : String(error)
  process.stderr.write(`postern: ${text}\n`)
  process.exitCode = 1
}
