/**
 * How long after the acknowledgment of a revocation any node still serves the credential: asked of every node again and
 * again, from before the revocation until each has refused, while other credentials keep the nodes busy.
 */

import type { Fleet, Node } from '../support/fleet.ts'

export type Credential = Readonly<Record<string, string>>

export interface Subject {
  readonly kind: string
  readonly credential: Credential
  /** Resolves when the revocation is acknowledged. */
  revoke(): Promise<void>
}

export interface Measured {
  readonly kind: string
  /** By node: from the acknowledgment to the arrival of the first refusal; 0 when that came before it. Never less than the truth. */
  readonly delayMs: readonly number[]
  /** By node: from the acknowledgment to the sending of the last request that was served; 0 when none was sent after it. */
  readonly servedMs: readonly number[]
}

interface Watched {
  readonly lastServedMs: number
  readonly refusedAtMs: number
}

const PATH = '/api/whoami'
const REFUSED_WITHIN_MS = 15_000

export async function measureRevocation(fleet: Fleet, subject: Subject, pauseMs = 0): Promise<Measured> {
  let isWarm = 0
  let acknowledgedAtMs = Number.POSITIVE_INFINITY
  const warm = Promise.withResolvers<void>()
  const watch = async (node: Node): Promise<Watched> => {
    let lastServedMs = 0
    for (let isFirst = true; ; isFirst = false) {
      const sentAtMs = performance.now()
      const { status, body } = await node.send('GET', PATH, subject.credential)
      if (status === 200) lastServedMs = sentAtMs
      else if (isFirst)
        throw new Error(`a ${subject.kind} was refused before its revocation: ${status} ${await logOf(node, body)}`)
      else if (status === 401) return { lastServedMs, refusedAtMs: performance.now() }
      else throw new Error(`a revoked ${subject.kind} was answered ${status}: ${await logOf(node, body)}`)
      if (isFirst && ++isWarm === fleet.nodes.length) warm.resolve()
      if (sentAtMs - acknowledgedAtMs > REFUSED_WITHIN_MS)
        throw new Error(`a revoked ${subject.kind} is served for ever`)
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }
  const watched = fleet.nodes.map(watch)
  await Promise.race([warm.promise, Promise.all(watched)])
  await subject.revoke()
  acknowledgedAtMs = performance.now()
  const seen = await Promise.all(watched)
  const since = (atMs: number): number => Math.max(0, atMs - acknowledgedAtMs)
  return {
    kind: subject.kind,
    delayMs: seen.map(({ refusedAtMs }) => since(refusedAtMs)),
    servedMs: seen.map(({ lastServedMs }) => since(lastServedMs)),
  }
}

/** What the node wrote about the request, once it has, with what it wrote of faults. */
async function logOf(node: Node, body: string): Promise<string> {
  const { requestId } = JSON.parse(body) as { requestId: string }
  const endsAtMs = performance.now() + 3_000
  while (!node.output().includes(requestId) && performance.now() < endsAtMs) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const lines = node.output().split('\n')
  return lines
    .filter((line) => line.includes(requestId) || line.includes('"fault"') || line.includes('"note"'))
    .join('\n')
}

/** Requests with credentials that stay good, at a steady pace on every node, until stopped. Resolves with what was refused. */
export function keepBusy(
  fleet: Fleet,
  credentials: readonly Credential[],
  perSecond: number,
): { stop(): Promise<string[]> } {
  const refused: string[] = []
  let isStopped = false
  const loops = fleet.nodes.map(async (node) => {
    for (let at = 0; !isStopped; at += 1) {
      try {
        const { status, body } = await node.send('GET', PATH, credentials[at % credentials.length]!)
        if (status !== 200) refused.push(`${status} ${body}`)
      } catch (error) {
        refused.push(String(error))
        return
      }
      await new Promise((resolve) => setTimeout(resolve, 1000 / perSecond))
    }
  })
  return {
    async stop() {
      isStopped = true
      await Promise.all(loops)
      return refused
    },
  }
}

/** The smallest value that `share` of them do not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0
}
