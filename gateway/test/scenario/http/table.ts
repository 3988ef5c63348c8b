/**
 * HTTP to the letter: what a client sends, what an upstream does, and what both ends then see, in bytes. The same rows run on
 * every transport and runtime. A row that one of them cannot be asked says why; where one differs, both outcomes are safe and
 * the row says how and why.
 */

export type HttpRunner = 'undici' | 'own-client' | 'workerd' | 'h2'

/** One request, written out by the runner in its own version of HTTP. */
export interface Asked {
  /** Default GET. */
  readonly method?: string
  /** Default `/wire/a`. */
  readonly target?: string
  /** Lines beside Host. */
  readonly fields?: readonly string[]
  /** A list is sent in as many chunks, without a length. */
  readonly body?: string | readonly string[]
  /** Behind a body in chunks. */
  readonly trailers?: readonly string[]
}

/** Bytes as they stand, a wait for what the upstream or the client itself has received, or the end of the client's side. */
export type ClientStep =
  | string
  | { readonly upstream: string }
  | { readonly client: string }
  | { readonly openAtUpstream: number }
  | { readonly drip: string }
  | 'end'
  | 'reset'

/** Bytes as they stand, `whole`: wait for the whole request, a wait for what the client has received, or an end. */
export type UpstreamStep =
  | string
  | 'whole'
  | 'close'
  | 'reset'
  | { readonly client: string }
  | { readonly drip: string }
/** A text is sent when the request is whole; steps begin with its head. */
export type AnswerScript = string | readonly UpstreamStep[]

/** What one answer must be; what is not named does not matter. */
export interface ExpectedAnswer {
  readonly status: number
  readonly body?: string
  /** Lines it has, names in lower case; a value `*` stands for any. */
  readonly has?: readonly string[]
  /** Names it has not. */
  readonly lacks?: readonly string[]
  readonly trailers?: readonly string[]
  /** Status of each 1xx before it. */
  readonly interims?: readonly number[]
}

export interface ExpectedRequest {
  /** Method and target. */
  readonly line: string
  readonly body?: string
  readonly has?: readonly string[]
  readonly lacks?: readonly string[]
  readonly trailers?: readonly string[]
}

export interface Expected {
  /** In order, and no others. */
  readonly answers: readonly ExpectedAnswer[]
  /**
   * Of the client's connection. `open`: one more request on it is answered as ever. `torn`: closed in the middle of an answer
   * that does not look complete. `gone`: the client left.
   */
  readonly end: 'open' | 'closed' | 'torn' | 'reset' | 'gone'
  /** Whole requests, and no others. None: not a byte reached the upstream. */
  readonly upstream: readonly ExpectedRequest[]
  /** The last of them may have come up to three times: nothing came back, and it changes nothing. */
  readonly isRetried?: boolean
  /** What may have come of a request that was never completed. */
  readonly partial?: RegExp
  /** No connection of the row is left for the next request. */
  readonly isUpstreamClosed?: boolean
  /** Text that neither end ever sees. */
  readonly never?: readonly string[]
}

export interface HttpRow {
  /** Names the row wherever it is spoken of. */
  readonly id: string
  readonly title: string
  /** `HOST`, `ORIGIN` and `TOKEN` are replaced. Requests are sent one behind the other without waiting. Bytes are those of HTTP/1.1: HTTP/2 cannot be asked such a row. */
  readonly ask:
    | Asked
    | readonly Asked[]
    | { readonly bytes: readonly ClientStep[]; readonly methods?: readonly string[] }
  /** Default: 200 with `ok`. */
  readonly upstream?: readonly AnswerScript[]
  readonly expect: Expected
  /** Another outcome, safe as well. */
  readonly differs?: Readonly<Partial<Record<HttpRunner, Partial<Expected> & { readonly because: string }>>>
  /** Cannot be asked, for the reason given. */
  readonly except?: Readonly<Partial<Record<HttpRunner, string>>>
}

/** Added to a policy: the upstream of the rows and its routes. `WIRE` is replaced by the runner. */
export function withWire(policy: string): string {
  return `${policy.replace('upstreams:\n', 'upstreams:\n  wire: { url: WIRE, assertion: false }\n')}${ROUTES}`
}

const ROUTES = `  /wire/**: { to: wire, access: public, body: 16MiB }
  /wire/login: { to: wire, access: login }
  /wire/role: { to: wire, access: { role: nobody-has-it } }
  /wire/small: { to: wire, access: public, body: 1KiB }
  /wire/methods: { to: wire, access: { GET: public, PURGE: public } }
  /wire/socket: { to: wire, access: login }
  /wire/slow: { to: wire, access: public, timeout: 1s }
  /wire/edited: { to: wire, access: public, headers: { response: { remove: [Link, X-Sum] } } }
`

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
export const OK_SEEN: ExpectedAnswer = { status: 200, body: 'ok' }
