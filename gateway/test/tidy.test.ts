/** The rules of the house that a compiler does not check. Each rule is a row; to change a rule, change its row. */

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')

/** Everything that is or will be tracked, so that a file is judged before its first commit. */
const FILES = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)))

const TOP_LEVEL = [
  ...['gateway', 'upstream-mock', 'specs', 'config', 'package.json', 'tsconfig.json', 'wrangler.toml', 'README.md'],
  ...['LICENSE', 'package-lock.json', 'biome.json', '.ci', '.gitignore', '.npmrc'],
]

/** Package -> the one folder that may import it. Tests and benches stand where a client stands and are free. */
const ONE_DOOR: Readonly<Record<string, string>> = {
  '@marcbachmann/cel-js': 'gateway/authorize',
  '@better-auth/api-key': 'gateway/identity-provider',
  '@better-auth/core': 'gateway/identity-provider',
  'better-auth': 'gateway/identity-provider',
  '@bomb.sh/tab': 'gateway/cli',
  '@clack/prompts': 'gateway/cli',
  '@readme/openapi-parser': 'gateway/cli',
  chokidar: 'gateway/node',
  cockatiel: 'gateway/node',
  commander: 'gateway/cli',
  hono: 'gateway/endpoints',
  'http-proxy-middleware': 'gateway/node',
  ioredis: 'gateway/stores',
  'ipaddr.js': 'gateway/http',
  jose: 'gateway/jwt',
  'junit-report-builder': 'gateway/cli',
  pg: 'gateway/stores',
  pino: 'gateway/node',
  'prom-client': 'gateway/node',
  undici: 'gateway/node',
  yaml: 'gateway/config',
  zod: 'gateway/config gateway/endpoints',
}

const GROUND = ['http', 'problem']
const NOUNS = [...GROUND, 'model', 'rules', 'ports', 'snapshot']
const STAGES = ['admit', 'route', 'authenticate', 'authorize', 'limit', 'transform', 'forward', 'record']
const CORE = [
  ...NOUNS,
  ...STAGES,
  'jwt',
  'revocation',
  'credentials',
  'pipeline',
  'config',
  'policy',
  'identity-provider',
  'endpoints',
  'stores/memory',
]
const ADAPTERS = [...CORE, 'stores/redis', 'stores/database']

/** Folder or root file of gateway/ -> what it may import besides itself. Arrows point inward (DESIGN: law 7). */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  // model and problem name each other's types: a Refusal has a reason, and a reason becomes an answer.
  http: ['model', 'rules'],
  problem: ['http', 'model'],
  model: ['problem', 'rules'],
  rules: ['model'],
  ports: ['model', 'rules'],
  snapshot: ['model', 'rules'],
  revocation: [...NOUNS],
  jwt: [...NOUNS, 'revocation'],
  credentials: [...NOUNS, 'jwt', 'revocation'],
  ...Object.fromEntries(STAGES.map((stage) => [stage, NOUNS])),
  pipeline: [...NOUNS, ...STAGES],
  config: [...NOUNS, ...STAGES],
  policy: [...NOUNS, ...STAGES, 'config', 'pipeline', 'stores/memory'],
  'stores/memory': [...NOUNS, 'limit'],
  'stores/redis': [...NOUNS, 'limit'],
  'stores/database': NOUNS,
  'identity-provider': [...NOUNS, 'jwt', 'revocation', 'credentials'],
  endpoints: NOUNS,
  workers: [...CORE, 'transform'],
  node: ADAPTERS,
  // `test`: the suite's runner starts the servers that the tests use.
  cli: [...ADAPTERS, 'node', 'upstream-mock', 'test'],
  bench: [...ADAPTERS, 'node'],
}

const SOURCES = FILES.filter((file) => /^(gateway|upstream-mock)\/.*\.(ts|mjs)$/.test(file))
const isTest = (file: string): boolean =>
  file.endsWith('.test.ts') || file.startsWith('gateway/test/') || file.includes('/bench/')
