/** The shape of `timeouts`, of an upstream and of a route. */

import { z } from 'zod'
import { duration } from './units.ts'

const DAY_MS = 86_400_000
const CONNECT_MS_MAX = 60_000

export const Timeouts = z.strictObject({
  connect: duration(1, CONNECT_MS_MAX)
    .optional()
    .meta({
      description: 'Until there is a connection, the wait for a free one included. Absent: 5s.',
      examples: ['2s'],
    }),
  firstByte: duration(1, DAY_MS)
    .optional()
    .meta({ description: 'Silence before the head of the answer. Absent: as `idle`.', examples: ['10s'] }),
  idle: duration(1, DAY_MS)
    .optional()
    .meta({ description: 'Silence between bytes: what `timeout` is short for.', examples: ['30s'] }),
  total: duration(1, DAY_MS)
    .optional()
    .meta({
      description: 'From the first byte to the last, event streams included. Absent: no end.',
      examples: ['10m'],
    }),
})
