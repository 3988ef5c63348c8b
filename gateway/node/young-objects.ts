/**
 * V8 remembers of each place in the code whether what is made there lives long, and then makes it among the old objects at once
 * (pretenuring). To a proxy that is a trap: after a thousand streams, or a crowd of idle connections, it takes what
 * each request leaves behind for old too. A request is dead a millisecond later; but what is old dies only in the next full collection,
 * and keeps alive until then what it refers to. Measured: 13 ms a scavenge in place of 1, and 90 us a request in place of 65, for good.
 */

import { setFlagsFromString } from 'node:v8'

/** For this process, before anything is served. */
export function keepObjectsYoung(): void {
  setFlagsFromString('--no-allocation-site-pretenuring')
}
