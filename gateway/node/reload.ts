/**
 * Another policy in place of the one in force: read, compiled, tried on its own tests, and then swapped in one assignment. One
 * that does not pass changes nothing at all, and is said in the log, in a metric and on the admin listener.
 */

import { statSync } from 'node:fs'
import { runPolicyTests } from '../policy/run-tests.ts'
import type { TokenVerifier } from '../ports.ts'
import { type Config, loadPolicy, type Policy, type PolicyFile, readPolicyFile } from './config-file.ts'
import type { NodeJournal } from './journal.ts'
import type { OpenOptions } from './open.ts'
import { isStartupError, startupError } from './startup-error.ts'
import type { TokenSuccession } from './token-succession.ts'

/** `same`: what the file says is in force already. */
export type ReloadOutcome = 'done' | 'same' | 'refused'

export interface Reloaded {
  readonly outcome: ReloadOutcome
  /** Every problem with its place and cure; null unless it was refused. */
  readonly problem: string | null
}

export interface ReloadStatus {
  readonly inForceSinceMs: number
  readonly done: number
  readonly refused: number
  /** Null before the first. */
  readonly last: (Reloaded & { readonly atMs: number }) | null
}

export interface Reloader {
  /**
   * Reads the file again, or takes a text in its place. One at a time, in the order asked for; who asks for the file while
   * somebody waits for it waits with them. Never rejects.
   */
  reload(policy?: PolicyFile): Promise<Reloaded>
  readonly policy: Policy
  readonly status: ReloadStatus
  /** Resolves when none is under way; from now on the policy in force stays. */
  close(): Promise<void>
}

export interface ReloaderDeps {
  readonly options: Pick<OpenOptions, 'policy' | 'env' | 'port' | 'upstreamUrl'>
  /** The one in force at first. */
  readonly policy: Policy
  readonly tokens: TokenSuccession
  readonly journal: NodeJournal
  /** Puts it in force: everything of it in one assignment, without waiting. */
  readonly swap: (policy: Policy, tokens: TokenVerifier) => void
  readonly nowMs: () => number
}

/** What opened listeners, stores and the identity provider, which live as long as the process. */
const RESTART_KEYS = [
  'listen',
  'origin',
  'store',
  'login',
  'keys',
  'admin',
  'revocation',
  'workers',
] as const satisfies readonly (keyof Config)[]

export function reloader({ options, policy, tokens, journal, swap, nowMs }: ReloaderDeps): Reloader {
  let current = policy
  let status: ReloadStatus = { inForceSinceMs: nowMs(), done: 0, refused: 0, last: null }
  let queue: Promise<unknown> = Promise.resolve()
  /** Of the file, not begun. */
  let waiting: Promise<Reloaded> | null = null
  let isClosed = false
  return {
    reload(given) {
      if (given === undefined && waiting !== null) return waiting
      const reloaded = queue.then(() => {
        if (given === undefined) waiting = null
        return isClosed ? CLOSED : tryReload(given)
      })
      if (given === undefined) waiting = reloaded
      queue = reloaded
      return reloaded
    },
    async close() {
      isClosed = true
      await queue
    },
    get policy() {
      return current
    },
    get status() {
      return status
    },
  }

  async function tryReload(given: PolicyFile | undefined): Promise<Reloaded> {
    const atMs = nowMs()
    try {
      const next = load(given)
      if (isSame(current, next)) {
        const same = { outcome: 'same', problem: null, atMs } as const
        if (status.last?.outcome === 'refused') {
          journal.note(`the policy file is back to ${nameOf(current)}, in force`)
          status = { ...status, last: same }
        }
        return same
      }
      checkRestart(current.config, next.config)
      await checkTests(next, atMs)
      const before = current
      const issuers = await tokens.prepare(next.config.tokens)
      // From here to the end nothing may be awaited.
      swap(next, issuers.verifier)
      tokens.succeed(issuers)
      current = next
      const last = { outcome: 'done', problem: null, atMs } as const
      status = { ...status, inForceSinceMs: atMs, done: status.done + 1, last }
      for (const warning of next.warnings) journal.note(warning)
      journal.note(`policy ${nameOf(next)} is in force, in place of ${nameOf(before)}`)
      return last
    } catch (error) {
      if (!isStartupError(error)) journal.fault('-', error)
      const problem = error instanceof Error ? error.message : String(error)
      // A file that is touched again and still wrong is said once.
      if (status.last?.problem === problem) return status.last
      const last = { outcome: 'refused', problem, atMs } as const
      status = { ...status, refused: status.refused + 1, last }
      journal.note(`the new policy is refused, and ${nameOf(current)} stays in force: ${problem}`)
      return last
    }
  }

  function load(given: PolicyFile | undefined): Policy {
    const { file } = options.policy
    if (given === undefined && !isReadAgain(file)) {
      throw startupError(`${file} is a pipe or the like, which gives its text once. Restart this node instead.`)
    }
    return loadPolicy(given ?? readPolicyFile(file), options.env, {
      port: options.port ?? null,
      upstreamUrl: options.upstreamUrl ?? null,
    })
  }
}

const CLOSED: Reloaded = Object.freeze({ outcome: 'refused', problem: 'This node is closing.' })

/** A pipe that is opened again may be empty, or never give anything. What is not there now may come back. */
export function isReadAgain(file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false })
  return stats === undefined || stats.isFile()
}

/** As the log shows it. */
export function nameOf({ snapshot }: Policy): string {
  return snapshot.version.slice(0, 12)
}

/** A secret that a file or variable brings may change while the text does not, and so may a certificate. */
function isSame(one: Policy, other: Policy): boolean {
  return (
    one.snapshot.version === other.snapshot.version &&
    isEqual(one.config, other.config) &&
    isEqual(one.tls.server, other.tls.server) &&
    isEqual([...one.tls.ways], [...other.tls.ways])
  )
}

function checkRestart(before: Config, after: Config): void {
  const changed: string[] = RESTART_KEYS.filter((key) => !isEqual(before[key], after[key])).map((key) => `\`${key}\``)
  if ((before.tls === undefined) !== (after.tls === undefined)) changed.push('`tls`')
  else if (before.tls?.http2 !== after.tls?.http2) changed.push('`tls.http2`')
  if (changed.length === 0) return
  throw startupError(`${changed.join(', ')} changed, which takes a restart. Restart this node, or undo the change.`)
}

/** What a policy says must hold of it does, or it is not put in force. */
export async function checkTests({ config, snapshot, places }: Policy, nowMs: number): Promise<void> {
  if (config.tests.length === 0) return
  const { results, failed } = await runPolicyTests({ config, snapshot, places, nowMs })
  if (failed === 0) return
  const lines = results
    .filter(({ failure }) => failure !== null)
    .slice(0, FAILURES_SHOWN_MAX)
    .map(({ place, title, failure }) => `${place}: ${title}: ${failure}`)
  const many = `${failed} of its ${results.length} tests ${failed === 1 ? 'fails' : 'fail'}`
  throw startupError([`${many}. See them all with \`postern test\`.`, ...lines].join('\n'))
}

const FAILURES_SHOWN_MAX = 20

function isEqual(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