const SHIPPED = SOURCES.filter((file) => !isTest(file) && file !== 'gateway/vitest.config.ts')
const text = new Map(
  FILES.filter((file) => !/\.(png|ico)$/.test(file)).map((file) => [file, readFileSync(join(ROOT, file), 'utf8')]),
)

interface Import {
  readonly from: string
  /** A path from the root for files of ours, else the package's name. */
  readonly to: string
  readonly isOurs: boolean
}

const IMPORTED = /^\s*(?:import|export)\s(?:[^'"]*?\sfrom\s)?['"]([^'"]+)['"]|\bimport\(['"]([^'"]+)['"]\)/gm

const IMPORTS: readonly Import[] = SOURCES.flatMap((from) =>
  [...text.get(from)!.matchAll(IMPORTED)].map((match): Import => {
    const specifier = (match[1] ?? match[2])!
    if (specifier.startsWith('.')) return { from, to: normalize(join(dirname(from), specifier)), isOurs: true }
    const name = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/')
    return { from, to: name, isOurs: false }
  }),
)

/** `gateway/stores/redis/x.ts` is of `stores/redis`, `gateway/model.ts` of `model`, `upstream-mock/x.ts` of `upstream-mock`. */
function partOf(file: string): string {
  if (!file.startsWith('gateway/')) return file.split('/')[0]!
  const [, first = '', second = ''] = file.split('/')
  if (first === 'stores') return `stores/${second}`
  return first.replace(/\.ts$/, '')
}

test('the top level is what the README says it is, and nothing else', () => {
  const top = new Set(FILES.map((file) => file.split('/')[0]!))
  expect([...top].filter((name) => !TOP_LEVEL.includes(name))).toEqual([])
})

test('each package is imported by one folder, and every package has a row', () => {
  const wrong = IMPORTS.filter(({ from, to, isOurs }) => !isOurs && !isTest(from) && !to.startsWith('node:'))
    .filter(({ from }) => from !== 'gateway/vitest.config.ts')
    .filter(
      ({ from, to }) =>
        !(ONE_DOOR[to] ?? '').split(' ').some((folder) => folder !== '' && from.startsWith(`${folder}/`)),
    )
  expect(wrong).toEqual([])
})

test('every dependency that is shipped is imported', () => {
  const { dependencies } = JSON.parse(text.get('package.json')!) as { dependencies: Record<string, string> }
  const imported = new Set(IMPORTS.filter(({ from }) => !isTest(from)).map(({ to }) => to))
  /** Pinned because packages that are imported name them as exact peers. */
  const peers = ['@better-auth/utils', '@better-fetch/fetch', 'better-call']
  expect(Object.keys(dependencies).filter((name) => !imported.has(name) && !peers.includes(name))).toEqual([])
  for (const version of Object.values(dependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+(?:-[\w.]+)?$/)
})

test('arrows point inward: every import is one that its folder may make', () => {
  const wrong = IMPORTS.filter(({ from, isOurs }) => isOurs && !isTest(from) && from.startsWith('gateway/'))
    .filter(({ from, to }) => {
      const [source, target] = [partOf(from), partOf(to)]
      if (source === target || from === 'gateway/vitest.config.ts') return false
      return !(MAY_IMPORT[source] ?? []).includes(target)
    })
    .filter(({ from }) => from !== 'gateway/workers/compile-policy.ts')
  expect(wrong).toEqual([])
})

test('there is no cycle of imports', () => {
  const edges = new Map<string, string[]>()
  for (const { from, to, isOurs } of IMPORTS)
    if (isOurs && !isTypeOnly(from, to)) edges.set(from, [...(edges.get(from) ?? []), to])
  const done = new Set<string>()
  const cycles: string[][] = []
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file])
    if (path.includes(file) || done.has(file)) return
    for (const next of edges.get(file) ?? []) walk(next, [...path, file])
    done.add(file)
  }
  for (const file of edges.keys()) walk(file, [])
  expect(cycles).toEqual([])
})

