/** V8's own instruments, by the inspector's protocol: where time goes, and where memory is taken. */

import { once } from 'node:events'

export interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

export interface HeapNode {
  readonly callFrame: CallFrame
  readonly selfSize: number
  readonly children: readonly HeapNode[]
}

interface CallFrame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
}

export interface Inspector {
  profileCpu(during: () => Promise<void>): Promise<CpuProfile>
  /** What was taken, whether or not it was still in use at the end. */
  profileMemory(during: () => Promise<void>): Promise<HeapNode>
  close(): void
}

const SAMPLE_US = 500
const SAMPLE_BYTES = 16_384

/** Of a process started with `--inspect` on this port of loopback. */
export async function openInspector(port: number): Promise<Inspector> {
  const listed = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as [
    { webSocketDebuggerUrl: string },
  ]
  const socket = new WebSocket(listed[0].webSocketDebuggerUrl)
  await once(socket, 'open')
  const waiting = new Map<number, (result: unknown) => void>()
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id?: number; result?: unknown }
    if (id === undefined) return
    waiting.get(id)?.(result)
    waiting.delete(id)
  })
  let asked = 0
  const ask = (method: string, params: object = {}): Promise<unknown> =>
    new Promise((resolve) => {
      waiting.set(++asked, resolve)
      socket.send(JSON.stringify({ id: asked, method, params }))
    })
  return {
    async profileCpu(during) {
      await ask('Profiler.enable')
      await ask('Profiler.setSamplingInterval', { interval: SAMPLE_US })
      await ask('Profiler.start')
      await during()
      return ((await ask('Profiler.stop')) as { profile: CpuProfile }).profile
    },
    async profileMemory(during) {
      const collected = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true }
      await ask('HeapProfiler.startSampling', { samplingInterval: SAMPLE_BYTES, ...collected })
      await during()
      return ((await ask('HeapProfiler.stopSampling')) as { profile: { head: HeapNode } }).profile.head
    },
    close: () => socket.close(),
  }
}
