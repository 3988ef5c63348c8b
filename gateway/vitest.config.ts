/** How the tests run: every `*.test.ts` in processes of their own, against real servers, with no retries that could hide a failure. */

import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    include: ['gateway/**/*.test.ts', 'upstream-mock/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    silent: 'passed-only',
    retry: 0,
    allowOnly: false,
    passWithNoTests: false,
  },
})
