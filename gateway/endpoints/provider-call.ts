/** Asks the identity provider on behalf of a form: the same endpoints, limits and checks as its own clients meet, with nothing added. */

import type { PageDeps } from './deps.ts'

export interface ProviderAnswer {
  readonly status: number
  /** The provider's own name for what went wrong, or null. */
  readonly code: string | null
  /** The body as parsed JSON; null when there is none. Judge it with a schema. */
  readonly body: unknown
  readonly setCookies: readonly string[]
  readonly retryAfterS: number | null
  /** Value of Postern-Revocation: how soon every node has heard of what was revoked. Null when they all have. */
  readonly revocation: string | null
}

/** Field lines of the visitor's request that the provider needs to judge it: who asks, from where, with what. */
const CARRIED = ['cookie', 'user-agent', 'x-postern-client-ip', 'x-request-id']

export async function askProvider(
  deps: PageDeps,
  request: Request,
  method: 'GET' | 'POST',
  path: string,
  body: object | null = null,
): Promise<ProviderAnswer> {
  const headers = new Headers({ accept: 'application/json', origin: deps.origin })
  for (const name of CARRIED) {
    const value = request.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  if (method === 'POST') headers.set('content-type', 'application/json')
  const response = await deps.provider.handle(
    new Request(`${deps.origin}/api/auth${path}`, {
      method,
      headers,
      ...(method === 'POST' ? { body: JSON.stringify(body ?? {}) } : {}),
    }),
  )
  const parsed = parseJson(await response.text())
  if (response.status >= 500) deps.log(new Error(`identity provider: ${method} ${path} answered ${response.status}`))
  return {
    status: response.status,
    code: codeOf(parsed),
    body: parsed,
    setCookies: response.headers.getSetCookie(),
    retryAfterS: seconds(response.headers.get('retry-after') ?? response.headers.get('x-retry-after')),
    revocation: response.headers.get('postern-revocation'),
  }
}

/** The page after it says so too. */
export function withRevocation(response: Response, { revocation }: ProviderAnswer): Response {
  if (revocation !== null) response.headers.set('postern-revocation', revocation)
  return response
}

export function isDone(answer: ProviderAnswer): boolean {
  return answer.status >= 200 && answer.status < 300
}

/** What to say when the failure has nothing to do with what was typed; null when it has. */
export function outageOf(answer: ProviderAnswer): { readonly status: number; readonly alert: string } | null {
  if (answer.status === 429) {
    return { status: 429, alert: `Too many attempts. Wait ${waitText(answer.retryAfterS)} and try again.` }
  }
  if (answer.status >= 500) return { status: 503, alert: 'That does not work right now. Try again in a moment.' }
  return null
}

function waitText(retryAfterS: number | null): string {
  if (retryAfterS === null) return 'a little'
  if (retryAfterS > 90) return `${Math.ceil(retryAfterS / 60)} minutes`
  return `${retryAfterS} second${retryAfterS === 1 ? '' : 's'}`
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function codeOf(body: unknown): string | null {
  if (typeof body !== 'object' || body === null || !('code' in body)) return null
  return typeof body.code === 'string' ? body.code : null
}

function seconds(text: string | null): number | null {
  return text !== null && /^\d{1,6}$/.test(text) ? Math.max(1, Number(text)) : null
}
