/** What the endpoints are given by the runtime that serves them; null stands for what a runtime does not have. */

import type { IdentityProvider, Sealer, SessionSource } from '../ports.ts'

export interface EndpointDeps {
  /** The public URL's scheme and authority, without a trailing slash. */
  readonly origin: string
  /** Name of our session cookie, as in `AdmissionRules`. */
  readonly sessionCookieName: string
  readonly provider: IdentityProvider | null
  readonly sessions: SessionSource | null
  readonly sealer: Sealer | null
  nowMs(): number
  /** The process was told to end, so it is not ready for more. */
  isEnding?(): boolean
  /** Takes bugs and outages. Never given a secret. */
  log(error: unknown): void
}

/** Where people can sign in, all three are there; elsewhere the pages do not exist. */
export interface PageDeps extends EndpointDeps {
  readonly provider: IdentityProvider
  readonly sessions: SessionSource
  readonly sealer: Sealer
}

export function hasPages(deps: EndpointDeps): deps is PageDeps {
  return deps.provider !== null && deps.sessions !== null && deps.sealer !== null
}

/** The public authority, as people know the site. */
export function hostOf(deps: EndpointDeps): string {
  return new URL(deps.origin).host
}
