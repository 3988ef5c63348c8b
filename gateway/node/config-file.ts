/** From the text of a policy file to a compiled policy: the environment and the files it refers to are read here and nowhere else. */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { compile } from '../config/compile.ts'
import { formatIssues, type ParsedPolicy, parsePolicy } from '../config/parse.ts'
import type { Snapshot } from '../snapshot.ts'
import { startupError } from './startup-error.ts'

export type Config = ParsedPolicy['config']

export interface PolicyFile {
  readonly text: string
  /** As it is printed in messages; files that the policy names are relative to its folder. */
  readonly file: string
}

export interface PolicyOverrides {
  /** Replaces the port of `listen`, and of `origin` where that is localhost. */
  readonly port: number | null
  /** Replaces the URL of every upstream: the demo's own. */
  readonly upstreamUrl: string | null
}

export interface Policy {
  readonly config: Config
  readonly snapshot: Snapshot
  readonly warnings: readonly string[]
}

export function readPolicyFile(file: string): PolicyFile {
  try {
    return { text: readFileSync(file, 'utf8'), file }
  } catch (error) {
    const code = (error as { code?: unknown }).code
    const why = code === 'ENOENT' ? 'there is no such file' : `${code}`
    throw startupError(
      `The policy file ${file} cannot be read: ${why}. Name one with --config or POSTERN_CONFIG.`,
      error,
    )
  }
}

/** Throws a startup error that lists every mistake with its line, column and cure. */
export function loadPolicy(
  { text, file }: PolicyFile,
  env: Readonly<Record<string, string | undefined>>,
  overrides: PolicyOverrides,
): Policy {
  const parsed = parsePolicy(text, {
    file,
    readEnv: (name) => env[name],
    readFile: (path) => readFileSync(resolve(dirname(file), path), 'utf8'),
  })
  if ('issues' in parsed) throw startupError(formatIssues(parsed.issues))
  const config = override(parsed.config, overrides)
  const version = createHash('sha256').update(text).digest('hex')
  const compiled = compile(config, version, parsed.places)
  if ('issues' in compiled) throw startupError(formatIssues(compiled.issues))
  return { config, snapshot: compiled.snapshot, warnings: compiled.warnings.map((warning) => formatIssues([warning])) }
}

function override(config: Config, { port, upstreamUrl }: PolicyOverrides): Config {
  const { listen, origin, upstreams } = config
  return {
    ...config,
    listen: port === null ? listen : { ...listen, port },
    origin: port === null ? origin : withPort(origin, port),
    upstreams:
      upstreamUrl === null
        ? upstreams
        : Object.fromEntries(
            Object.entries(upstreams).map(([id, upstream]) => [id, { ...upstream, url: upstreamUrl }]),
          ),
  }
}

function withPort(origin: string, port: number): string {
  const url = new URL(origin)
  if (url.hostname !== 'localhost') return origin
  url.port = String(port)
  return url.origin
}
