/** A principal of ours, for tests that need somebody and not how they signed in. */

import type { Principal } from '../../model.ts'

export function principalOf(name: string, more: Partial<Principal> = {}): Principal {
  return {
    kind: 'user',
    credential: 'token',
    subject: name,
    issuer: 'http://books.test',
    source: null,
    email: `${name}@books.test`,
    emailVerified: true,
    name,
    roles: ['reader'],
    scopes: [],
    groups: [],
    claims: {},
    sessionId: `${name}-1`,
    tokenId: null,
    keyId: null,
    authenticatedAtMs: 0,
    methods: [],
    hasSecondFactor: false,
    expiresAtMs: Date.now() + 3_600_000,
    ...more,
  }
}
