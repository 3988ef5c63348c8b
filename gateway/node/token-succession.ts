/** The issuers in force. A reload may bring others; those before are closed once no decision can still be asking them. */

import type { Config } from './config-file.ts'
import type { OpenTokens } from './token-issuers.ts'

export interface TokenSuccession {
  readonly current: OpenTokens
  /** Opens the issuers of another policy; the same as now where `tokens` is the same. Rejects when they cannot be. */
  prepare(tokens: Config['tokens']): Promise<OpenTokens>
  /** Of `prepare`. Nothing else is current from here on. */
  succeed(next: OpenTokens): void
  close(): Promise<void>
}

/** Longer than any decision takes: some seconds of asking an issuer, a few times over. */
const RETIRE_MS = 30_000

export async function tokenSuccession(
  tokens: Config['tokens'],
  open: (tokens: Config['tokens']) => Promise<OpenTokens>,
): Promise<TokenSuccession> {
  const texts = new WeakMap<OpenTokens, string>()
  const retired = new Map<OpenTokens, NodeJS.Timeout>()
  const openNamed = async (wanted: Config['tokens']): Promise<OpenTokens> => {
    const opened = await open(wanted)
    texts.set(opened, JSON.stringify(wanted))
    return opened
  }
  let current = await openNamed(tokens)
  return {
    get current() {
      return current
    },
    async prepare(wanted) {
      return texts.get(current) === JSON.stringify(wanted) ? current : openNamed(wanted)
    },
    succeed(next) {
      if (next === current) return
      const before = current
      current = next
      const retire = () => {
        retired.delete(before)
        void before.close()
      }
      retired.set(before, setTimeout(retire, RETIRE_MS).unref())
    },
    async close() {
      for (const timer of retired.values()) clearTimeout(timer)
      await Promise.all([current, ...retired.keys()].map((each) => each.close()))
    },
  }
}
