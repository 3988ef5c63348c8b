/** Which of several servers is asked: of two drawn by weight, the one with less to do (the power of two choices). */

/** What is known of a server. */
export interface Loaded {
  readonly weight: number
  readonly underWay: number
}

/** Never null unless there is none. `random` yields numbers from 0 up to 1. */
export function leastLoadedOfTwo<T extends Loaded>(servers: readonly T[], random: () => number): T | null {
  const first = drawn(servers, null, random)
  if (first === null || servers.length === 1) return first
  const second = drawn(servers, first, random)!
  // On a tie the one drawn first, so that servers with nothing to do get their shares too.
  return second.underWay * first.weight < first.underWay * second.weight ? second : first
}

/** One of all but `except`, each as likely as its weight says. */
function drawn<T extends Loaded>(servers: readonly T[], except: T | null, random: () => number): T | null {
  let total = 0
  for (const server of servers) if (server !== except) total += server.weight
  let left = random() * total
  let last: T | null = null
  for (const server of servers) {
    if (server === except) continue
    last = server
    left -= server.weight
    if (left < 0) break
  }
  return last
}
