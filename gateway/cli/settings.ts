/** What the environment and the command line say about how to run: checked here, once, with an error that says what to do. */

import { existsSync } from 'node:fs'
import { startupError } from '../node/startup-error.ts'

const DEFAULT_CONFIG = 'config/gateway.yaml'
/** Where `init` writes it. */
const CONFIG_HERE = 'gateway.yaml'

export function configFile(option: string | undefined): string {
  const named = option ?? (process.env.POSTERN_CONFIG || null)
  if (named !== null) return named
  return existsSync(CONFIG_HERE) && !existsSync(DEFAULT_CONFIG) ? CONFIG_HERE : DEFAULT_CONFIG
}

/** PORT, or null when it is not set. */
export function portOverride(): number | null {
  const text = process.env.PORT
  if (text === undefined || text === '') return null
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port
  throw startupError(`PORT is ${JSON.stringify(text)}, and must be a number from 1 to 65535.`)
}
