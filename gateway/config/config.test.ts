/** What the whole-file tests do not show: hostile YAML, how far hosts reach, what is printed, and what is warned of. */

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the policy's own reference syntax, not a template.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compile } from './compile.ts'
import { formatIssues, nearest } from './issues.ts'
import { mask } from './mask.ts'
import { reachOf } from './network.ts'
import { parsePolicy } from './parse.ts'

const NOWHERE = {
  file: 'gateway.yaml',
  readEnv: (): undefined => undefined,
  readFile: (): string => {
    throw new Error('no such file')
  },
}

function problems(text: string): string {
  const parsed = parsePolicy(text, NOWHERE)
  if ('issues' in parsed) {
    expect(parsed.issues).not.toHaveLength(0)
    return formatIssues(parsed.issues)
  }
  const compiled = compile(parsed.config, 'v', parsed.places)
  return formatIssues('issues' in compiled ? compiled.issues : compiled.warnings)
}

const POLICY = `version: 1
origin: http://localhost:8080
upstreams: { a: "http://127.0.0.1:9000" }
routes: { /**: { to: a, access: login } }
`

describe('hostile YAML', () => {
  const rows = [
    ['a file too large', 'x'.repeat(4 * 1024 ** 2 + 1), 'larger than 4 MiB'],
    ['a line too long', `a: ${'['.repeat(5000)}`, 'longer than'],
    ['brackets too deep', '[\n'.repeat(10_000), 'nested too deeply'],
    ['braces too deep', '{a: '.repeat(500), 'nested too deeply'],
    ['lists too deep', '- '.repeat(2000), 'nested too deeply'],
    [
      'indentation too deep',
      Array.from({ length: 600 }, (_, at) => `${' '.repeat(at)}a:`).join('\n'),
      'nested too deeply',
    ],
    ['many levels', Array.from({ length: 40 }, (_, at) => `${' '.repeat(at)}a:`).join('\n'), 'nested too deeply'],
    ['an anchor', `${POLICY}trust: &t []`, 'anchors are not available'],
    ['an alias', `${POLICY}trust: *t`, 'alias'],
    ['a tag', `${POLICY}trust: !!seq []`, ''],
    ['a tag of its own', `${POLICY}trust: !js/function []`, 'tags are not available'],
    ['a second document', `${POLICY}---\nversion: 1`, 'several documents'],
    [
      'an issuer by our own name',
      `${POLICY}tokens: { postern: { issuer: "https://ci.example.com", audience: x } }`,
      'and not `postern`, which is this gateway',
    ],
    [
      'a claim that has no path',
      `${POLICY}tokens: { ci: { issuer: "https://ci.example.com", audience: x, require: { a..b: c } } }`,
      'expected the path of a claim',
    ],
    ['a merge key', `${POLICY}login: { "<<": { signup: open } }`, 'unknown key `<<`'],
    ['a duplicate key', `${POLICY}origin: http://localhost:1`, 'stands twice, first in line 2'],
    ['the name of a prototype', `${POLICY}__proto__: { trust: [] }`, 'a key must be plain text'],
    ['a key that is a list', `${POLICY}? [a]\n: 1`, 'a key must be plain text'],
    ['a list in place of a map', '[]', 'expected a map'],
    ['text in place of a map', 'hello', 'expected a map'],
  ] as const
  for (const [title, text, message] of rows) {
    test(`[FR-014] ${title} is ${message === '' ? 'harmless' : 'refused'}`, () => {
      const found = problems(text)
      if (message === '') expect(found).toBe('')
      else expect(found).toContain(message)
    })
  }

  test('[FR-014] no text makes parsing or compiling throw', () => {
    const word = fc.constantFrom(
      ...POLICY.split(/(?<=\b|\W)/),
      '\n',
      '  ',
      '- ',
      '? ',
      '*x',
      '&x',
      '!!',
      '"',
      "'",
      '|',
      '>',
      '${env:A}',
      'null',
      '~',
      '#',
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 60 }), fc.nat(POLICY.length), (words, at) => {
        expect(problems(POLICY.slice(0, at) + words.join('') + POLICY.slice(at))).toEqual(expect.any(String))
      }),
      { numRuns: 1000 },
    )
  })
})

describe('networks', () => {
  const rows = [
    ['localhost', 'loopback'],
    ['app.localhost', 'loopback'],
    ['127.9.9.9', 'loopback'],
    ['[::1]', 'loopback'],
    ['10.1.2.3', 'private'],
    ['192.168.1.1', 'private'],
    ['[fd00::1]', 'private'],
    ['api', 'private'],
    ['api.default.svc.cluster.local', 'private'],
    ['db.internal', 'private'],
    ['8.8.8.8', 'anywhere'],
    ['172.32.0.1', 'anywhere'],
    ['[2001:db8::1]', 'anywhere'],
    ['[::ffff:8.8.8.8]', 'anywhere'],
    ['example.com', 'anywhere'],
    ['internal.example.com', 'anywhere'],
    ['localhost.example.com', 'anywhere'],
    ['2130706433', 'anywhere'],
  ] as const
  for (const [host, reach] of rows) {
    test(`[FR-025] ${host} reaches ${reach}`, () => expect(reachOf(host)).toBe(reach))
  }
})

