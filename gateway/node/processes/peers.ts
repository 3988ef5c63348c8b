/**
 * The other processes of this node, where `workers` has several: each asks all of them through the one that watches over them.
 * What crosses is figures, recorded decisions and sealed entries of the log; never a credential.
 */

import type { Carrier } from '../../ports.ts'

/** `revoked`: entries of the log, which whoever is asked has taken when they answer. */
export type Question = 'metrics' | 'proposals' | 'decision' | 'revoked'

export interface Answers {
  readonly answers: readonly unknown[]
  /** All who were asked have answered. */
  readonly isComplete: boolean
}

export interface Peers {
  /** Processes that serve, this one included. */
  readonly count: number
  /** Never rejects. */
  ask(question: Question, argument: string, timeoutMs?: number): Promise<Answers>
  /** How this process answers when it is asked. Before it is told, it answers with null. */
  answer(question: Question, answer: (argument: string) => unknown): void
}

/** From a worker, and to it. */
export type FromWorker =
  | { readonly kind: 'serving'; readonly url: string; readonly note: string }
  | { readonly kind: 'leaving' }
  | {
      readonly kind: 'ask'
      readonly id: number
      readonly question: Question
      readonly argument: string
      readonly timeoutMs: number
    }
  | { readonly kind: 'told'; readonly id: number; readonly answer: unknown }
export type ToWorker =
  | { readonly kind: 'end' }
  | { readonly kind: 'asked'; readonly id: number; readonly question: Question; readonly argument: string }
  | ({ readonly kind: 'answers'; readonly id: number } & Answers)

/** The line between a worker and the process that watches over it. */
export interface WorkerLine {
  send(message: FromWorker): void
  onMessage(listener: (message: ToWorker) => void): void
}

const TIMEOUT_MS = 1000
/** A carrier says within 200 ms that it failed. */
const CARRY_MS = 150
/** For the watching process itself to answer, after all others. */
const MARGIN_MS = 40
const NOBODY: Answers = Object.freeze({ answers: [], isComplete: false })

export function peersBy(line: WorkerLine, count: number): Peers {
  const asked = new Map<number, (answers: Answers) => void>()
  const handlers = new Map<Question, (argument: string) => unknown>()
  let lastId = 0
  line.onMessage((message) => {
    if (message.kind === 'answers') asked.get(message.id)?.(message)
    else if (message.kind === 'asked') void tell(message.id, message.question, message.argument)
  })
  return {
    count,
    ask(question, argument, timeoutMs = TIMEOUT_MS) {
      const id = ++lastId
      return new Promise((resolve) => {
        const timer = setTimeout(() => settle(NOBODY), timeoutMs + MARGIN_MS).unref()
        const settle = (answers: Answers) => {
          clearTimeout(timer)
          asked.delete(id)
          resolve(answers)
        }
        asked.set(id, settle)
        line.send({ kind: 'ask', id, question, argument, timeoutMs })
      })
    },
    answer: (question, answer) => void handlers.set(question, answer),
  }

  async function tell(id: number, question: Question, argument: string): Promise<void> {
    let answer: unknown = null
    try {
      answer = (await handlers.get(question)?.(argument)) ?? null
    } catch {
      // Who asks counts what came; a bug of one process is no reason for another to fail.
    }
    line.send({ kind: 'told', id, answer })
  }
}

/** Revocations, to the other processes at once. They are all there are where the database is a file of this node. */
export function peersCarrier(peers: Peers): Carrier {
  let hear: ((message: string) => void) | null = null
  let isMissed = false
  peers.answer('revoked', (argument) => {
    if (hear === null) isMissed = true
    else for (const message of JSON.parse(argument) as readonly string[]) hear(message)
  })
  return {
    async publish(messages) {
      const { isComplete } = await peers.ask('revoked', JSON.stringify(messages), CARRY_MS)
      if (!isComplete) throw new Error('another process of this node did not take it in time')
    },
    subscribe(onMessage, onGap) {
      hear = onMessage
      if (isMissed) onGap()
    },
    close() {
      hear = null
    },
  }
}
