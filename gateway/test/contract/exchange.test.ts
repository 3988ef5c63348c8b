/** The reader of documented exchanges notices what it is there to notice. */

import { expect, test } from 'vitest'
import { type Answer, differences, type Exchange, parseExchanges } from './exchange.ts'

const page = `
## Who am I

\`\`\`http
GET /me
Cookie: a=<session>
\`\`\`

\`\`\`http
HTTP/1.1 200 OK
Content-Type: application/json
X-Id: <id>

{"id": "<id>", "age": "<number>", "list": ["...", ["b", "<string>"]]}
\`\`\`
`
const [exchange] = parseExchanges(page)
const good: Answer = {
  status: 200,
  headers: {},
  rawHeaders: ['content-type', 'application/json', 'X-Id', 'u1'],
  body: '{"id":"u1","age":3,"list":[["a","1"],["b","2"]]}',
}
const differencesOf = (change: Partial<Answer>) => differences(exchange!.response, { ...good, ...change }, new Map())

test('[FR-027] an exchange is a request block and an answer block under a heading', () => {
  expect(exchange).toMatchObject({ title: 'Who am I: GET /me', request: { fields: [['Cookie', 'a=<session>']] } })
  expect(() => parseExchanges('```http\nGET /\n```\n')).toThrow('has no answer')
})

test('[FR-027] an answer as documented has no differences', () => {
  expect(differencesOf({})).toEqual([])
})

const wrong = [
  ['another status', { status: 201 }],
  ['a field that is missing', { rawHeaders: ['X-Id', 'u1'] }],
  ['a placeholder with two values', { body: good.body.replace('u1', 'u2') }],
  ['a member too many', { body: good.body.replace('{', '{"extra":1,') }],
  ['a member too few', { body: good.body.replace('"age":3,', '') }],
  ['text for a number', { body: good.body.replace('3', '"3"') }],
  ['a list without the element', { body: good.body.replace('["b","2"]', '["c","2"]') }],
  ['a body that is not JSON', { body: 'ok' }],
] as const

for (const [name, change] of wrong) {
  test(`[FR-027] ${name} is noticed`, () => {
    expect(differencesOf(change)).not.toEqual([])
  })
}

test('[FR-027] an element that is not the one looked for leaves nothing behind', () => {
  const [{ response }] = parseExchanges(
    '```http\nGET /\n```\n```http\nHTTP/1.1 200\n\n["...", ["b", "<b>"]]\n```\n',
  ) as [Exchange]
  const captured = new Map<string, string>()
  expect(differences(response, { ...good, body: '[["a","1"],["b","2"]]' }, captured)).toEqual([])
  expect([...captured]).toEqual([['b', '2']])
})
