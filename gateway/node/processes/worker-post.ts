/** One of several processes of a node, as it reports to the one that watches over it. */

import cluster from 'node:cluster'
import { type FromWorker, type Peers, peersBy, type ToWorker } from './peers.ts'

export interface WorkerPost {
  readonly peers: Peers
  /** It serves from now on; `note` is what the log says once for all of them. */
  serving(url: string, note: string): void
  /** Another may take its place while it finishes what it has. */
  leave(): void
  /** The whole node ends. */
  onEnd(listener: () => void): void
}

export function isWorker(): boolean {
  return cluster.isWorker
}

export function workerPost(count: number): WorkerPost {
  const listeners = new Set<(message: ToWorker) => void>()
  process.on('message', (message: ToWorker) => {
    for (const listener of listeners) listener(message)
  })
  // A start that fails ends the process, which listening to the other would keep alive.
  process.channel?.unref()
  let isNodeEnding = false
  const send = (message: FromWorker) => {
    // Without the watching process this one ends by itself.
    if (process.connected) process.send?.(message, undefined, undefined, () => {})
  }
  return {
    peers: peersBy({ send, onMessage: (listener) => void listeners.add(listener) }, count),
    serving: (url, note) => send({ kind: 'serving', url, note }),
    leave() {
      if (!isNodeEnding) send({ kind: 'leaving' })
    },
    onEnd(listener) {
      listeners.add((message) => {
        if (message.kind !== 'end') return
        isNodeEnding = true
        listener()
      })
    },
  }
}
