/** That this process was told to end, for all who do something else from then on: readiness, answers, streams. */

export interface Ending {
  readonly isBegun: boolean
  begin(): void
  /** Called once, when it begins. */
  onBegin(listener: () => void): void
}

export function ending(): Ending {
  const listeners = new Set<() => void>()
  let isBegun = false
  return {
    get isBegun() {
      return isBegun
    },
    begin() {
      if (isBegun) return
      isBegun = true
      for (const listener of listeners) listener()
    },
    onBegin: (listener) => void listeners.add(listener),
  }
}
