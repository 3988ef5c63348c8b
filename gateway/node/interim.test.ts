/** Interim answers where a caller is in doubt. How they pass at all stands in the table of HTTP. */

import { expect, test } from 'vitest'
import type { ForwardPlan } from '../model.ts'
import type { Exchange } from './exchange.ts'
import type { InboundRequest, InboundResponse } from './inbound.ts'
import { Relay } from './relay.ts'

test('[FR-053] early hints wait as an answer does while it is in doubt whether their caller may have them', () => {
  const written: [number, string[]][] = []
  let mayPass = false
  const gateway = { upstreams: { of: () => ({}) }, exchanges: { mayPass: () => mayPass }, pressure: { limits: {} } }
  const response = {
    req: { httpVersion: '1.1' },
    socket: {},
    headersSent: false,
    destroyed: false,
    writeInformation: (status: number, lines: string[]) => written.push([status, lines]),
  }
  const relay = new Relay(
    { gateway } as unknown as Exchange,
    { route: { responseEdits: null } } as unknown as ForwardPlan,
    {} as InboundRequest,
    response as unknown as InboundResponse,
  )
  relay.onInterim(103, ['Link', '</a.css>; rel=preload'])
  expect(written).toEqual([])
  mayPass = true
  relay.flow()
  expect(written).toEqual([[103, ['Link', '</a.css>; rel=preload']]])
})
