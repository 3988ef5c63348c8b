/** Several files, one policy: what may stand where, which file each place names, and what tools see of secrets they have not. */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

import { describe, expect, test } from 'vitest'
import { versionText } from './include.ts'
import { formatIssues, type ParseOptions, readPolicy } from './parse.ts'

const MAIN = `version: 1
origin: http://localhost:8080
include: ["routes/*.yaml"]
upstreams: { web: "http://127.0.0.1:9000" }
routes:
  /**: { to: web, access: login }
tests:
  - { GET: /, expect: 401 }
`
const BOOKS = `upstreams: { books: "http://127.0.0.1:9001" }
routes:
  /books/**: { to: books, access: public }
tests:
  - { GET: /books/1, expect: allow }
`

function optionsOf(files: Readonly<Record<string, string>>): ParseOptions {
  return {
    file: 'config/gateway.yaml',
    readEnv: () => undefined,
    readFile: (path) => {
      const text = files[path]
      if (text === undefined) throw new Error('no such file')
      return text
    },
    listFiles: (glob) => {
      const [before, after] = glob.split('*')
      return Object.keys(files).filter((name) => name.startsWith(before!) && name.endsWith(after ?? ''))
    },
  }
}

const hash = (text: string): string => text

function read(files: Readonly<Record<string, string>>, main = MAIN) {
  return readPolicy(main, optionsOf(files), hash)
}

function problems(files: Readonly<Record<string, string>>, main = MAIN): string {
  const found = read(files, main)
  return 'issues' in found ? formatIssues(found.issues) : ''
}

describe('include', () => {
  test('[FR-045] routes, upstreams and tests of several files are one policy, each at its own place', () => {
    const policy = read({ 'routes/books.yaml': BOOKS })
    if ('issues' in policy) throw new Error(formatIssues(policy.issues))
    const { snapshot, config } = policy
    expect(snapshot.routes.find('localhost:8080', '/books/1')?.route.place).toBe('routes/books.yaml:3')
    expect(snapshot.routes.find('localhost:8080', '/x')?.route.place).toBe('gateway.yaml:6')
    expect([...snapshot.upstreams.keys()]).toEqual(['web', 'books'])
    expect(config.tests.map((one) => one.GET)).toEqual(['/', '/books/1'])
    expect(policy.texts.map(({ name }) => name)).toEqual(['gateway.yaml', 'routes/books.yaml'])
  })

  const later = 'tests:\n  - { GET: /books/1, as: mallory, expect: allow }\n'
  const rows = [
    ['a test', { 'routes/a.yaml': BOOKS, 'routes/b.yaml': later }, 'config/routes/b.yaml:2:26  there is no person'],
    ['a mistake of YAML', { 'routes/a.yaml': 'routes:\n\t/a: {}\n' }, 'config/routes/a.yaml:2:1  not valid YAML'],
    ['an unknown key', { 'routes/a.yaml': 'routes:\n  /a: { too: web }\n' }, 'config/routes/a.yaml:2:9  unknown key'],
    [
      'a route of two files',
      { 'routes/a.yaml': 'routes: { /**: { to: web } }' },
      'config/routes/a.yaml:1:11  `/**` stands in two',
    ],
    [
      'an upstream of two files',
      { 'routes/a.yaml': 'upstreams: { web: "http://127.0.0.1:1" }' },
      'config/routes/a.yaml:1:14  `web` stands in two files, first at gateway.yaml:4',
    ],
    ['a setting of the whole', { 'routes/a.yaml': 'login: {}' }, '`login` does not stand in an included file'],
    ['an include in an include', { 'routes/a.yaml': 'include: [b.yaml]' }, 'an included file includes no others'],
    ['nothing at all', {}, 'config/gateway.yaml:3:11  no other file matches `routes/*.yaml`'],
    ['two patterns that overlap', { 'routes/a.yaml': overlapping() }, '(the other is at routes/a.yaml:3)'],
  ] as const
  for (const [title, files, message] of rows) {
    test(`[FR-045] ${title} is reported where it stands`, () => expect(problems(files)).toContain(message))
  }

  const outside = ['../x.yaml', 'a/../../x.yaml', '/etc/x.yaml', 'routes/*.json', 'a\\..\\b.yaml']
  for (const glob of outside) {
    test(`[FR-045] ${glob} is no path within the folder`, () => {
      const main = MAIN.replace('"routes/*.yaml"', `'${glob}'`)
      expect(problems({ [glob]: BOOKS }, main)).toContain('expected a path within this folder')
    })
  }

  test('[FR-045] the version is of every file and its name, in whatever order they are found', () => {
    const version = (files: Readonly<Record<string, string>>): string => {
      const policy = read(files)
      return 'issues' in policy ? '' : policy.snapshot.version
    }
    const other = 'routes: { /o: { to: web, access: login } }'
    const both = version({ 'routes/a.yaml': BOOKS, 'routes/b.yaml': other })
    expect(version({ 'routes/b.yaml': other, 'routes/a.yaml': BOOKS })).toBe(both)
    expect(version({ 'routes/b.yaml': other, 'routes/c.yaml': BOOKS })).not.toBe(both)
    expect(version({ 'routes/a.yaml': BOOKS, 'routes/b.yaml': `${other} ` })).not.toBe(both)
    expect(versionText([{ name: 'gateway.yaml', text: MAIN }])).toBe(MAIN)
  })

  test('[FR-045] all files together are bounded', () => {
    const long = `# ${'x'.repeat(4000)}\n`.repeat(600)
    expect(problems({ 'routes/a.yaml': long, 'routes/b.yaml': long })).toContain('larger than 4 MiB')
  })
})

