/** From the text of a policy file to a compiled policy: the environment and the files it refers to are read here and nowhere else. */

import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { dirname, resolve, sep } from 'node:path'
import { compile } from '../config/compile.ts'
import { versionText } from '../config/include.ts'
import type { Issue, Places } from '../config/issues.ts'
import { formatIssues, type ParsedPolicy, parsePolicy, readPolicy } from '../config/parse.ts'
import type { Snapshot } from '../snapshot.ts'
import { startupError, usageError } from './startup-error.ts'
import { readTlsFiles, type TlsFiles } from './tls-files.ts'
import { setWay } from './upstream/ways.ts'

export type Config = ParsedPolicy['config']
export type Environment = Readonly<Record<string, string | undefined>>

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
  /** For a command beside a gateway, which may not even be allowed to read the keys. */
  readonly isTlsLeftOut?: boolean
}

export interface Policy {
  readonly config: Config
  readonly snapshot: Snapshot
  readonly warnings: readonly string[]
  readonly places: Places
  /** What stands in the files that `tls` names. */
  readonly tls: TlsFiles
  /** Absolute paths of the file and of those it includes. */
  readonly files: readonly string[]
  /** Such paths, those of certificates and keys too, as they are on the disk when it is called: files that `include` matches by then are among them. */
  readonly listFiles: () => readonly string[]
}

/** A policy as tools see it: what is unset where they run is stood in for, so it must never be used to connect. */
export interface ToolPolicy extends Omit<Policy, 'warnings' | 'listFiles' | 'tls'> {
  readonly warnings: readonly Issue[]
  /** Variables and files that the policy names and that are not there, each once. */
  readonly unset: readonly string[]
}

const READ_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'it is not readable for this user',
}

export function readPolicyFile(file: string): PolicyFile {
  try {
    return { text: readFileSync(file, 'utf8'), file }
  } catch (error) {
    const code = (error as { code?: unknown }).code
    const why = READ_ERRORS[String(code)] ?? `${code}`
    throw usageError(
      `The policy file ${file} cannot be read: ${why}. Name another, or write a first one: postern init.`,
      error,
    )
  }
}

/** Throws a startup error that lists every mistake with its line, column and cure. */
export function loadPolicy({ text, file }: PolicyFile, env: Environment, overrides: PolicyOverrides): Policy {
  const parsed = parsePolicy(text, sourcesOf(file, env))
  if ('issues' in parsed) throw startupError(formatIssues(parsed.issues))
  const config = override(parsed.config, overrides)
  const compiled = compile(config, sha256(versionText(parsed.texts)), parsed.places)
  if ('issues' in compiled) throw startupError(formatIssues(compiled.issues))
  const named = overrides.isTlsLeftOut === true ? { origin: config.origin, tls: undefined, upstreams: {} } : config
  const { tls, issues, warnings } = readTlsFiles(named, dirname(file), parsed.places, Date.now())
  if (issues.length > 0) throw startupError(formatIssues(issues))
  for (const [id, way] of tls.ways) setWay(compiled.snapshot.upstreams.get(id)!, way)
  return {
    config,
    snapshot: compiled.snapshot,
    warnings: [...compiled.warnings, ...warnings].map((warning) => formatIssues([warning])),
    places: parsed.places,
    tls,
    files: filesOf(file, parsed),
    listFiles: () => [resolve(file), ...config.include.flatMap((glob) => listGlob(dirname(file), glob)), ...tls.files],
  }
}

function listGlob(folder: string, glob: string): readonly string[] {
  return globSync(glob, { cwd: folder }).map((path) => resolve(folder, path))
}

/** The policy or every mistake in it, without its secrets unless they must be there. */
export function inspectPolicy(
  { text, file }: PolicyFile,
  env: Environment,
  isUnsetAllowed: boolean,
): ToolPolicy | { readonly issues: readonly Issue[] } {
  const unset = new Set<string>()
  const standIn = (name: string): void => {
    unset.add(name)
  }
  const read = readPolicy(text, { ...sourcesOf(file, env), ...(isUnsetAllowed ? { standIn } : {}) }, sha256)
  if ('issues' in read) return read
  const { config, snapshot, warnings, places } = read
  return { config, snapshot, warnings, places, files: filesOf(file, read), unset: [...unset] }
}

/** For commands that judge a policy where its secrets are not, such as in CI. Throws what is wrong with it, as `loadPolicy` does. */
export function loadForTools(file: string, env: Environment = process.env): ToolPolicy {
  const policy = inspectPolicy(readPolicyFile(file), env, true)
  if ('issues' in policy) throw startupError(formatIssues(policy.issues))
  return policy
}

function sourcesOf(file: string, env: Environment) {
  const folder = dirname(file)
  return {
    file,
    readEnv: (name: string) => env[name],
    readFile: (path: string) => readFileSync(resolve(folder, path), 'utf8'),
    listFiles: (glob: string) => globSync(glob, { cwd: folder }).map((path) => path.replaceAll(sep, '/')),
  }
}

function filesOf(file: string, { texts }: ParsedPolicy): readonly string[] {
  const [, ...included] = texts
  return [resolve(file), ...included.map(({ name }) => resolve(dirname(file), name))]
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
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
            Object.entries(upstreams).map(([id, upstream]) => [
              id,
              { ...upstream, url: [{ url: upstreamUrl, weight: 1 }], tls: undefined, http2: false },
            ]),
          ),
  }
}

function withPort(origin: string, port: number): string {
  const url = new URL(origin)
  if (url.hostname !== 'localhost') return origin
  url.port = String(port)
  return url.origin
}
