/** The bench as far as it can be held to something: what it may be told, what it reads, and that its results are whole. */

import { expect, test } from 'vitest'
import { read } from '../../test/contract/documents.ts'
import { benchOptions, isWhole } from './arguments.ts'
import { lackOf } from './lab.ts'
import { allocationsOf, timesOf } from './profile.ts'
import { NOTES, RUNS_KEPT, type Run, resultsDocument, type Sample } from './results.ts'
import { BASE, ROWS, STREAM_ROWS } from './rows.ts'
import { readWrk } from './wrk.ts'

const NAMES = ROWS.map(({ name }) => name)
const KINDS = ['get', 'post', 'big'] as const

test('[FR-060] `npm run bench` and its profile are commands, with the bootstrap of every other', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  expect(scripts).toMatchObject({
    bench: 'node gateway/bench/peers.ts',
    'bench:profile': 'node gateway/bench/profile.ts',
  })
  for (const name of ['prebench', 'prebench:profile']) expect(scripts[name]).toBe(scripts['pretest'])
})

test('[FR-060] options have defaults, are checked, and a run that leaves something out is not a whole one', () => {
  const whole = benchOptions([], { POSTERN_BENCH_PEERS: '/peers' })
  expect(whole).toMatchObject({ rounds: 5, kinds: KINDS, rows: [], streams: 1000, peersDir: '/peers' })
  expect(isWhole(whole)).toBe(true)
  for (const args of ['--rows=nginx', '--kinds=get', '--streams=0', '--beside=..']) {
    expect(isWhole(benchOptions([args], {})), args).toBe(false)
  }
  expect(benchOptions(['--rows=nginx,Postern', '--peers=/x'], {})).toMatchObject({
    rows: ['nginx', 'Postern'],
    peersDir: '/x',
  })
  for (const args of ['--kinds=put', '--rounds=0', '--seconds=x', '--nonsense']) {
    expect(() => benchOptions([args], {}), args).toThrow()
  }
})

test('[FR-060] a peer that is missing is named, with the command that gets it', () => {
  expect(lackOf('express', null)).toContain('npm install --prefix DIR express')
  expect(lackOf('fastify', '/nowhere')).toContain('@fastify/jwt')
  expect(lackOf('postern', null)).toBeNull()
})

test('[FR-060] what wrk prints is read, whatever its units', () => {
  const text = `  Latency Distribution
     50%  139.16us
     99%    1.18s 
  770 requests in 2.07s, 75.59MB read
Requests/sec:    372.10
`
  expect(readWrk(text)).toEqual({ requests: 770, perSecond: 372.1, p50Ms: expect.closeTo(0.139), p99Ms: 1180 })
  expect(() => readWrk('nothing')).toThrow('not what wrk prints')
})

const sample = (cpuUs: number): Sample => ({ cpuUs, requests: 1, perSecond: 1000, p50Ms: 1, p99Ms: 2 })
const run: Run = {
  date: '2026-01-01',
  commit: 'abc',
  machine: 'one',
  command: 'npm run bench',
  versions: ['Node v26'],
  // The proxy of each round, and a row that costs 2, 2.5 and 3 times as much: a slow round changes no ratio.
  samples: new Map([
    [BASE, { get: [sample(20), sample(40), sample(20)] }],
    [NAMES[10]!, { get: [sample(40), sample(100), sample(60)] }],
  ]),
  streams: new Map([[BASE, { cpuUsPerEvent: 10, bytesPerStream: 2048, bytesPerWebSocket: 1024 }]]),
  missing: new Map([[NAMES[0]!, 'not there']]),
}

test('[FR-060] the ratio is that of the same round; earlier runs and what was written by hand are kept', () => {
  const first = resultsDocument('', run, ['get'])
  expect(first).toContain(`| ${NAMES[10]} | 60 | 40 | 2.50 | 1000 | 1.0 | 2.0 |`)
  expect(first).toContain(`- not measured: ${NAMES[0]}: not there`)
  let document = `${first}\n- this was tried\n`
  for (let at = 0; at < RUNS_KEPT; at++) document = resultsDocument(document, { ...run, date: `day ${at}` }, ['get'])
  expect([...document.matchAll(/^## Run of (.+)$/gm)].map((match) => match[1])).toEqual(['day 2', 'day 1', 'day 0'])
  expect(document.match(/this was tried/g)).toHaveLength(1)
})

test('[FR-060] a profile is summed up by file and by function, without idle time', () => {
  const frame = (functionName: string, url: string) => ({ functionName, url, lineNumber: 0 })
  const times = timesOf({
    nodes: [
      { id: 1, callFrame: frame('(idle)', '') },
      { id: 2, callFrame: frame('decide', 'file:///a/gateway/pipeline.ts') },
      { id: 3, callFrame: frame('dispatch', 'file:///a/node_modules/undici/lib/pool.js') },
    ],
    samples: [1, 2, 2, 3],
    timeDeltas: [100, 10, 20, 5],
  })
  expect(times).toMatchObject({ total: 35, byFile: [{ name: 'gateway/pipeline.ts', amount: 30 }, { name: 'undici' }] })
  const child = { callFrame: frame('', ''), selfSize: 7, children: [] }
  expect(allocationsOf({ callFrame: frame('f', 'node:net'), selfSize: 3, children: [child] }).total).toBe(10)
})

test('[FR-060] RESULTS.md is of whole runs: machine, commit, versions, command, and every row measured or named as missing', () => {
  const sections = read('gateway/bench/RESULTS.md').split(NOTES)[0]!.split('## Run of ').slice(1)
  expect(sections.length).toBeGreaterThan(0)
  for (const section of sections) {
    for (const field of ['machine', 'commit', 'versions', 'command'])
      expect(section).toMatch(new RegExp(`^- ${field}: .`, 'm'))
    const tables = section
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => line.split('|').slice(1, -1))
    const heads = tables.filter((_, at) => tables[at + 1]?.[0]?.trim() === '---')
    expect(heads).toHaveLength(2)
    const rows = tables.slice(2, tables.indexOf(heads[1]!))
    expect(rows.map(([name]) => name!.trim())).toEqual(NAMES)
    for (const row of rows) {
      const name = row[0]!.trim()
      expect(row, name).toHaveLength(heads[0]!.length)
      if (section.includes(`- not measured: ${name}:`)) continue
      for (const cell of row.slice(1)) expect(Number(cell), name).toBeGreaterThan(0)
    }
    for (const { name } of STREAM_ROWS) expect(section.split('| streams |')[1]).toContain(`| ${name} |`)
  }
})