/** Types leave no trace when the program runs; nouns may name each other. */
function isTypeOnly(from: string, to: string): boolean {
  const name = to.split('/').at(-1)!.replaceAll('.', '\\.')
  return new RegExp(`^import type [^'"]*['"][^'"]*${name}['"]`, 'm').test(text.get(from)!)
}

describe('every source file', () => {
  const rows: readonly (readonly [rule: string, applies: (file: string) => boolean, wrong: RegExp])[] = [
    ['has no `any`', () => true, /(?<![\w'"`])(?:as any\b|: any\b|<any>|any\[\])/],
    ['has no barrel', () => true, /^export \* from/m],
    [
      'has no leftover marker',
      () => true,
      new RegExp(`\\b(?:${['TO', 'FIX'].map((word, at) => word + ['DO', 'ME'][at]).join('|')}|XXX)\\b`),
    ],
    ['silences no type error', () => true, /@ts-(?:ignore|nocheck|expect-error)/],
    ['leaves no test out', isTest, /\b(?:it|test|describe)\.(?:skip|todo|only)\b/],
    [
      'has no default export',
      (file) => !isTest(file) && !['gateway/workers/worker.ts', 'gateway/vitest.config.ts'].includes(file),
      /^export default/m,
    ],
    [
      'does not write to the console',
      (file) => !isTest(file) && file !== 'gateway/workers/worker.ts',
      /\bconsole\.\w+\(/,
    ],
  ]
  for (const [rule, applies, wrong] of rows) {
    test(rule, () => {
      expect(
        SOURCES.filter((file) => file !== 'gateway/test/tidy.test.ts' && applies(file) && wrong.test(text.get(file)!)),
      ).toEqual([])
    })
  }

  test('is at most 400 lines long', () => {
    expect(SOURCES.filter((file) => text.get(file)!.split('\n').length - 1 > 400)).toEqual([])
  })

  test('begins with a sentence that says what it is', () => {
    expect(SOURCES.filter((file) => !/^(?:#!.*\n)?\/\*\*/.test(text.get(file)!))).toEqual([])
  })
})

test('the core knows no clock, no process and no runtime: what it needs comes as an argument', () => {
  const core = SHIPPED.filter((file) => file.startsWith('gateway/') && CORE.includes(partOf(file)))
  expect(core.length).toBeGreaterThan(50)
  const clock = /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(|\bprocess\.|\bBuffer\.|\bglobalThis\b|['"]node:/
  expect(core.filter((file) => clock.test(withoutComments(text.get(file)!)))).toEqual([])
})

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '')
}

test('every limit says its unit', () => {
  const unit =
    /(?:MS|SECONDS|BYTES|CHARS|COUNT|ENTRIES|KEYS|NAMES|LINES|READINGS|HOPS|ROUTES|DEPTH|NODES)\b|_(?:MAX|MIN)$/
  const bare = /^(?:export )?const (\w*(?:TIMEOUT|LIMIT|DEADLINE|INTERVAL))(?:: number)? = \d/gm
  const wrong = SHIPPED.flatMap((file) => [...text.get(file)!.matchAll(bare)].map((match) => `${file}: ${match[1]}`))
  expect(wrong.filter((row) => !unit.test(row))).toEqual([])
})

test('no tracked file names a machine’s path or a registry’s host', () => {
  const machine = new RegExp(
    ['/wo' + 'rk/', '/ro' + 'ot/', '/tmp/' + '[a-z]', 'registry\\.' + 'npmjs', 'deb\\.' + 'debian'].join('|'),
  )
  expect(
    [...text]
      .filter(([file, content]) => file !== 'gateway/test/tidy.test.ts' && machine.test(content))
      .map(([file]) => file),
  ).toEqual([])
})
