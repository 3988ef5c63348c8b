/** A TCP relay in front of a store that a test can cut (refused at once) or freeze (accepted, and never answered). */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Switch {
  /** The store's URL with the relay's address in it. */
  readonly url: string
  /** Drops every connection and refuses new ones. */
  cut(): Promise<void>
  /** Keeps connections open and passes nothing on, until mended. */
  freeze(): void
  /** Passes everything on, and each piece this much later; until mended. */
  slow(delayMs: number): void
  mend(): Promise<void>
  close(): Promise<void>
}

export async function startSwitch(storeUrl: string): Promise<Switch> {
  const target = new URL(storeUrl)
  const sockets = new Set<Socket>()
  let isFrozen = false
  let delayMs = 0
  const server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
      one.on('data', (chunk) => {
        if (delayMs === 0) other.write(chunk)
        else setTimeout(() => other.write(chunk), delayMs)
      })
      if (isFrozen) one.pause()
    }
  })
  await listen(0)
  const { port } = server.address() as AddressInfo
  const url = new URL(storeUrl)
  url.host = `127.0.0.1:${port}`

  async function listen(on: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(on, '127.0.0.1', resolve)
    })
  }
  async function cut(): Promise<void> {
    if (!server.listening) return
    const closed = new Promise((resolve) => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  return {
    url: url.href,
    cut,
    freeze() {
      isFrozen = true
      for (const socket of sockets) socket.pause()
    },
    slow(ms) {
      delayMs = ms
    },
    async mend() {
      isFrozen = false
      delayMs = 0
      for (const socket of sockets) socket.resume()
      if (!server.listening) await listen(port)
    },
    close: cut,
  }
}

/** Asks again until it is so. The bound is for a test that would otherwise never end. */
export async function until(isSo: () => boolean | Promise<boolean>, patienceMs = 15_000): Promise<void> {
  const startedAt = performance.now()
  while (!(await isSo())) {
    if (performance.now() - startedAt > patienceMs) throw new Error('it never became so')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
