/** `postern import`: a policy from an OpenAPI document or another gateway's rules, and a list of what it could not carry. Fetches nothing. */

import { existsSync, readFileSync } from 'node:fs'
import { styleText } from 'node:util'
import { readForeignYaml } from '../config/foreign-yaml.ts'
import { sha256 } from '../node/config-file.ts'
import { startupError, usageError } from '../node/startup-error.ts'
import { importAuthelia } from '../policy/import/authelia.ts'
import { importOathkeeper } from '../policy/import/oathkeeper.ts'
import { importOauth2Proxy } from '../policy/import/oauth2-proxy.ts'
import { importOpenApi, outerReferences } from '../policy/import/openapi.ts'
import { ImportError, type Imported, type ImportTarget, lossText } from '../policy/import/policy.ts'
import { type Verified, verifyImport } from '../policy/import/verify.ts'
import { writeOutput } from './settings.ts'

export const IMPORT_KINDS = ['openapi', 'oauth2-proxy', 'oathkeeper', 'authelia'] as const

export interface ImportOptions {
  readonly output?: string
  readonly upstream?: string
  readonly origin?: string
  readonly force?: boolean
  readonly json?: boolean
}

export async function importPolicy(
  kind: (typeof IMPORT_KINDS)[number],
  file: string,
  options: ImportOptions,
): Promise<void> {
  const { output, upstream, origin, force, json } = options
  if (output !== undefined && force !== true && existsSync(output)) {
    throw usageError(`${output} is there already. Choose another name with -o, or replace it with --force.`)
  }
  const text = read(file)
  const target = { origin: origin ?? null, upstream: upstream ?? null }
  const command = `postern import ${kind} ${file}`
  let verified: Verified
  try {
    const imported = await IMPORTS[kind](text, target)
    verified = await verifyImport(imported, { command, sha256, nowMs: Date.now() })
  } catch (error) {
    if (error instanceof ImportError) throw startupError(`${file} cannot be imported. ${error.message}`, error)
    throw error
  }
  if (output !== undefined) writeOutput(output, verified.text)
  if (json === true) {
    const { losses, routesCount, testsCount } = verified
    process.stdout.write(
      `${JSON.stringify({ routes: routesCount, tests: testsCount, losses, policy: verified.text }, null, 2)}\n`,
    )
    return
  }
  if (output === undefined) process.stdout.write(verified.text)
  report(verified, output)
}

function report({ losses, routesCount, testsCount }: Verified, output: string | undefined): void {
  for (const loss of losses)
    process.stderr.write(`${styleText('yellow', 'not carried', { stream: process.stderr })}  ${lossText(loss)}\n`)
  const made = `${routesCount} routes, ${testsCount} tests, ${losses.length} things not carried over`
  const next = output === undefined ? '' : `\nNext: postern check ${output} && postern test ${output}`
  process.stderr.write(`${made}${next}\n`)
}

const IMPORTS: Readonly<
  Record<(typeof IMPORT_KINDS)[number], (text: string, target: ImportTarget) => Imported | Promise<Imported>>
> = {
  openapi: fromOpenApi,
  'oauth2-proxy': importOauth2Proxy,
  oathkeeper: (text, target) => importOathkeeper(treeOf(text), target),
  authelia: (text, target) => importAuthelia(treeOf(text), target),
}

async function fromOpenApi(text: string, target: ImportTarget): Promise<Imported> {
  const document = treeOf(text)
  const outer = outerReferences(document)
  if (outer.length > 0) {
    const shown = outer.slice(0, 5).join(', ')
    throw new ImportError(
      `It refers to other documents, and nothing is fetched: ${shown}. Bundle it into one file first.`,
    )
  }
  const { dereference, validate } = await import('@readme/openapi-parser')
  // Twice from the text, since the library changes what it is given.
  const valid = await validate(treeOf(text) as Parameters<typeof validate>[0], NOTHING_OUTSIDE)
  if (!valid.valid) {
    const errors = valid.errors.slice(0, 10).map(({ message }) => `  ${message.split('\n')[0]}`)
    throw new ImportError(`It is not valid ${valid.specification ?? 'OpenAPI'}:\n${errors.join('\n')}`)
  }
  const whole = await dereference(document as Parameters<typeof dereference>[0], NOTHING_OUTSIDE)
  return importOpenApi(whole, target)
}

const NOTHING_OUTSIDE = { resolve: { external: false }, dereference: { circular: 'ignore' } } as const

function treeOf(text: string): unknown {
  const parsed = readForeignYaml(text)
  if ('error' in parsed) throw new ImportError(`It is neither YAML nor JSON: ${parsed.error}.`)
  return parsed.tree
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw usageError(`${file} cannot be read: ${(error as { code?: unknown }).code}.`, error)
  }
}
