/** How many tries beyond the first there may be: a share of the requests of the last seconds, so that who is down is not asked thrice as much. */

const WINDOW_S = 10
/** Where hardly anything is asked, a share of it would be nothing. */
const FLOOR_PER_S = 3

export class RetryBudget {
  /** Of each second of the window, the one under way last. */
  readonly #requests = new Array<number>(WINDOW_S).fill(0)
  readonly #retries = new Array<number>(WINDOW_S).fill(0)
  #requestsSeen = 0

  /** Once a second, with all requests so far. */
  tick(requests: number): void {
    this.#requests[WINDOW_S - 1] = requests - this.#requestsSeen
    this.#requests.shift()
    this.#requests.push(0)
    this.#retries.shift()
    this.#retries.push(0)
    this.#requestsSeen = requests
  }

  /** Takes one if it is there. `requests` are all of them so far. */
  take(percentMax: number, requests: number): boolean {
    if (percentMax === 0) return false
    this.#requests[WINDOW_S - 1] = requests - this.#requestsSeen
    const allowed = (sum(this.#requests) * percentMax) / 100 + FLOOR_PER_S * WINDOW_S
    if (sum(this.#retries) >= allowed) return false
    this.#retries[WINDOW_S - 1]! += 1
    return true
  }
}

function sum(numbers: readonly number[]): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}
