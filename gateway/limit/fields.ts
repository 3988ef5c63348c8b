/** How much of each limit is left, as the client is told: RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers). */

import type { HeaderList } from '../model.ts'
import type { Demand, Standing } from '../ports.ts'
import type { Limit } from '../rules.ts'

/** Both fields, each on one line; `before` is what this function yielded for limits that were asked earlier. */
export function limitFields(
  demands: readonly Demand[],
  standings: readonly Standing[],
  before: HeaderList,
): HeaderList {
  const policies = demands.map(({ limit }) => policyOf(limit)).join(', ')
  const limits = demands.map(({ limit }, at) => stateOf(limit, standings[at]!)).join(', ')
  const [, policiesBefore, , limitsBefore] = before
  if (policiesBefore === undefined) return ['RateLimit-Policy', policies, 'RateLimit', limits]
  return ['RateLimit-Policy', `${policiesBefore}, ${policies}`, 'RateLimit', `${limitsBefore}, ${limits}`]
}

/** Texts of limits hold nothing that a String of RFC 9651 §3.3.3 would have to escape. */
function policyOf(limit: Limit): string {
  if (limit.kind === 'connections') return `"${limit.text}";q=${limit.max};qu="concurrent-requests"`
  const { burst, intervalMs } = limit.rule
  return `"${limit.text}";q=${burst};w=${Math.max(1, Math.round((burst * intervalMs) / 1000))}`
}

function stateOf({ text }: Limit, { left, resetMs }: Standing): string {
  return `"${text}";r=${left}${resetMs === null ? '' : `;t=${Math.ceil(resetMs / 1000)}`}`
}
