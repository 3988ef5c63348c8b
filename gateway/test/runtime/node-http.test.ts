/** The table of HTTP on Node, with the client of our own towards the upstream. */

import { nodeRuntime } from '../scenario/http/node-runtime.ts'
import { runHttpRows } from '../scenario/http/run.ts'

runHttpRows('own-client', nodeRuntime())
