/** Where an allowed request goes: which server of its upstream, and under which path. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { segmentsOf, swapPrefix } from '../http/prefix.ts'
import { parseTarget } from '../http/target.ts'
import { type ForwardPlan, Refusal } from '../model.ts'
import { mayRetry } from '../pipeline.ts'
import type { Upstream } from '../rules.ts'
import type { Snapshot } from '../snapshot.ts'
import { aHead, anUpstream, aRoute } from '../test/support/routes.ts'
import { linesFor, planForward } from './plan.ts'
import { nextServer } from './servers.ts'

function servers(...weights: readonly number[]): Upstream {
  return anUpstream({ servers: weights.map((weight, at) => ({ origin: `http://127.0.0.1:${at}`, weight })) })
}

test('[FR-041] each server gets its share exactly, in every run of as many requests as the weights add up to', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }), (weights) => {
      const upstream = servers(...weights)
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      for (let round = 0; round < 3; round += 1) {
        const got = upstream.servers.map(() => 0)
        for (let turn = 0; turn < total; turn += 1) got[upstream.servers.indexOf(nextServer(upstream))]! += 1
        expect(got).toEqual(weights)
      }
    }),
  )
})

test('[FR-041] the heavy server is not asked in a row where another could be', () => {
  const upstream = servers(5, 1, 1)
  const turns = Array.from({ length: 7 }, () => upstream.servers.indexOf(nextServer(upstream)))
  expect(turns).toEqual([0, 0, 1, 0, 2, 0, 0])
})

const swaps = [
  ['/api', '', '/api', '/'],
  ['/api', '', '/api/', '/'],
  ['/api', '', '/api/books', '/books'],
  ['/api', '/v2', '/api', '/v2'],
  ['/api', '/v2', '/api/', '/v2/'],
  ['/api', '/v2', '/api/books/', '/v2/books/'],
  ['', '/v2', '/', '/v2/'],
  ['', '/v2', '/books', '/v2/books'],
  ['/a/b', '/c', '/a/b/a/b', '/c/a/b'],
  ['/@me', '', '/%40me/x', '/x'],
  ['/p', '', '/p/a%2Fb', '/a%2Fb'],
  ['/api', '', '/api//evil', null],
  ['/api', '', '/api//', null],
  ['/api', '/v2', '/api//x', '/v2//x'],
] as const
for (const [strip, add, path, expected] of swaps) {
  test(`[FR-041] ${path} without ${strip || 'nothing'} and with ${add || 'nothing'} is ${expected ?? 'refused'}`, () => {
    expect(swapPrefix(path, { strip, add })).toBe(expected)
  })
}

test('[FR-041] what a swap yields the canonicalizer yields again, and the rest of the path is untouched', () => {
  const piece = fc.constantFrom('/', 'a', '//', ';', '%20', '%2F', '.', '..', 'B', '%25')
  const prefix = fc.constantFrom('', '/a', '/a/b')
  fc.assert(
    fc.property(prefix, prefix, fc.array(piece, { maxLength: 6 }), (strip, add, pieces) => {
      const target = parseTarget(`${strip}/${pieces.join('')}`, true)
      fc.pre(!(target instanceof Refusal))
      const swapped = swapPrefix(target.path, { strip, add })
      if (swapped === null) return
      expect(parseTarget(swapped, true)).toMatchObject({ path: swapped })
      expect(swapped.startsWith('//')).toBe(false)
      expect(swapped.split('/').slice(segmentsOf(add) + 1)).toEqual(target.path.split('/').slice(segmentsOf(strip) + 1))
    }),
    { numRuns: 2000 },
  )
})

function plan(path: string, prefixSwap: { strip: string; add: string } | null) {
  const upstream = servers(1, 1)
  const route = aRoute('/**', { upstream, prefixSwap })
  const compose = (...given: readonly unknown[]) => ({ headers: ['Host', String(given.at(-1))], droppedGroups: 0 })
  const nobody = { principal: null, proofs: [], rate: null, setCookies: [] }
  const match = { route, params: {}, access: null }
  return planForward(compose, {} as Snapshot, null, null, match, aHead(path), nobody, { leases: [], headers: [] })
}

test('[FR-041] the plan names the server and the swapped path with its query, and keeps the path that was matched', () => {
  const planned = plan('/api/books?page=2', { strip: '/api', add: '/v2' }) as ForwardPlan
  expect(planned).toMatchObject({ origin: 'http://127.0.0.1:0', path: '/v2/books?page=2' })
  expect(planned.headers).toEqual(['Host', 'http://127.0.0.1:0'])
  expect(planned.head.target.path).toBe('/api/books')
  expect(plan('/api/books?page=2', null)).toMatchObject({ path: '/api/books?page=2' })
})

test('[FR-041] a path that cannot be swapped is ambiguous and goes nowhere', () => {
  expect(plan('/api//evil', { strip: '/api', add: '' })).toMatchObject({ reason: 'target.ambiguous' })
})

test('[FR-055] no server that is well: nothing is planned', () => {
  const upstream = servers(1, 1)
  const match = { route: aRoute('/**', { upstream }), params: {}, access: null }
  const nobody = { principal: null, proofs: [], rate: null, setCookies: [] }
  const compose = () => ({ headers: [], droppedGroups: 0 })
  const charged = { leases: [], headers: [] }
  const plans = (chosen: number | null) => {
    const choice = { choose: () => (chosen === null ? null : upstream.servers[chosen]!) }
    return planForward(compose, {} as Snapshot, null, choice, match, aHead('/'), nobody, charged)
  }
  expect(plans(null)).toMatchObject({ reason: 'upstream.down' })
  expect(plans(1)).toMatchObject({ origin: 'http://127.0.0.1:1' })
})

test('[FR-055] another server is sent the same lines, but for a Host that was the server’s own', () => {
  const planned = plan('/api', null) as ForwardPlan
  const headers = ['Host', 'books.test', 'X-A', 'b']
  const of = (host: 'public' | 'upstream') => ({ ...planned, headers, upstream: { ...planned.upstream, host } })
  expect(linesFor(of('public'), 'http://10.0.0.7:8000')).toBe(headers)
  expect(linesFor(of('upstream'), 'http://10.0.0.7:8000')).toEqual(['Host', '10.0.0.7:8000', 'X-A', 'b'])
})

const unsent = { tries: 1, isSent: false, isAnswered: false }
const sent = { tries: 1, isSent: true, isAnswered: false }
const retries = [
  ['GET', 0, unsent, true],
  ['POST', 100, unsent, true],
  ['POST', -1, unsent, true],
  ['GET', 0, sent, true],
  ['HEAD', 0, sent, true],
  ['OPTIONS', 0, sent, true],
  ['PUT', 0, sent, true],
  ['DELETE', 0, sent, true],
  ['POST', 0, sent, false],
  ['PATCH', 0, sent, false],
  ['PROPFIND', 0, sent, false],
  ['PUT', 100, sent, false],
  ['GET', -1, sent, false],
  ['GET', 0, { ...sent, isAnswered: true }, false],
  ['GET', 0, { ...sent, tries: 2 }, true],
  ['GET', 0, { ...sent, tries: 3 }, false],
  ['GET', 0, { ...unsent, tries: 3 }, false],
] as const
for (const [method, bodyBytes, attempt, isAllowed] of retries) {
  test(`[FR-055] ${method} with ${bodyBytes} bytes, ${JSON.stringify(attempt)}: ${isAllowed ? 'may' : 'must not'} be tried again`, () => {
    expect(mayRetry(aHead('/', { method, bodyBytes }), attempt)).toBe(isAllowed)
    expect(mayRetry(aHead('/', { method, bodyBytes, isUpgrade: true }), attempt)).toBe(isAllowed && !attempt.isSent)
  })
}
