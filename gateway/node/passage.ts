/** One direction between two sockets, chunk by chunk: what may not pass yet waits, and its sender with it. */

import type { Socket } from 'node:net'

export class Passage {
  readonly #from: Socket
  readonly #to: Socket
  readonly #mayPass: () => boolean
  readonly #onPass: (chunk: Buffer) => void
  #held: Buffer | null = null

  /** `onPass` hears of each chunk in the turn in which it is passed on. */
  constructor(from: Socket, to: Socket, mayPass: () => boolean, onPass: (chunk: Buffer) => void) {
    this.#from = from
    this.#to = to
    this.#mayPass = mayPass
    this.#onPass = onPass
    from.on('data', this.#take).on('end', this.#end)
    to.on('drain', this.#resume)
    from.resume()
  }

  /** What waits may be asked about again. */
  flow(): void {
    const chunk = this.#held
    if (chunk === null) return
    this.#held = null
    this.#take(chunk)
    this.#resume()
  }

  /** Passes nothing on any more. What waits is read again by whoever listens next. */
  stop(): void {
    this.#from.off('data', this.#take).off('end', this.#end)
    this.#to.off('drain', this.#resume)
    this.#from.pause()
    if (this.#held !== null) this.#from.unshift(this.#held)
    this.#held = null
  }

  readonly #take = (chunk: Buffer): void => {
    if (!this.#mayPass()) {
      this.#held = chunk
      this.#from.pause()
      return
    }
    this.#onPass(chunk)
    if (!this.#to.write(chunk)) this.#from.pause()
  }

  /** A socket that stands still does not tell its end, so nothing waits here. */
  readonly #end = (): void => {
    this.#to.end()
  }

  readonly #resume = (): void => {
    if (this.#held === null && !this.#to.writableNeedDrain) this.#from.resume()
  }
}
