/** The policy language as a contract: whole files and what becomes of them, the JSON Schema, and the reference page. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { compile } from '../../config/compile.ts'
import { gatewayJsonSchema } from '../../config/json-schema.ts'
import { formatIssues, parsePolicy } from '../../config/parse.ts'
import { referenceTable } from '../../config/reference.ts'
import type { Access } from '../../model.ts'

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

function load(text: string, file: string) {
  const parsed = parsePolicy(text, {
    file,
    readEnv: (name) => VARIABLES[name],
    readFile: (path) => {
      if (!path.startsWith('/run/secrets/')) throw new Error('no such file')
      return `${'f'.repeat(48)}\n`
    },
  })
  if ('issues' in parsed) return parsed
  const compiled = compile(parsed.config, 'v', parsed.places)
  return 'issues' in compiled ? compiled : { ...compiled, config: parsed.config }
}

/** What a file becomes, in a form that can be read and compared. */
function outcome(text: string, file: string): string {
  const loaded = load(text, file)
  if ('issues' in loaded) return `${formatIssues(loaded.issues)}\n`
  const { snapshot, warnings, config } = loaded
  const { routes: _routes, reservedNames, upstreams, admission, ...rest } = snapshot
  const routes = Object.keys(config.routes).map((pattern) => {
    const path = pattern.replace('/**', '/q').replace(/:\w+|\*/g, 'q')
    const { access, upstream, ...route } = snapshot.routes.find(path)!.route
    return {
      ...route,
      upstream: upstream?.id ?? null,
      access: Object.fromEntries([...access].map(([key, one]) => [key, show(one)])),
    }
  })
  const shown = { ...rest, admission, reservedNames, upstreams, store: config.store, login: config.login, routes }
  const json = JSON.stringify(
    shown,
    (_, value: unknown) => {
      if (value instanceof Set) return [...value]
      return value instanceof Map ? Object.fromEntries(value) : value
    },
    2,
  )
  return `${json}\n${warnings.length === 0 ? '' : `\n${formatIssues(warnings)}\n`}`
}

function show(access: Access): unknown {
  return access.kind === 'require' ? { ...access, when: access.when === null ? null : 'a condition' } : access.kind
}

describe('whole files', () => {
  for (const file of readdirSync(GOLDEN).filter((name) => name.endsWith('.yaml'))) {
    test(`[FR-014] ${file} becomes what stands beside it`, async () => {
      const found = outcome(readFileSync(join(GOLDEN, file), 'utf8'), file)
      await expect(found).toMatchFileSnapshot(join(GOLDEN, file.replace('.yaml', '.txt')))
    })
  }

  test('[FR-025] no error prints a secret that stands in the file', () => {
    for (const name of ['wrong-words.yaml', 'references.yaml', 'wrong-tokens.yaml']) {
      const found = outcome(readFileSync(join(GOLDEN, name), 'utf8'), name)
      expect(found).not.toContain('literal@')
      expect(found).not.toContain('a-literal-secret')
      expect(found).not.toContain(VARIABLES.SECRET)
    }
  })
})

const files = [
  'config/gateway.yaml',
  ...readdirSync(join(ROOT, 'config/examples')).map((name) => `config/examples/${name}`),
]

describe('the JSON Schema', () => {
  const schema = gatewayJsonSchema()
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true, strictTypes: false }).compile(schema)

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

  for (const file of files) {
    test(`[FR-027] ${file} loads, and editors find it valid`, () => {
      const text = readFileSync(join(ROOT, file), 'utf8')
      const loaded = load(text, file)
      expect('issues' in loaded ? formatIssues(loaded.issues) : '').toBe('')
      expect(validate(parse(text)), JSON.stringify(validate.errors)).toBe(true)
      expect(text.split('\n')[0]).toMatch(/^# yaml-language-server: \$schema=(\.|\.\.)\/gateway\.schema\.json$/)
    })
  }

  const wrong = ['wrong-words.yaml', 'references.yaml', 'empty.yaml']
  for (const file of wrong) {
    test(`[FR-027] ${file} is wrong to editors too`, () => {
      expect(validate(parse(readFileSync(join(GOLDEN, file), 'utf8')))).toBe(false)
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
