/** A bound on waiting that a stalled process does not use up: after a stall, what has arrived meanwhile is read before it is given up. */

/** A timer that is overdue runs before the sockets are read; several in a row leave a turn of the loop between each two. */
const STEPS = 5

/** What `work` comes to, or `otherwise` when that takes longer. Rejects as `work` does. */
export function within<T, O>(work: Promise<T>, ms: number, otherwise: O): Promise<T | O> {
  return new Promise((resolve, reject) => {
    let left = STEPS
    let timer = setTimeout(step, ms / STEPS)
    function step(): void {
      left -= 1
      if (left === 0) resolve(otherwise)
      else timer = setTimeout(step, ms / STEPS)
    }
    work.then(
      (found) => {
        clearTimeout(timer)
        resolve(found)
      },
      (error: unknown) => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}
