/**
 * Every way a request can fail, in two columns.
 * A problem is public (RFC 9457); contracts/errors.md lists the same rows, and a test keeps it so.
 * A reason is for the log: it names the check that failed, which a stranger need not know.
 */

export interface Problem {
  readonly status: number
  readonly title: string
  /** Who can mend it. */
  readonly fault: 'client' | 'upstream' | 'gateway'
}

export const PROBLEMS = {
  'bad-request': { status: 400, title: 'Bad request', fault: 'client' },
  'malformed-target': { status: 400, title: 'Malformed request target', fault: 'client' },
  'ambiguous-target': { status: 400, title: 'Ambiguous request target', fault: 'client' },
  'ambiguous-credentials': { status: 400, title: 'Ambiguous credentials', fault: 'client' },
  'login-required': { status: 401, title: 'Login required', fault: 'client' },
  'invalid-session': { status: 401, title: 'Invalid session', fault: 'client' },
  'invalid-token': { status: 401, title: 'Invalid token', fault: 'client' },
  forbidden: { status: 403, title: 'Forbidden', fault: 'client' },
  'cross-site-request': { status: 403, title: 'Cross-site request refused', fault: 'client' },
  'not-found': { status: 404, title: 'Not found', fault: 'client' },
  'method-not-allowed': { status: 405, title: 'Method not allowed', fault: 'client' },
  'content-too-large': { status: 413, title: 'Content too large', fault: 'client' },
  'target-too-long': { status: 414, title: 'Request target too long', fault: 'client' },
  'expectation-failed': { status: 417, title: 'Expectation failed', fault: 'client' },
  'misdirected-request': { status: 421, title: 'Misdirected request', fault: 'client' },
  'too-many-requests': { status: 429, title: 'Too many requests', fault: 'client' },
  'headers-too-large': { status: 431, title: 'Request header fields too large', fault: 'client' },
  'request-timeout': { status: 408, title: 'Request timeout', fault: 'client' },
  'upstream-unreachable': { status: 502, title: 'Upstream unreachable', fault: 'upstream' },
  'upstream-protocol-error': { status: 502, title: 'Upstream answered unintelligibly', fault: 'upstream' },
  'cannot-decide': { status: 503, title: 'Cannot decide', fault: 'gateway' },
  'upstream-timeout': { status: 504, title: 'Upstream timeout', fault: 'upstream' },
} as const satisfies Record<string, Problem>

export type ProblemCode = keyof typeof PROBLEMS

export const REASONS = {
  'head.malformed': 'bad-request',
  'head.duplicate-host': 'bad-request',
  'head.missing-host': 'bad-request',
  'head.framing': 'bad-request',
  'head.too-large': 'headers-too-large',
  'head.timeout': 'request-timeout',
  'expect.unknown': 'expectation-failed',
  'method.refused': 'method-not-allowed',
  'method.unlisted': 'method-not-allowed',
  'target.malformed': 'malformed-target',
  'target.dot-segment': 'malformed-target',
  'target.encoded-separator': 'malformed-target',
  'target.control': 'malformed-target',
  'target.fragment': 'malformed-target',
  'target.authority-differs': 'malformed-target',
  'target.too-long': 'target-too-long',
  'target.ambiguous': 'ambiguous-target',
  'authority.unknown': 'misdirected-request',
  'address.limit': 'too-many-requests',
  'route.unlisted': 'not-found',
  'route.denied': 'not-found',
  'service-worker.refused': 'forbidden',
  'credential.duplicate': 'ambiguous-credentials',
  'credential.subjects-differ': 'ambiguous-credentials',
  'credential.missing': 'login-required',
  'credential.scheme': 'invalid-token',
  'session.malformed': 'invalid-session',
  'session.unavailable': 'cannot-decide',
  'token.malformed': 'invalid-token',
  'token.signature': 'invalid-token',
  'token.algorithm': 'invalid-token',
  'token.key-unknown': 'invalid-token',
  'token.type': 'invalid-token',
  'token.issuer': 'invalid-token',
  'token.audience': 'invalid-token',
  'token.expired': 'invalid-token',
  'token.not-yet-valid': 'invalid-token',
  'token.session-ended': 'invalid-token',
  'keys.unavailable': 'cannot-decide',
  'csrf.cross-site': 'cross-site-request',
  'csrf.no-evidence': 'cross-site-request',
  'role.missing': 'forbidden',
  'scope.missing': 'forbidden',
  'email.missing': 'forbidden',
  'credential.kind': 'forbidden',
  'condition.false': 'forbidden',
  'body.too-large': 'content-too-large',
  'identity.unwritable': 'cannot-decide',
  'assertion.unavailable': 'cannot-decide',
  'counters.unavailable': 'cannot-decide',
  'gateway.bug': 'cannot-decide',
  'upstream.refused': 'upstream-unreachable',
  'upstream.terminated': 'upstream-unreachable',
  'upstream.protocol': 'upstream-protocol-error',
  'upstream.timeout': 'upstream-timeout',
  'upstream.none': 'cannot-decide',
} as const satisfies Record<string, ProblemCode>

export type Reason = keyof typeof REASONS
