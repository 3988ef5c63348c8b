/**
 * The scenario table: requests, what is decided, and what the upstream then sees. The same rows run on the core alone,
 * on Node and in workerd; a row that only one runtime can be asked says so and why.
 */

export type Person = 'nobody' | 'reader' | 'admin'
export type Runner = 'core' | 'node' | 'h2' | 'workerd'

export interface Scenario {
  readonly title: string
  readonly method?: string
  readonly target: string
  readonly headers?: readonly string[]
  readonly body?: string
  /** Presents this person's bearer token. */
  readonly as?: Person
  /** `forward` is answered by the upstream with 200; a number is the status of the gateway's own answer. */
  readonly expect: 'forward' | number
  readonly code?: string
  /** Field values the upstream must see, by lower-case name; null: it must not see the field. `{id}` and `{email}` are the person's. */
  readonly upstream?: Readonly<Record<string, string | null>>
  /** Text that must appear nowhere in what the upstream sees. */
  readonly never?: string
  /** Runners that cannot be asked, for the reason given. */
  readonly except?: Readonly<Partial<Record<Runner, string>>>
}

const NORMALIZED = { workerd: 'the runtime resolves dot segments and backslashes before a Worker runs' } as const
const RAW = { workerd: 'the runtime refuses or repairs such bytes before a Worker runs' } as const

/** The policy of every row: the demo's routes. `UPSTREAM` and `ORIGIN` are replaced by the runner. */
export const SCENARIO_POLICY = `
version: 1
origin: ORIGIN
listen: 127.0.0.1:0
login: { signup: open, allowUnverifiedEmail: true }
upstreams:
  books: { url: UPSTREAM, assertion: false }
defaults: { body: 64KiB, timeout: 5s }
routes:
  /**: { to: books, access: optional }
  /api/**: { access: deny }
  /api/health: { to: books, access: public }
  /api/books/**: { to: books, access: { read: public, write: { role: editor } } }
  /api/whoami: { to: books, access: login }
  /api/echo/**: { to: books, access: { GET: login } }
  /api/users/:user/tasks/**: { to: books, access: { when: "params.user == user.id" } }
  /api/admin/**: { to: books, access: { role: admin } }
`

const FORGED = 'forged-4711'

