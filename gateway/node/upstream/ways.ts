/**
 * How the servers of an upstream are spoken to, where its URL does not say it all. Kept beside the upstream and not in it: keys
 * are nobody else's to see.
 */

import type { Upstream } from '../../rules.ts'
import type { ServerWay } from '../tls-files.ts'

const ways = new WeakMap<Upstream, ServerWay>()

const USUAL: ServerWay = Object.freeze({ ca: null, certificate: null, serverName: null, isHttp2: false })

export function setWay(upstream: Upstream, way: ServerWay): void {
  ways.set(upstream, way)
}

export function wayOf(upstream: Upstream): ServerWay {
  return ways.get(upstream) ?? USUAL
}
