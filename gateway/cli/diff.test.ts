/** `postern diff` and `postern import` as they are typed, on real files. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { command, commandAlone } from '../test/support/command.ts'

const LIBRARY = fileURLToPath(new URL('../../config/hour/library.openapi.yaml', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'postern-diff-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const options = { cwd: folder, env: { ...process.env, NODE_ENV: 'test', NO_COLOR: '1' } }

function postern(...words: readonly string[]) {
  return command(words, options)
}

function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content)
  return name
}

const policy = (access: string) => `version: 1
origin: http://books.test
upstreams: { app: "http://127.0.0.1:9000" }
store: { secret: "\${env:NOT_SET_ANYWHERE}" }
routes:
  /a: { to: app, access: ${access} }
`
const line = JSON.stringify({
  requestId: 'r-1',
  at: '2026-11-21T10:00:00.000Z',
  method: 'GET',
  path: '/a',
  status: 401,
  route: '/a',
  upstream: null,
  subject: null,
  credential: null,
  reason: 'credential.missing',
})

test('[FR-048] diff says who gets in, replays a log, and tells programs by its exit code', async () => {
  const [old, next, log] = [
    file('old.yaml', policy('login')),
    file('new.yaml', policy('public')),
    file('access.log', `${line}\n${line.replace('}', `,"log":"${'x'.repeat(80_000)}"}`)}\n${line}\n`),
  ]
  const same = await postern('diff', old, old, '--exit-code')
  expect(same, same.stderr).toMatchObject({ status: 0, stdout: 'no difference: every request comes out as it did\n' })
  const told = await postern('diff', old, next, '--replay', log)
  expect(told.status, told.stderr).toBe(0)
  expect(told.stdout).toContain('opened   /a  all methods: access')
  expect(told.stdout).toContain('refused, would be let in  2 x GET on /a')
  expect(told.stdout).toContain('1 lines are not of an access log')
  const json = await commandAlone(['diff', old, next, '--replay', log, '--json', '--exit-code'], options)
  expect(json.status).toBe(1)
  expect(JSON.parse(json.stdout)).toMatchObject({
    rows: [{ change: 'opened' }],
    replay: { requests: 2, groups: [{ count: 2 }] },
  })
}, 60_000)

test('[FR-048] a proposal is compared with the file it stands in, and a wrong use is 2', async () => {
  const proposing = file('proposing.yaml', policy('login, proposed: { role: editor }'))
  const told = await postern('diff', '--proposed', proposing)
  expect(told.stdout, told.stderr).toContain('closed   /a  all methods: access')
  expect((await postern('diff', proposing)).status).toBe(2)
  expect((await postern('diff', proposing, proposing, '--proposed')).status).toBe(2)
  expect((await postern('diff', proposing, proposing, '--replay', 'nowhere.log')).stderr).toContain('There is no log')
}, 60_000)

test('[FR-049] a hundred operations become a policy that passes its check and its tests', async () => {
  const words = ['import', 'openapi', LIBRARY, '--upstream', 'http://127.0.0.1:9000', '-o', 'library.yaml']
  const made = await commandAlone(words, options)
  expect(made.status, made.stderr).toBe(0)
  expect(made.stderr).toContain('GET /metrics: `operators`: HTTP basic is not a way in here -> denied')
  const checked = await postern('check', 'library.yaml')
  expect(checked.status, checked.stdout).toBe(0)
  const tested = await postern('test', 'library.yaml')
  expect(tested.status, tested.stdout).toBe(0)
  const again = await postern('import', 'openapi', LIBRARY, '-o', 'library.yaml')
  expect(again).toMatchObject({ status: 2, stdout: '' })
  expect(again.stderr).toContain('--force')
  expect((await postern('import', 'openapi', LIBRARY, '-o', 'library.yaml', '--force')).status).toBe(0)
}, 120_000)

test('[FR-049] the document has exactly a hundred operations', () => {
  const operations = readFileSync(LIBRARY, 'utf8').match(/^ {4}(?:get|put|post|delete|patch):$/gm)
  expect(operations).toHaveLength(100)
})

const REFUSED: readonly (readonly [why: string, kind: string, content: string, message: string])[] = [
  [
    'another document is not fetched',
    'openapi',
    'openapi: 3.1.0\npaths: { /a: { $ref: "http://127.0.0.1:1/x.yaml" } }',
    'nothing is fetched',
  ],
  ['a file is not read', 'openapi', 'openapi: 3.1.0\npaths: { /a: { $ref: "/etc/passwd" } }', 'nothing is fetched'],
  ['not OpenAPI', 'openapi', 'swagger: "2.0"\ninfo: { title: a, version: "1" }\npaths: {}', 'OpenAPI 3.0 or 3.1'],
  ['not valid', 'openapi', 'openapi: 3.1.0\npaths: { /a: { get: 1 } }', 'not valid'],
  ['not YAML', 'authelia', '{ a: [', 'neither YAML nor JSON'],
  ['not what it says', 'oathkeeper', '{ "a": 1 }', 'list of rules'],
]
for (const [why, kind, content, message] of REFUSED) {
  test(`[FR-049] nothing is written where the source cannot be understood: ${why}`, async () => {
    const told = await postern('import', kind, file(`${kind}-source`, content), '-o', 'never.yaml')
    expect(told.status).toBe(1)
    expect(told.stderr).toContain(message)
    expect(() => readFileSync(join(folder, 'never.yaml'))).toThrow()
  }, 60_000)
}

test('[FR-049] an unknown kind is a wrong use', async () => {
  expect((await postern('import', 'nginx', 'x')).status).toBe(2)
}, 30_000)