export const SCENARIOS: readonly Scenario[] = [
  { title: 'a public route needs nobody', target: '/api/health', expect: 'forward' },
  {
    title: 'a public route hides who somebody is',
    target: '/api/books',
    as: 'reader',
    expect: 'forward',
    upstream: { 'x-forwarded-user': null, authorization: null },
  },
  { title: 'a login route refuses nobody', target: '/api/whoami', expect: 401, code: 'login-required' },
  {
    title: 'a login route tells the upstream who somebody is',
    target: '/api/whoami?x=1',
    as: 'reader',
    expect: 'forward',
    upstream: {
      'x-forwarded-user': '{id}',
      'x-forwarded-email': '{email}',
      'x-forwarded-preferred-username': '{email}',
      authorization: null,
    },
  },
  {
    title: 'groups are the roles',
    target: '/api/whoami',
    as: 'admin',
    expect: 'forward',
    upstream: { 'x-forwarded-groups': 'admin,editor' },
  },
  {
    title: 'an unlisted API path does not exist',
    target: '/api/unlisted',
    as: 'admin',
    expect: 404,
    code: 'not-found',
  },
  { title: 'a role that is missing is 403', target: '/api/admin/stats', as: 'reader', expect: 403, code: 'forbidden' },
  { title: 'a role that is there is let in', target: '/api/admin/stats', as: 'admin', expect: 'forward' },
  {
    title: 'reading is public where writing is not',
    method: 'POST',
    target: '/api/books',
    body: '{}',
    expect: 401,
    code: 'login-required',
  },
  {
    title: 'writing without the role is 403',
    method: 'POST',
    target: '/api/books',
    body: '{}',
    as: 'reader',
    expect: 403,
    code: 'forbidden',
  },
  {
    title: 'a method nobody listed is 405 to who may use another',
    method: 'DELETE',
    target: '/api/echo/x',
    as: 'reader',
    expect: 405,
    code: 'method-not-allowed',
  },
  {
    title: 'a method nobody listed is 404 to who may use none',
    method: 'DELETE',
    target: '/api/echo/x',
    expect: 404,
    code: 'not-found',
  },
  { title: 'each to their own: mine', target: '/api/users/{id}/tasks', as: 'reader', expect: 'forward' },
  {
    title: 'each to their own: not another’s',
    target: '/api/users/somebody/tasks',
    as: 'reader',
    expect: 403,
    code: 'forbidden',
  },
  {
    title: 'an optional route lets nobody in as nobody',
    target: '/welcome',
    expect: 'forward',
    upstream: { 'x-forwarded-user': null },
  },
  {
    title: 'an optional route knows who is there',
    target: '/welcome',
    as: 'reader',
    expect: 'forward',
    upstream: { 'x-forwarded-user': '{id}' },
  },
  {
    title: 'an optional route refuses a bad credential',
    target: '/welcome',
    headers: ['Authorization', 'Bearer nonsense'],
    expect: 401,
    code: 'invalid-token',
  },
  {
    title: 'another scheme is a bad credential',
    target: '/welcome',
    headers: ['Authorization', 'Basic dTpw'],
    expect: 401,
    code: 'invalid-token',
  },
  {
    title: 'two Authorization fields are refused',
    target: '/api/whoami',
    headers: ['Authorization', 'Bearer a', 'Authorization', 'Bearer b'],
    expect: 400,
    code: 'ambiguous-credentials',
    except: { workerd: 'the runtime joins duplicate fields; the joined value is refused as a malformed token' },
  },
  {
    title: 'a dot segment is refused',
    target: '/public/../api/admin/stats',
    expect: 400,
    code: 'malformed-target',
    except: NORMALIZED,
  },
  {
    title: 'an encoded dot segment is refused',
    target: '/public/%2e%2e/api/admin/stats',
    expect: 400,
    code: 'malformed-target',
    except: NORMALIZED,
  },
  {
    title: 'an encoded slash is refused',
    target: '/public/..%2fapi/admin/stats',
    expect: 400,
    code: 'malformed-target',
  },
  { title: 'an encoded backslash is refused', target: '/public%5c..%5capi', expect: 400, code: 'malformed-target' },
  { title: 'an encoded NUL is refused', target: '/public/%00', expect: 400, code: 'malformed-target' },
  { title: 'a broken escape is refused', target: '/public/%zz', expect: 400, code: 'malformed-target' },
  {
    title: 'a doubled slash that hides another route is refused',
    target: '//api/admin/stats',
    expect: 400,
    code: 'ambiguous-target',
  },
  {
    title: 'upper case that hides another route is refused',
    target: '/API/admin/stats',
    expect: 400,
    code: 'ambiguous-target',
  },
  {
    title: 'a path parameter that hides another route is refused',
    target: '/api/admin;a=1/stats',
    expect: 400,
    code: 'ambiguous-target',
  },
  {
    title: 'a double escape that hides another route is refused',
    target: '/%2561pi/admin/stats',
    expect: 400,
    code: 'ambiguous-target',
  },
  {
    title: 'a trailing dot that hides another route is refused',
    target: '/api./admin/stats',
    expect: 400,
    code: 'ambiguous-target',
  },
  {
    title: 'an unreserved escape is decoded, matched and forwarded decoded',
    target: '/api/he%61lth',
    expect: 'forward',
  },
  { title: 'an escape does not hide an own path', target: '/api/%61uth/ok-not-listed', expect: 404, code: 'not-found' },
  {
    title: 'a doubled slash does not hide an own path',
    target: '//api/auth/get-session',
    expect: 400,
    code: 'ambiguous-target',
  },
  {
    title: 'upper case does not hide an own path',
    target: '/API/auth/get-session',
    expect: 400,
    code: 'ambiguous-target',
  },
  {
    title: 'TRACE is refused',
    method: 'TRACE',
    target: '/api/health',
    expect: 405,
    code: 'method-not-allowed',
    except: { node: 'see the raw-socket tests: clients of this runner cannot send it', workerd: 'see node' },
  },
  {
    title: 'another host is not served',
    target: '/api/health',
    headers: ['Host', 'evil.example'],
    expect: 421,
    code: 'misdirected-request',
    except: RAW,
  },
  {
    title: 'a body too large is refused',
    method: 'POST',
    target: '/welcome',
    body: 'x'.repeat(70_000),
    expect: 413,
    code: 'content-too-large',
  },
  ...[
    'X-Forwarded-User',
    'X_Forwarded_User',
    'x-forwarded-USER',
    'X.Forwarded.User',
    'Remote-User',
    'X-WEBAUTH-USER',
    'X-Remote-Extra-Scopes',
    'X-Postern-Assertion',
    'Cf-Access-Jwt-Assertion',
    'X-Original-URL',
    'X-HTTP-Method-Override',
    'X-Middleware-Subrequest',
  ].flatMap((name): Scenario[] => [
    {
      title: `a forged ${name} is gone from a public route`,
      target: '/api/books',
      headers: [name, FORGED],
      expect: 'forward',
      never: FORGED,
    },
    {
      title: `a forged ${name} is gone from a login route`,
      target: '/api/whoami',
      headers: [name, FORGED],
      as: 'reader',
      expect: 'forward',
      never: FORGED,
    },
  ]),
  {
    title: 'Connection cannot nominate our identity away',
    target: '/api/whoami',
    headers: ['Connection', 'x-forwarded-user, close'],
    as: 'reader',
    expect: 'forward',
    upstream: { 'x-forwarded-user': '{id}' },
    except: {
      node: 'see the raw-socket tests',
      h2: 'a request with such a field is malformed, and its stream is reset',
      workerd: 'the client of this runner sets Connection itself',
    },
  },
]