function overlapping(): string {
  return 'routes:\n  /a/:x/c: { to: web, access: login }\n  /a/b/:y: { to: web, access: login }\n'
}

describe('all mistakes at once', () => {
  test('[FR-045] a misspelt word hides no mistake of meaning, and causes none', () => {
    const main = `version: 1
origin: http://localhost:8080
login: { singup: open }
tokens: { ci: { issuer: "https://ci.example.com", audience: a, claimz: { team: t } } }
upstreams: { web: "http://127.0.0.1:9000", api: { url: "http://127.0.0.1:9001", pahts: exact } }
routes:
  /a: { to: web, acess: login }
  /b: { to: nowhere, access: login }
  /c: { to: api, access: { claim: { team: x } } }
  /d: { to: web, access: login, limit: 3/s }
  /e/../f: { to: web, access: login }
people: { al: { role: x }, bo: { token: ci, sub: s } }
tests:
  - { GET: /a, as: nemo, expect: 401 }
`
    const found = problems({}, main)
    const lines = [...found.matchAll(/^config\/gateway\.yaml:(\d+):\d+ {2}(.*)$/gm)].map(
      ([, line, text]) => `${line} ${text}`,
    )
    expect(lines.map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual([
      '3 unknown key',
      '4 unknown key',
      '5 unknown key',
      '7 unknown key',
      '8 there is',
      '10 a limit',
      '11 `/e/../f` holds',
      '12 unknown key',
      '14 there is',
    ])
  })

  test('[FR-045] a value that is missing because its variable is unset is said once', () => {
    const found = problems({}, MAIN.replace('http://localhost:8080', '"${env:ORIGIN}"').replace(/^include.*\n/m, ''))
    expect(found).toContain('the variable ORIGIN is not set')
    expect(found.match(/^config/gm)).toHaveLength(1)
  })

  test('[FR-045] a value that may not be absent, and is by an optional reference, is told as that', () => {
    const found = problems({}, MAIN.replace('http://localhost:8080', '"${env:ORIGIN?}"').replace(/^include.*\n/m, ''))
    expect(found).toContain('${env:ORIGIN?} is not set, and this key cannot be absent')
  })
})

describe('without its secrets', () => {
  const main = `version: 1
origin: "https://\${env:HOST}"
trust: [10.0.0.0/8]
store: { database: "\${env:DATABASE}", redis: "\${env:REDIS}", secret: "\${file:/run/secret}" }
tokens:
  a: { issuer: "\${env:A}", audience: x, introspection: { clientId: c, clientSecret: "\${env:S}" } }
  b: { issuer: "\${env:B}", audience: x }
upstreams:
  up: { url: ["http://\${env:UP}:9000", { url: "\${env:UP2}", weight: 2 }] }
routes: { /**: { to: up, access: login } }
`

  test('[FR-045] a policy is judged where its secrets are not, and says which', () => {
    const unset: string[] = []
    const policy = readPolicy(main, { ...optionsOf({}), standIn: (name) => void unset.push(name) }, hash)
    if ('issues' in policy) throw new Error(formatIssues(policy.issues))
    expect(unset.toSorted()).toEqual(['/run/secret', 'A', 'B', 'DATABASE', 'HOST', 'REDIS', 'S', 'UP', 'UP2'])
    expect(JSON.stringify(policy.config.upstreams.up?.url)).not.toContain('${')
  })

  test('[FR-045] everywhere else each of them is a mistake', () => {
    expect(problems({}, main).match(/is not set|cannot be read/g)).toHaveLength(9)
  })

  test('[FR-045] a literal secret is refused there too', () => {
    const literal = main.replace('${file:/run/secret}', 'a-literal-secret')
    const policy = readPolicy(literal, { ...optionsOf({}), standIn: () => {} }, hash)
    expect('issues' in policy ? formatIssues(policy.issues) : '').toContain('a secret must not stand in the file')
  })
})
