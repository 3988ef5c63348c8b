/** The table of HTTP on Node, with undici towards the upstream, which is the way to servers that speak TLS. */

import { vi } from 'vitest'
import { nodeRuntime } from '../scenario/http/node-runtime.ts'
import { runHttpRows } from '../scenario/http/run.ts'

vi.mock(import('../../node/upstream/open-transport.ts'), async (original) => {
  const { openTransport, ...rest } = await original()
  return {
    ...rest,
    openTransport: (upstream, origin, options) => openTransport(upstream, origin, { ...options, isClientOurs: false }),
  }
})

runHttpRows('undici', nodeRuntime())
