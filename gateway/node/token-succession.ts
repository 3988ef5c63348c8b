/** The issuers in force. A reload may bring others, which take over those whose entries are the same. */

import type { Config } from './config-file.ts'
import type { OpenTokens } from './token-issuers.ts'

export interface TokenSuccession {
  readonly current: OpenTokens
  /** Opens the issuers of another policy; the same as now where `tokens` is the same. Rejects when they cannot be. */
  prepare(tokens: Config['tokens']): Promise<OpenTokens>
  /** Of `prepare`. Nothing else is current from here on; a decision under way may still ask those before. */
  succeed(next: OpenTokens): void
  close(): Promise<void>
}

export async function tokenSuccession(
  tokens: Config['tokens'],
  open: (tokens: Config['tokens'], before: OpenTokens | null) => Promise<OpenTokens>,
): Promise<TokenSuccession> {
  const texts = new WeakMap<OpenTokens, string>()
  const openNamed = async (wanted: Config['tokens'], before: OpenTokens | null): Promise<OpenTokens> => {
    const opened = await open(wanted, before)
    texts.set(opened, JSON.stringify(wanted))
    return opened
  }
  let current = await openNamed(tokens, null)
  return {
    get current() {
      return current
    },
    async prepare(wanted) {
      return texts.get(current) === JSON.stringify(wanted) ? current : openNamed(wanted, current)
    },
    succeed(next) {
      if (next === current) return
      const before = current
      current = next
      before.retire(next)
    },
    close: () => current.close(),
  }
}
