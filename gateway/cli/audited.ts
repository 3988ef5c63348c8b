/** What the command line changes is on record before it is done, as what the admin API changes is. */

import type { Opened } from '../node/open.ts'
import { startupError } from '../node/startup-error.ts'
import type { AuditEvent } from '../ports.ts'

/** Rejects when it cannot be put on record, and then nothing is done; else as `work` does. */
export async function audited<T>(
  { audit }: Pick<Opened, 'audit'>,
  action: string,
  target: string,
  work: () => Promise<T>,
  detailOf: (done: T) => string,
): Promise<T> {
  const event: AuditEvent = { actor: 'cli', action, target, requestId: '-', clientAddress: null }
  const id = await audit.begin(event).catch((error: unknown) => {
    throw startupError('Nothing was done: it could not be put on record. Check that the database runs.', error)
  })
  try {
    const done = await work()
    await audit.end(id, event, 'done', detailOf(done))
    return done
  } catch (error) {
    await audit.end(id, event, 'failed', error instanceof RangeError ? error.message : 'store')
    throw error
  }
}
