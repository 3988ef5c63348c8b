/** Which of an upstream's servers is asked: each in proportion to its weight, spread evenly (smooth weighted round robin). */

import type { Upstream, UpstreamServer } from '../rules.ts'

/** How far each server is behind its share; lives as long as the policy that names the servers. */
const debts = new WeakMap<Upstream, Int32Array>()

export function nextServer(upstream: Upstream): UpstreamServer {
  const { servers } = upstream
  if (servers.length === 1) return servers[0]!
  let debt = debts.get(upstream)
  if (debt === undefined) {
    debt = new Int32Array(servers.length)
    debts.set(upstream, debt)
  }
  let total = 0
  let next = 0
  for (let at = 0; at < servers.length; at += 1) {
    const { weight } = servers[at]!
    total += weight
    debt[at]! += weight
    if (debt[at]! > debt[next]!) next = at
  }
  debt[next]! -= total
  return servers[next]!
}
