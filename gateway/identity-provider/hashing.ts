/**
 * Passwords are hashed a few at a time: each hash keeps a core busy for a twentieth of a second, and one of the few threads that
 * name look-ups and files need too. Who comes on top waits in order; how many may wait is the handler's to say.
 */

import { hashPassword, verifyPassword } from 'better-auth/crypto'

export interface Hashing {
  hash(password: string): Promise<string>
  verify(given: { readonly hash: string; readonly password: string }): Promise<boolean>
}

/**
 * At most `max` at once. With less than one, the share of a process among several, it is one, and then a rest: half a hash at
 * once is one half of the time. The hashes are the identity provider's own, scrypt, unless `work` makes the same ones elsewhere.
 */
export function hashing(
  max: number,
  work: Hashing = { hash: hashPassword, verify: verify },
  /** Asked only for a share of one. */
  monotonicMs: () => number = () => 0,
): Hashing {
  const atOnce = Math.max(1, Math.floor(max))
  const restPerMs = Math.max(0, 1 / max - 1)
  const waiting: (() => void)[] = []
  let running = 0
  return {
    hash: (password) => inTurn(() => work.hash(password)),
    verify: (given) => inTurn(() => work.verify(given)),
  }

  async function inTurn<T>(hashOne: () => Promise<T>): Promise<T> {
    // Whoever is done hands its turn over, and `running` stays as it is.
    if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    const beganAtMs = monotonicMs()
    try {
      return await hashOne()
    } finally {
      if (restPerMs === 0) handOver()
      else setTimeout(handOver, restPerMs * (monotonicMs() - beganAtMs))
    }
  }

  function handOver(): void {
    const next = waiting.shift()
    if (next === undefined) running--
    else next()
  }
}

function verify(given: { readonly hash: string; readonly password: string }): Promise<boolean> {
  return verifyPassword({ ...given })
}
