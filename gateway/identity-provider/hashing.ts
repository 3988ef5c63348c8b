/**
 * Passwords are hashed a few at a time: each hash keeps a core busy for a twentieth of a second, and one of the few threads that
 * name look-ups and files need too. Who comes on top waits in order; how many may wait is the handler's to say.
 */

import { hashPassword, verifyPassword } from 'better-auth/crypto'

export interface Hashing {
  hash(password: string): Promise<string>
  verify(given: { readonly hash: string; readonly password: string }): Promise<boolean>
}

/** At most `max` at once. The hashes are the identity provider's own, scrypt, unless `work` makes the same ones elsewhere. */
export function hashing(max: number, work: Hashing = { hash: hashPassword, verify: verify }): Hashing {
  const waiting: (() => void)[] = []
  let running = 0
  return {
    hash: (password) => inTurn(() => work.hash(password)),
    verify: (given) => inTurn(() => work.verify(given)),
  }

  async function inTurn<T>(hashOne: () => Promise<T>): Promise<T> {
    // Whoever is done hands its turn over, and `running` stays as it is.
    if (running >= max) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    try {
      return await hashOne()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}

function verify(given: { readonly hash: string; readonly password: string }): Promise<boolean> {
  return verifyPassword({ ...given })
}
