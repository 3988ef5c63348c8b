/** The sockets that left HTTP behind (WebSockets), so that shutdown can end what no server counts any more. */

import type { Duplex } from 'node:stream'

export interface OpenSockets {
  add(socket: Duplex): void
  readonly size: number
  /** Ends every socket at once. */
  destroyAll(): void
}

export function openSockets(): OpenSockets {
  const sockets = new Set<Duplex>()
  return {
    add(socket) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    },
    get size() {
      return sockets.size
    },
    destroyAll() {
      for (const socket of sockets) socket.destroy()
    },
  }
}
