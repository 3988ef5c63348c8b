/** What a refused client may read: the problem, and never the reason. */

import { expect, test } from 'vitest'
import { type HeaderList, Refusal } from '../model.ts'
import { PROBLEMS, REASONS, type Reason } from './catalogue.ts'
import { problemAnswer } from './response.ts'

function field(headers: HeaderList, name: string): string[] {
  return headers.filter((_, at) => at % 2 === 1 && headers[at - 1]!.toLowerCase() === name)
}

test('[FR-019] every reason becomes its problem, whole, uncacheable and with our request id', () => {
  for (const reason of Object.keys(REASONS) as Reason[]) {
    const answer = problemAnswer(new Refusal(reason, { log: 'secret-log-line' }), 'r1', 'https://a.example', [
      'X-Own',
      '1',
    ])
    const code = REASONS[reason]
    expect(answer.status).toBe(PROBLEMS[code].status)
    expect(JSON.parse(answer.body)).toMatchObject({
      status: answer.status,
      code,
      title: PROBLEMS[code].title,
      requestId: 'r1',
    })
    expect(answer.body).not.toContain('secret-log-line')
    expect(field(answer.headers, 'cache-control')).toEqual(['no-store'])
    expect(field(answer.headers, 'content-type')).toEqual(['application/problem+json'])
    expect(field(answer.headers, 'content-length')).toEqual([String(new TextEncoder().encode(answer.body).length)])
    expect(field(answer.headers, 'x-own')).toEqual(['1'])
  }
})

test('[FR-019] every 401 carries a challenge, and a 401 alone', () => {
  for (const reason of Object.keys(REASONS) as Reason[]) {
    const { status, headers } = problemAnswer(new Refusal(reason), 'r1', 'https://a.example', [])
    if (status === 401) expect(field(headers, 'www-authenticate')).toHaveLength(1)
    else if (reason !== 'scope.missing') expect(field(headers, 'www-authenticate')).toHaveLength(0)
  }
})

test('[FR-019] denied and unlisted are the same bytes but for the request id', () => {
  expect(problemAnswer(new Refusal('route.denied'), 'r1', 'o', [])).toEqual(
    problemAnswer(new Refusal('route.unlisted'), 'r1', 'o', []),
  )
})

test('[FR-019] a 405 lists the methods that would do, a 429 and a 503 say when to come back', () => {
  expect(
    field(problemAnswer(new Refusal('method.unlisted', { allow: ['GET', 'HEAD'] }), 'r', 'o', []).headers, 'allow'),
  ).toEqual(['GET, HEAD'])
  expect(
    field(problemAnswer(new Refusal('address.limit', { retryAfterMs: 1001 }), 'r', 'o', []).headers, 'retry-after'),
  ).toEqual(['2'])
  expect(field(problemAnswer(new Refusal('session.unavailable'), 'r', 'o', []).headers, 'retry-after')).toEqual(['1'])
})

const challenges = [
  [true, null, 'acr_values="mfa"', 'This asks for a sign-in with a second factor.'],
  [false, 900_000, 'max_age="900"', 'This asks for a sign-in of the last 15 minutes.'],
  [false, 60_000, 'max_age="60"', 'This asks for a sign-in of the last minute.'],
  [false, 1999, 'max_age="1"', 'This asks for a sign-in of the last 1999 milliseconds.'],
  [
    true,
    3_600_000,
    'acr_values="mfa", max_age="3600"',
    'This asks for a sign-in with a second factor and for a sign-in of the last hour.',
  ],
] as const
for (const [isSecondFactorNeeded, maxAgeMs, parameters, detail] of challenges) {
  test(`[FR-040] a client is told what would do (RFC 9470 §3): ${parameters}`, () => {
    const refusal = new Refusal('fresh.stale', { stepUp: { isSecondFactorNeeded, maxAgeMs } })
    const { status, headers, body } = problemAnswer(refusal, 'r1', 'https://a.example', [])
    expect(status).toBe(401)
    expect(field(headers, 'www-authenticate')).toEqual([
      `Bearer realm="https://a.example", error="insufficient_user_authentication", error_description="${detail}", ${parameters}`,
    ])
    expect(JSON.parse(body)).toMatchObject({ code: 'insufficient-user-authentication', detail })
  })
}

test('[FR-042] lines that go with a refusal stand in its answer', () => {
  const refusal = new Refusal('route.limit', { headers: ['RateLimit', '"a";r=0'], retryAfterMs: 1500 })
  const { headers } = problemAnswer(refusal, 'r1', 'https://a.example', [])
  expect([...field(headers, 'ratelimit'), ...field(headers, 'retry-after')]).toEqual(['"a";r=0', '2'])
})
