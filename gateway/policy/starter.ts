/** The first policy of somebody new: commented, strict, and with tests that it passes. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

export const STARTER_ACCESS = ['login', 'read', 'public'] as const

export interface StarterAnswers {
  /** The URL people will use. */
  readonly origin: string
  /** Where the backend listens. */
  readonly upstream: string
  /** Everything needs a sign-in; everybody reads and who is signed in writes; or everything is open but /admin. */
  readonly access: (typeof STARTER_ACCESS)[number]
}

/** The text of a policy file. `origin` and `upstream` must be URLs; the schema judges them like anybody's. */
export function starterPolicy({ origin, upstream, access }: StarterAnswers): string {
  const isHttps = origin.startsWith('https:')
  return `# yaml-language-server: $schema=./gateway.schema.json
#
# Who may do what in front of one backend. A path that no route names does not exist.
#   postern check FILE      every mistake at once, with its line and its cure
#   postern test FILE       the tests below
#   postern explain GET /admin --as alice
#   postern serve --config FILE

version: 1

# The URL people use. Cookies, redirects and the defence against cross-site requests follow from it.
origin: ${origin}
listen: ${isHttps ? '0.0.0.0:8080' : listenOf(origin)}
${
  isHttps
    ? `
# The proxy in front that ends TLS: only what it says of client addresses is believed.
trust: [127.0.0.1/32]

# Make the secret with \`postern secret\`.
store: { secret: "\${env:POSTERN_SECRET}" }
`
    : ''
}
# Accounts are made by an admin: \`postern admin create\` makes the first.
login: { signup: invite }

# The backend reads X-Forwarded-User and its kin, and must be reachable through the gateway only.
upstreams:
  app: ${upstream}

defaults:
  limit: 300/min per ip

# The most specific pattern wins, in whatever order they stand.
routes:
  ${ROUTES[access]}
  /admin/**: { to: app, access: { role: admin } }

# Nobody signs in as these: they are for the tests, and for \`postern explain --as\`.
people:
  alice: { id: u_1, email: alice@example.com, roles: [user] }
  root: { id: u_2, email: root@example.com, roles: [admin] }

# What must stay true, whoever edits this file.
tests:
${TESTS[access].map((line) => `  - ${line}`).join('\n')}
  - { GET: /admin/users, as: nobody, expect: 401 }
  - { GET: /admin/users, as: alice, expect: 403 }
  - { GET: /admin/users, as: root, expect: allow, upstream: { X-Forwarded-User: u_2 } }
  - { GET: /x/..%2fadmin, as: nobody, expect: 400 }
`
}

const ROUTES = {
  login: '/**: { to: app, access: login }',
  read: '/**: { to: app, access: { read: public, write: login } }',
  public: '/**: { to: app, access: public }',
} as const

const TESTS = {
  login: [
    '{ GET: /, as: nobody, expect: 401 }',
    '{ GET: /, as: alice, expect: allow, upstream: { X-Forwarded-User: u_1 } }',
  ],
  read: [
    '{ GET: /, as: nobody, expect: allow, upstream: { X-Forwarded-User: null } }',
    '{ POST: /, as: nobody, expect: 401 }',
    '{ POST: /, as: alice, expect: allow, upstream: { X-Forwarded-User: u_1 } }',
  ],
  public: ['{ GET: /, as: nobody, expect: allow, upstream: { X-Forwarded-User: null } }'],
} as const

function listenOf(origin: string): string {
  const url = URL.parse(origin)
  return `127.0.0.1:${url === null || url.port === '' ? '8080' : url.port}`
}
