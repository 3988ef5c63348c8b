/** The gateway on Node, between raw sockets and an upstream made of bytes. */

import { afterAll, beforeAll } from 'vitest'
import { OPEN_POLICY, signIn, startTestGateway, type TestGateway } from '../../support/gateway.ts'
import { ROLES } from '../people.ts'
import { type RawUpstream, startRawUpstream } from './raw-upstream.ts'
import type { HttpRuntime } from './run.ts'
import { withWire } from './table.ts'

/** Started before the rows of the file that asks for it, and closed behind them. */
export function nodeRuntime(): () => HttpRuntime {
  let upstream: RawUpstream
  let gateway: TestGateway
  let runtime: HttpRuntime

  beforeAll(async () => {
    upstream = await startRawUpstream()
    const policy = withWire(OPEN_POLICY).replace('WIRE', upstream.url)
    gateway = await startTestGateway({ policy, upstreamUrl: upstream.url })
    const { token } = await signIn(gateway, 'reader@example.com', ROLES.reader)
    runtime = { url: gateway.url, origin: gateway.origin, token, upstream }
  })

  afterAll(async () => {
    await gateway?.close()
    upstream?.close()
  })

  return () => runtime
}
