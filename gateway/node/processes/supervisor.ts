/**
 * The process that watches over `workers`: it holds the socket on which they all accept, starts again what ends, passes
 * signals on, and carries questions between the workers. It decides nothing and holds no secret of its own.
 */

import cluster, { type Worker } from 'node:cluster'
import type { JsonJournal } from '../journal.ts'
import { ECHO_MS } from '../shutdown.ts'
import type { FromWorker, ToWorker } from './peers.ts'
import { passLines } from './worker-lines.ts'

export interface SupervisorOptions {
  readonly count: number
  /** The program and its arguments, as this process was started. */
  readonly exec: string
  readonly args: readonly string[]
  readonly journal: JsonJournal
}

interface Watched {
  readonly worker: Worker
  readonly startedAtMs: number
  isServing: boolean
  /** Another has been started in its place. */
  isReplaced: boolean
}

/** One that ends sooner than this after its start is started again later and later. */
const STEADY_MS = 10_000
const BACKOFF_MS = 100
const BACKOFF_MS_MAX = 10_000

/** Resolves with the exit code for this process: of the first worker when it could not start, else 0 once told to end. */
export async function supervise({ count, exec, args, journal }: SupervisorOptions): Promise<number> {
  const watched = new Map<number, Watched>()
  const asked = new Map<number, Asked>()
  const done = Promise.withResolvers<number>()
  let lastId = 0
  let failures = 0
  let hasServed = false
  let endingSinceMs: number | null = null
  // Not round robin: a connection that is being handed to a worker in the moment of its death would belong to nobody, and hang.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  cluster.setupPrimary({ exec, args: [...args], silent: true })
  process.on('SIGINT', onEnd)
  process.on('SIGTERM', onEnd)
  if (process.stdin.isTTY !== true && process.stdout.isTTY !== true) process.on('SIGHUP', () => signalAll('SIGHUP'))
  start()
  return done.promise

  function start(): void {
    if (endingSinceMs !== null) return
    const worker = cluster.fork()
    const one: Watched = { worker, startedAtMs: performance.now(), isServing: false, isReplaced: false }
    watched.set(worker.id, one)
    passLines(worker.process.stdout!, (lines) => journal.pass(lines))
    passLines(worker.process.stderr!, (lines) => process.stderr.write(lines))
    worker.on('message', (message: FromWorker) => onMessage(one, message))
    worker.on('error', (error) => journal.fault('-', error))
    worker.on('exit', (code, signal) => onExit(one, code, signal))
  }

  function onMessage(one: Watched, message: FromWorker): void {
    if (message.kind === 'serving') onServing(one, message.note)
    else if (message.kind === 'leaving') replace(one)
    else if (message.kind === 'ask') carry(one.worker, message)
    else asked.get(message.id)?.told(one.worker, message.answer)
  }

  function onServing(one: Watched, note: string): void {
    one.isServing = true
    if (hasServed) return
    // What cannot start would not start twice either, so the others follow the first.
    hasServed = true
    journal.note(note)
    for (let more = 1; more < count; more++) start()
  }

  /** Its place is taken while it still finishes what it has; of one that fails soon after its start, once it is gone. */
  function replace(one: Watched): void {
    if (one.isReplaced || endingSinceMs !== null || !isSteady(one)) return
    one.isReplaced = true
    start()
  }

  function onExit(one: Watched, code: number | null, signal: string | null): void {
    const { worker, isReplaced } = one
    watched.delete(worker.id)
    for (const question of asked.values()) question.gone(worker)
    if (endingSinceMs !== null) {
      if (watched.size === 0) done.resolve(0)
      return
    }
    if (!hasServed) return void done.resolve(code ?? 1)
    const how = signal ?? `exit code ${code}`
    if (isReplaced) {
      if (code !== 0) journal.note(`a worker ended (${how}); another had taken its place`)
      return
    }
    failures = isSteady(one) ? 0 : failures + 1
    const waitMs = failures === 0 ? 0 : Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** (failures - 1))
    journal.note(`a worker ended (${how}); another starts${waitMs === 0 ? '' : ` in ${waitMs} ms`}`)
    setTimeout(start, waitMs)
  }

  function isSteady({ isServing, startedAtMs }: Watched): boolean {
    return isServing && performance.now() - startedAtMs > STEADY_MS
  }

  function onEnd(signal: NodeJS.Signals): void {
    const nowMs = performance.now()
    if (endingSinceMs !== null) {
      if (nowMs - endingSinceMs <= ECHO_MS) return
      signalAll('SIGKILL')
      process.exit(signal === 'SIGINT' ? 130 : 143)
    }
    endingSinceMs = nowMs
    if (watched.size === 0) done.resolve(0)
    for (const { worker, isServing } of watched.values()) {
      if (isServing) send(worker, { kind: 'end' })
      else worker.process.kill('SIGTERM')
    }
  }

  function signalAll(signal: NodeJS.Signals): void {
    // One that has not begun to serve would end by it, and reads the policy anew anyway.
    for (const { worker, isServing } of watched.values()) {
      if (isServing || signal === 'SIGKILL') worker.process.kill(signal)
    }
  }

  function carry(from: Worker, { id, question, argument, timeoutMs }: FromWorker & { readonly kind: 'ask' }): void {
    const others = [...watched.values()].map(({ worker }) => worker).filter((worker) => worker !== from)
    const ours = ++lastId
    const open = new Asked(others, timeoutMs, (answers, isComplete) => {
      asked.delete(ours)
      send(from, { kind: 'answers', id, answers, isComplete })
    })
    if (others.length === 0) return void open.settle()
    asked.set(ours, open)
    for (const worker of others) send(worker, { kind: 'asked', id: ours, question, argument })
  }

  function send(worker: Worker, message: ToWorker): void {
    // To one that is about to be gone nothing can be said, and its exit is heard of soon.
    if (worker.isConnected()) worker.send(message, () => {})
  }
}

/** A question under way, and who still has to answer it. */
class Asked {
  readonly #missing: Set<Worker>
  readonly #answers: unknown[] = []
  readonly #timer: NodeJS.Timeout
  readonly #settle: (answers: readonly unknown[], isComplete: boolean) => void

  constructor(
    workers: readonly Worker[],
    timeoutMs: number,
    settle: (answers: readonly unknown[], isComplete: boolean) => void,
  ) {
    this.#missing = new Set(workers)
    this.#settle = settle
    this.#timer = setTimeout(() => this.settle(), timeoutMs)
  }

  told(worker: Worker, answer: unknown): void {
    if (this.#missing.has(worker) && answer !== null) this.#answers.push(answer)
    this.gone(worker)
  }

  /** One that is no more has nothing to answer, and serves nobody. */
  gone(worker: Worker): void {
    if (this.#missing.delete(worker) && this.#missing.size === 0) this.settle()
  }

  settle(): void {
    clearTimeout(this.#timer)
    this.#settle(this.#answers, this.#missing.size === 0)
  }
}
