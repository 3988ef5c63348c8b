/** The trees drawn in the documents are the real folders, and ticked tasks name files that exist. */

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { fences, filesBelow, ROOT, read, SPECS, sectionOf, treePaths } from './documents.ts'

/** Folders that hold files, with their parents, as `a/b/`; those below `depthMax` are details of their parent. */
function foldersOf(roots: readonly string[], depthMax: number): string[] {
  const folders = new Set<string>()
  for (const root of roots) {
    for (const file of filesBelow(root)) {
      for (let folder = dirname(file); folder !== '.'; folder = dirname(folder)) {
        if (folder.split('/').length <= depthMax) folders.add(`${folder}/`)
      }
    }
  }
  return [...folders].toSorted()
}

const drawn = (path: string) => treePaths(fences(sectionOf(read(path), '## The tree'), '')[0]!)

test('[FR-027] the tree of plan.md is the real folders', () => {
  const paths = drawn(`${SPECS}/plan.md`)
  expect(paths.toSorted()).toEqual(foldersOf(['gateway', 'upstream-mock', 'config', 'specs'], 3))
})

test('[FR-027] the tree of gateway/README.md is the real folders, and its files exist', () => {
  const paths = drawn('gateway/README.md').map((path) => `gateway/${path}`)
  const folders = paths.filter((path) => path.endsWith('/'))
  expect(['gateway/', ...folders].toSorted()).toEqual(foldersOf(['gateway'], 3))
  expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
})

test('[FR-027] the packages in brackets are those that each folder imports', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> }
  const lines = fences(sectionOf(read('gateway/README.md'), '## The tree'), '')[0]!.split('\n')
  for (const line of lines) {
    const folder = /^([\w-]+)\/ /.exec(line)?.[1]
    if (folder === undefined || folder === 'test') continue
    const named = /\[(.+)\]$/.exec(line)?.[1]?.split(', ') ?? []
    const sources = filesBelow(`gateway/${folder}`).filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
    const imported = new Set<string>()
    for (const path of sources) {
      for (const [, name] of read(path).matchAll(/(?:from |import\(|^import )'((?:@[\w.-]+\/)?[\w.-]+)[/\w.-]*'/gm)) {
        if (name! in dependencies) imported.add(name!)
      }
    }
    expect(named.toSorted(), folder).toEqual([...imported].toSorted())
  }
})

test('[FR-027] files named in gateway/README.md exist', () => {
  const named = [...sectionOf(read('gateway/README.md'), '## Where to look').matchAll(/`([\w./-]+(?:\/|\.ts|\.md))`/g)]
  const places = ['gateway', SPECS]
  const missing = named.filter(([, path]) => !places.some((place) => existsSync(join(ROOT, place, path!))))
  expect(missing.map(([, path]) => path)).toEqual([])
})

test('[FR-027] tasks are numbered without gaps, and each ticked one names files that exist', () => {
  const tasks = read(`${SPECS}/tasks.md`)
    .split('\n')
    .filter((line) => line.startsWith('- ['))
  expect(tasks.length).toBeGreaterThan(20)
  expect(tasks.map((line) => /^- \[[ x]\] (T\d{3}) /.exec(line)?.[1])).toEqual(
    tasks.map((_, i) => `T${String(i + 1).padStart(3, '0')}`),
  )
  for (const line of tasks.filter((task) => task.startsWith('- [x]'))) {
    const paths = [...line.matchAll(/`([\w./-]+)`/g)].map((match) => match[1]!)
    expect(paths.length, line).toBeGreaterThan(0)
    expect(
      paths.filter((path) => !existsSync(join(ROOT, path))),
      line,
    ).toEqual([])
  }
})

test('[FR-027] links between documents lead somewhere', () => {
  const documents = ['README.md', ...['gateway', 'upstream-mock', 'config', 'specs'].flatMap(filesBelow)]
  const broken = documents
    .filter((path) => path.endsWith('.md'))
    .flatMap((path) => {
      const links = [...read(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)(?:#[^)]*)?\)/g)].map(
        (match) => match[1]!,
      )
      return links.filter((link) => !existsSync(join(ROOT, dirname(path), link))).map((link) => `${path}: ${link}`)
    })
  expect(broken).toEqual([])
})
