/** The policy language as a contract: whole files and what becomes of them, the JSON Schema, and the reference page. */

import { execFileSync } from 'node:child_process'
import { globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { gatewayJsonSchema, includedJsonSchema } from '../../config/json-schema.ts'
import { formatIssues, readPolicy } from '../../config/parse.ts'
import { referenceTable } from '../../config/reference.ts'
import { runPolicyTests } from '../../policy/run-tests.ts'
import type { Access, AccessByMethod } from '../../rules.ts'

const ROOT = join(import.meta.dirname, '../../..')
const GOLDEN = join(import.meta.dirname, 'config')

const VARIABLES: Readonly<Record<string, string>> = {
  DATABASE_URL: 'postgres://postern@localhost/postern',
  REDIS_URL: 'redis://localhost:6379',
  POSTERN_SECRET: 's'.repeat(48),
  SECRET: 's'.repeat(48),
  INTROSPECTION_SECRET: 'i'.repeat(24),
  HOST: 'backend',
  EMPTY: '',
}

/** Files that a golden file includes stand in the folder of its own name. */
function load(text: string, file: string, folder: string) {
  return readPolicy(
    text,
    {
      file,
      readEnv: (name) => VARIABLES[name],
      readFile: (path) => {
        if (path.startsWith('/run/secrets/')) return `${'f'.repeat(48)}\n`
        return readFileSync(join(folder, path), 'utf8')
      },
      listFiles: (glob) => globSync(glob, { cwd: folder }),
    },
    () => 'v',
  )
}

/** What a file becomes, in a form that can be read and compared. */
function outcome(text: string, file: string): string {
  const loaded = load(text, file, GOLDEN)
  if ('issues' in loaded) return `${formatIssues(loaded.issues)}\n`
  const { snapshot, warnings, config } = loaded
  const { routes: _routes, reservedNames, upstreams, admission, ...rest } = snapshot
  const routes = Object.keys(config.routes).map((pattern) => {
    const path = pattern.replace('/**', '/q').replace(/:\w+|\*/g, 'q')
    const { access, proposed, upstream, ...route } = snapshot.routes.find(snapshot.admission.authority, path)!.route
    return {
      ...route,
      upstream: upstream?.id ?? null,
      access: showAll(access),
      proposed: proposed === null ? null : showAll(proposed),
    }
  })
  const { store, login, people, tests } = config
  const shown = { ...rest, admission, reservedNames, upstreams, store, login, people, tests, routes }
  const json = JSON.stringify(
    shown,
    (_, value: unknown) => {
      if (value instanceof Set) return [...value]
      return value instanceof Map ? Object.fromEntries(value) : value
    },
    2,
  )
  return `${json}\n${warnings.length === 0 ? '' : `\n${formatIssues(warnings, undefined, 'warning')}\n`}`
}

function showAll(access: AccessByMethod): unknown {
  return Object.fromEntries([...access].map(([method, one]) => [method, show(one)]))
}

function show(access: Access): unknown {
  if (access.kind !== 'require') return access.kind
  return access.checks.map((check) => {
    if (check.kind === 'any') return { any: check.of.map(show) }
    if (check.kind === 'not') return { not: show(check.of) }
    const { kind, ...more } = check
    return { [kind]: Object.values(more).find((value) => typeof value !== 'function') ?? true }
  })
}

describe('whole files', () => {
  for (const file of readdirSync(GOLDEN).filter((name) => name.endsWith('.yaml'))) {
    test(`[FR-014] ${file} becomes what stands beside it`, async () => {
      const found = outcome(readFileSync(join(GOLDEN, file), 'utf8'), file)
      await expect(found).toMatchFileSnapshot(join(GOLDEN, file.replace('.yaml', '.txt')))
    })
  }

  test('[FR-025] no error prints a secret that stands in the file', () => {
    for (const name of ['wrong-words.yaml', 'references.yaml', 'wrong-tokens.yaml', 'mistake-literal-secret.yaml']) {
      const found = outcome(readFileSync(join(GOLDEN, name), 'utf8'), name)
      expect(found).not.toContain('literal@')
      expect(found).not.toContain('a-literal-secret')
      expect(found).not.toContain('horse-battery')
      expect(found).not.toContain('hunter2')
      expect(found).not.toContain(VARIABLES.SECRET)
    }
  })
})

/** Every YAML file that is tracked and is a policy or a part of one; the golden ones below are wrong on purpose. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.yaml', '*.yml'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => /^(?:version: 1$|routes:)/m.test(file === '' ? '' : readFileSync(join(ROOT, file), 'utf8')))
  .filter((file) => !file.startsWith('gateway/test/contract/config/'))
const mains = files.filter((file) => /^version: 1$/m.test(readFileSync(join(ROOT, file), 'utf8')))
const parts = files.filter((file) => !mains.includes(file))

describe('the JSON Schema', () => {
  const schema = gatewayJsonSchema()
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true, strictTypes: false }).compile(schema)
  const part = includedJsonSchema()
  const validatePart = new Ajv2020({ strict: true, allowUnionTypes: true, strictTypes: false }).compile(part)

  test('[FR-045] config/included.schema.json is what the schema says of a part', async () => {
    await expect(`${JSON.stringify(part, null, 2)}\n`).toMatchFileSnapshot(join(ROOT, 'config/included.schema.json'))
  })

  test('[FR-027] config/gateway.schema.json is what the schema says', async () => {
    await expect(`${JSON.stringify(schema, null, 2)}\n`).toMatchFileSnapshot(join(ROOT, 'config/gateway.schema.json'))
  })

  test('[FR-027] every key has a description and an example that is itself valid', () => {
    const bare: string[] = []
    const visit = (node: unknown, path: string): void => {
      if (typeof node !== 'object' || node === null) return
      for (const [name, child] of Object.entries((node as { properties?: object }).properties ?? {})) {
        const { description, examples } = child as { description?: string; examples?: unknown[] }
        if (description === undefined || examples === undefined) bare.push(`${path}.${name}`)
      }
      for (const [key, child] of Object.entries(node)) if (key !== 'examples') visit(child, `${path}.${key}`)
    }
    visit(schema, '')
    expect(bare).toEqual([])
  })

  test('[FR-045] the policies of this repository are found', () => {
    expect(mains).toEqual(expect.arrayContaining(['config/gateway.yaml', 'config/examples/split/gateway.yaml']))
    expect(parts).toContain('config/examples/split/routes/books.yaml')
  })

  for (const file of mains) {
    test(`[FR-045] ${file} loads, editors find it valid, and its own tests pass`, async () => {
      const text = readFileSync(join(ROOT, file), 'utf8')
      const loaded = load(text, file, join(ROOT, dirname(file)))
      expect('issues' in loaded ? formatIssues(loaded.issues) : '').toBe('')
      if ('issues' in loaded) return
      expect(formatIssues(loaded.warnings)).toBe('')
      expect(validate(parse(text)), JSON.stringify(validate.errors)).toBe(true)
      const schemaFile = relative(dirname(file), 'config/gateway.schema.json')
      const named = schemaFile.startsWith('.') ? schemaFile : `./${schemaFile}`
      expect(text.split('\n')[0]).toBe(`# yaml-language-server: $schema=${named}`)
      const { results } = await runPolicyTests({ ...loaded, nowMs: Date.now() })
      expect(results).toHaveLength(loaded.config.tests.length)
      expect(results.filter(({ failure }) => failure !== null)).toEqual([])
    })
  }

  for (const file of parts) {
    test(`[FR-045] ${file}, a part, is valid to editors`, () => {
      const text = readFileSync(join(ROOT, file), 'utf8')
      expect(validatePart(parse(text)), JSON.stringify(validatePart.errors)).toBe(true)
      expect(text.split('\n')[0]).toMatch(/^# yaml-language-server: \$schema=[./]+\/included\.schema\.json$/)
    })
  }

  const wrong = [
    ...['wrong-words', 'references', 'empty', 'mistake-role-beside-method', 'mistake-misspelt-everywhere'],
    ...['mistake-limit-without-per', 'mistake-fresh-without-unit', 'mistake-cors-everybody', 'mistake-test-shape'],
    ...['mistake-preset-misspelt', 'mistake-weight-zero', 'mistake-proposed-typo', 'mistake-wrong-level'],
    ...['mistake-words-from-elsewhere', 'mistake-list-for-map', 'mistake-literal-secret'],
  ]
  for (const name of wrong) {
    test(`[FR-027] ${name}.yaml is wrong to editors too`, () => {
      expect(validate(parse(readFileSync(join(GOLDEN, `${name}.yaml`), 'utf8')))).toBe(false)
    })
  }

  test('[FR-025] a literal secret is wrong to editors too', () => {
    const policy = { version: 1, origin: 'http://localhost:1', upstreams: { a: 'http://a' }, routes: {} }
    expect(validate(policy)).toBe(true)
    expect(validate({ ...policy, store: { secret: 's'.repeat(48) } })).toBe(false)
  })
})

test('[FR-027] config/README.md has one row for every key', () => {
  expect(readFileSync(join(ROOT, 'config/README.md'), 'utf8')).toContain(referenceTable())
})

test('[FR-026] compiling needs neither YAML nor the schema, so a Worker embeds neither', async () => {
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [, clause, from] of readFileSync(file, 'utf8').matchAll(/^(?:import|export) ([^']*?)from '([^']+)'/gm)) {
      if (clause!.startsWith('type ')) continue
      if (from!.startsWith('.')) visit(join(file, '..', from!))
      else seen.add(from!)
    }
  }
  visit(join(ROOT, 'gateway/config/compile.ts'))
  expect([...seen].filter((name) => !name.startsWith('/')).toSorted()).toEqual(['@marcbachmann/cel-js', 'ipaddr.js'])
})
