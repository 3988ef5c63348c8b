/**
 * Connections of clients: so many for the node and so many for an address, counted where they are accepted and before a byte
 * of them is read. One whose reader takes nothing of what waits for it is cut, whatever is sent on it.
 */

import type { Server, Socket } from 'node:net'
import { peerOf } from '../../admit/client-address.ts'
import { networkOf } from '../../limit/address.ts'

export interface ConnectionLimits {
  readonly connectionsMax: number
  readonly perAddressMax: number
  /** Proxies bring the connections of many, so theirs are counted with the node's alone. */
  readonly isTrusted: (address: string) => boolean
}

export interface ConnectionCounts {
  open: number
  /** Closed as they came. */
  refused: number
}

export interface StallPace {
  readonly sweepMs: number
  readonly stallMs: number
}

/** What waits in our memory for a reader moves at least once in this time, or its connection is cut. */
export const CLIENT_STALL_MS = 60_000
const PACE: StallPace = { sweepMs: 5_000, stallMs: CLIENT_STALL_MS }

type Accept = (this: Server, socket: Socket) => void

/**
 * Stands before the server's own listener, which makes a parser of every connection. `refuse` gets those of an address that
 * has enough; those beyond the node's cap are closed in the accept itself. Yields those that may carry requests.
 */
export function capConnections(
  server: Server,
  limits: () => ConnectionLimits,
  refuse: (socket: Socket) => void,
  counts: ConnectionCounts,
  pace: StallPace = PACE,
): ReadonlySet<Socket> {
  const byAddress = new Map<string, number>()
  const open = new Set<Socket>()
  const stalls = new WeakMap<Socket, Stall>()
  const accepts = server.listeners('connection') as Accept[]
  server.removeAllListeners('connection')
  const follow = () => {
    server.maxConnections = limits().connectionsMax
  }
  follow()
  server.on('drop', () => {
    counts.refused++
    follow()
  })
  server.on('connection', (socket: Socket) => {
    follow()
    const { perAddressMax, isTrusted } = limits()
    const address = peerOf(socket.remoteAddress ?? '')
    if (!isTrusted(address) && !enter(networkOf(address), perAddressMax, socket)) {
      counts.refused++
      return refuse(socket)
    }
    for (const accept of accepts) accept.call(server, socket)
  })
  // A TLS server tells of connections twice; the second socket is the one that carries requests.
  const isTls = accepts.length > 0 && server.listenerCount('secureConnection') > 0
  server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => {
    if (socket.destroyed) return
    open.add(socket)
    counts.open++
    socket.once('close', () => {
      open.delete(socket)
      counts.open--
    })
  })
  const timer = setInterval(sweep, pace.sweepMs).unref()
  server.once('close', () => clearInterval(timer))
  return open

  function enter(network: string, max: number, socket: Socket): boolean {
    const count = byAddress.get(network) ?? 0
    if (count >= max) return false
    byAddress.set(network, count + 1)
    socket.once('close', () => {
      const left = byAddress.get(network)! - 1
      if (left > 0) byAddress.set(network, left)
      else byAddress.delete(network)
    })
    return true
  }

  /** A piece is taken when the system has all of it: a reader of a byte a minute takes none. */
  function sweep(): void {
    const nowMs = performance.now()
    for (const socket of open) {
      const waitingBytes = socket.writableLength
      if (waitingBytes === 0) {
        stalls.delete(socket)
        continue
      }
      const takenBytes = socket.bytesWritten - waitingBytes
      const stall = stalls.get(socket)
      if (stall === undefined || stall.takenBytes !== takenBytes) stalls.set(socket, { takenBytes, sinceMs: nowMs })
      else if (nowMs - stall.sinceMs > pace.stallMs) socket.destroy()
    }
  }
}

interface Stall {
  readonly takenBytes: number
  readonly sinceMs: number
}
