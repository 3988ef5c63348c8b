/** Says the same thing once in a while instead of at every request: an outage is one fact, not a flood of lines. */

const REPEAT_AFTER_MS = 10_000
const MESSAGES_MAX = 100

export function quietLog(log: (error: unknown) => void, nowMs: () => number): (error: unknown) => void {
  const saidAtMs = new Map<string, number>()
  return (error) => {
    const message = error instanceof Error ? error.message : String(error)
    const atMs = nowMs()
    const before = saidAtMs.get(message)
    if (before !== undefined && Math.abs(atMs - before) < REPEAT_AFTER_MS) return
    if (saidAtMs.size >= MESSAGES_MAX) saidAtMs.clear()
    saidAtMs.set(message, atMs)
    log(error)
  }
}
