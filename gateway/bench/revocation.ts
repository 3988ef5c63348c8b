/** `npm run bench:revocation`: how late four nodes under load honour 500 revocations, by kind. Starts and ends everything it needs. */

import { cpus } from 'node:os'
import { runRounds, startRevocationFleet } from '../test/fleet/rounds.ts'

const NODES = 4

const started = await startRevocationFleet(NODES)
try {
  const { summary, refused } = await runRounds(started)
  process.stdout.write(`${NODES} nodes, ${cpus().length} cores, Node ${process.version}\n${summary.join('\n')}\n`)
  if (refused.length > 0) throw new Error(`credentials that were good were refused: ${refused.slice(0, 3).join(' ')}`)
} finally {
  await started.close()
}