describe('warnings and errors of meaning', () => {
  const rows = [
    ['an http origin that is not this machine', POLICY.replace('localhost:8080', 'books.example.com'), 'in the clear'],
    [
      'e-mail that nobody proved, beyond this machine',
      `${POLICY.replace('localhost:8080', 'books.example.com')}login: { allowUnverifiedEmail: true }`,
      'anybody may claim',
    ],
    ['a route that forgets its access', POLICY.replace(', access: login', ''), 'lets nobody in'],
    [
      'an upstream around the gateway that cannot tell',
      POLICY.replace('"http://127.0.0.1:9000"', '{ url: "https://a.example.com", assertion: false }'),
      'reached around the gateway',
    ],
    [
      'an upstream with a backslash',
      POLICY.replace('127.0.0.1:9000', '127.0.0.1:9000\\\\x'),
      'expected scheme, host and port',
    ],
    ['an upstream with a user', POLICY.replace('127.0.0.1:9000', 'u@127.0.0.1:9000'), 'expected scheme, host and port'],
    ['an origin with a path', POLICY.replace('localhost:8080', 'localhost:8080/app'), 'without path or query'],
    [
      'a session that outlives its end',
      `${POLICY}login: { session: { idle: 2d, max: 1d } }`,
      'must not be longer than',
    ],
    [
      'a header name that hides another',
      POLICY.replace('login }', 'login, allowHeaderNames: [X__Forwarded__User] }'),
      'x-forwarded-user',
    ],
    [
      'a header name that is plain',
      POLICY.replace('login }', 'login, allowHeaderNames: [X-Plain] }'),
      'outside letters, digits',
    ],
  ] as const
  for (const [title, text, message] of rows) {
    test(`[FR-014] ${title} is reported`, () => expect(problems(text)).toContain(message))
  }

  test('[FR-013] a sound policy has nothing to report', () => expect(problems(POLICY)).toBe(''))

  test('[FR-014] what is wrong in the defaults is said once', () => {
    const text = `${POLICY.replace(', access: login', '')}  \ndefaults: { access: { when: "user.nope" } }`
    const more = text.replace('routes: {', 'routes: { /x: { to: a }, /y: { to: a },')
    expect(problems(more).match(/No such key/g)).toHaveLength(1)
  })
})

describe('printing', () => {
  test('[FR-025] passwords and literals beside the name of a secret are hidden, references are not', () => {
    expect(mask('  database: postgres://app:hunter2@db/app')).toBe('  database: postgres://app:*******@db/app')
    expect(mask('{ secret: "hunter2", x: 1 }')).toBe('{ secret: "*******", x: 1 }')
    expect(mask('  secret: ${env:POSTERN_SECRET}')).toBe('  secret: ${env:POSTERN_SECRET}')
  })

  test.each([
    'secrets: [aaa, S3CRET]',
    'store: { secret: "a, b S3CRET", databse: x }',
    'store: { databse: x, secret: a#S3CRET }',
    'store: { secert: S3CRET }',
    'introspection: { clientSecret: "a\\"b S3CRET" }',
    'secret: { x: S3CRET }',
    'secret: "${env:A} S3CRET"',
    'database: postgres://app:a/b@S3CRET@db/app',
    'database: "postgres://app:${env:A}S3CRET@db/app"',
    'database: postgres://db/app?user=app&password=S3CRET',
    'database: app:S3CRET@db/app',
    'redis: //:S3CRET@redis',
    'a: http://S3CRET@127.0.0.1:9000',
    'keys: [{ kty: oct, k: S3CRETS3CRETS3CRET, foo: 1 }]',
  ])('[FR-045] of %s the secret is hidden, whatever else is wrong with the line', (line) => {
    expect(mask(line)).not.toContain('S3CRET')
    expect(mask(line)).toHaveLength(line.length)
    expect(mask(line)).toContain(line.slice(0, line.indexOf(':') + 1))
  })

  test('[FR-045] what stands beside a secret is shown', () => {
    expect(mask('{ secret: abc, databse: x }')).toBe('{ secret: ***, databse: x }')
    expect(mask('{ secrets: [abc, "${env:B}"], databse: x }')).toBe('{ secrets: [***, "${env:B}"], databse: x }')
    expect(mask('  secret: abc # of old')).toBe('  secret: *** # of old')
    expect(mask('  api: { url: "http://10.0.0.1:8000", health: /x }')).toBe(
      '  api: { url: "http://10.0.0.1:8000", health: /x }',
    )
    expect(mask('  database: postgres://app:${env:PASSWORD}@db/app')).toBe(
      '  database: postgres://app:${env:PASSWORD}@db/app',
    )
  })

  test('[FR-045] what would move a terminal is printed as a sign', () => {
    const found = problems(`${POLICY}"lo\\e]0;x\\agin": {}\n"\x1b[31m": {}\n`)
    expect(found).toContain('unknown key `lo�]0;x�gin`')
    expect(found).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
  })

  test.each([
    ['UTF-16', Buffer.from(`\uFEFF${POLICY}`, 'utf16le')],
    ['Latin-1', Buffer.from(`${POLICY}# café`, 'latin1')],
  ])('[FR-045] a file in %s is told as that, and read no further', (_, bytes) => {
    const found = problems(bytes.toString('utf8'))
    expect(found).toContain('this is not UTF-8 text')
    expect(found.match(/cure:/g)).toHaveLength(1)
  })

  test('[FR-045] a hundred mistakes are printed, and the others are counted', () => {
    const many = Array.from({ length: 130 }, (_, at) => `  /r${at}: { too: a }`).join('\n')
    const found = problems(`${POLICY.replace(/routes:.*/, 'routes:')}${many}\n`)
    expect(found.match(/unknown key `too`/g)).toHaveLength(100)
    expect(found).toMatch(/\n\nand 30 more$/)
  })

  test('[FR-014] a misspelt word finds its neighbor, a foreign one finds none', () => {
    expect(nearest('acess', ['to', 'access', 'body'])).toBe('access')
    expect(nearest('opne', ['open', 'invite', 'closed'])).toBe('open')
    expect(nearest('zebra', ['to', 'access', 'body'])).toBeNull()
  })
})
