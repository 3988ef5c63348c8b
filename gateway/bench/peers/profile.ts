/** A profile of V8, summed up by file and by function. */

import type { CpuProfile, HeapNode } from './inspector.ts'

export interface Share {
  readonly name: string
  /** Microseconds, or bytes. */
  readonly amount: number
}

export interface Summary {
  readonly total: number
  /** The most first. */
  readonly byFile: readonly Share[]
  readonly byFunction: readonly Share[]
}

interface Place {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
}

/** Idle time is left out; what the engine does itself, such as collecting garbage, stands in brackets. */
export function timesOf({ nodes, samples, timeDeltas }: CpuProfile): Summary {
  const places = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const sum = summary()
  for (const [at, id] of samples.entries()) {
    const place = places.get(id)!
    if (place.functionName !== '(idle)') sum.add(place, timeDeltas[at]!)
  }
  return sum.read()
}

export function allocationsOf(head: HeapNode): Summary {
  const sum = summary()
  // What the engine does is done for somebody.
  const walk = ({ callFrame, selfSize, children }: HeapNode, caller: Place): void => {
    const { functionName, url } = callFrame
    const place =
      url === ''
        ? { ...caller, functionName: `${functionName || '(anonymous)'} for ${caller.functionName}` }
        : callFrame
    sum.add(place, selfSize)
    for (const child of children) walk(child, url === '' ? caller : callFrame)
  }
  walk(head, head.callFrame)
  return sum.read()
}

function summary() {
  const byFile = new Map<string, number>()
  const byFunction = new Map<string, number>()
  let total = 0
  const sorted = (amounts: ReadonlyMap<string, number>): readonly Share[] =>
    [...amounts].map(([name, amount]) => ({ name, amount })).sort((a, b) => b.amount - a.amount)
  return {
    add({ functionName, url, lineNumber }: Place, amount: number): void {
      const file = shortOf(url) || `in the engine: ${functionName || '(anonymous)'}`
      const name = url === '' ? file : `${functionName || '(anonymous)'} ${file}:${lineNumber + 1}`
      byFile.set(file, (byFile.get(file) ?? 0) + amount)
      byFunction.set(name, (byFunction.get(name) ?? 0) + amount)
      total += amount
    },
    read: (): Summary => ({ total, byFile: sorted(byFile), byFunction: sorted(byFunction) }),
  }
}

/** `gateway/pipeline.ts`, `undici`, `node:http`. */
function shortOf(url: string): string {
  const installed = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)
  if (installed !== null) return installed[1]!
  const ours = url.lastIndexOf('/gateway/')
  return ours < 0 ? url : url.slice(ours + 1)
}
