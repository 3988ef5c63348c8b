/** Waits for what another process or socket is about to do: a condition, never a length of time. */

const WAIT_MS = 5_000
const POLL_MS = 5

export async function until(isTrue: () => boolean, what: string): Promise<void> {
  const endsAtMs = performance.now() + WAIT_MS
  while (!isTrue()) {
    if (performance.now() > endsAtMs) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}
