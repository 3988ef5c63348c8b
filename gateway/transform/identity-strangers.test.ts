/** What upstreams take for a login name never comes from another issuer's word (SECURITY rules 11 and 12). */

import { expect, test } from 'vitest'
import type { IdentityDialect } from '../rules.ts'
import { principalNamed } from '../test/support/credentials.ts'
import { identityLines } from './identity-lines.ts'

const dialect: IdentityDialect = {
  preset: 'map',
  fields: [
    { name: 'X-Login', claim: 'login', separator: ',', form: 'plain' },
    { name: 'X-Id', claim: 'id', separator: ',', form: 'plain' },
  ],
}
const lines = (more: object, subject = 'ci:job-7') =>
  identityLines(dialect, principalNamed(subject, { email: 'ada@example.com', emailVerified: true, ...more }), true)

test('[FR-038] a stranger logs in by id, whatever e-mail its issuer verified', () => {
  expect(lines({ source: 'ci' })).toMatchObject({ lines: ['X-Login', 'ci:job-7', 'X-Id', 'ci:job-7'] })
})

test('[FR-038] one of our users does by e-mail, also when another issuer spoke for them', () => {
  expect(lines({ source: null }, 'u1')).toMatchObject({ lines: ['X-Login', 'ada@example.com', 'X-Id', 'u1'] })
  expect(lines({ source: 'ci' }, 'u1')).toMatchObject({ lines: ['X-Login', 'ada@example.com', 'X-Id', 'u1'] })
})
