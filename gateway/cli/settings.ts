/** What the environment and the command line say about how to run: checked here, once, with an error that says what to do. */

import { existsSync, writeFileSync } from 'node:fs'
import { startupError, usageError } from '../node/startup-error.ts'

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

/** Writes a file that somebody named. With `wx` it must not be there. */
export function writeOutput(file: string, text: string, flag: 'w' | 'wx' = 'w'): void {
  try {
    writeFileSync(file, text, { flag })
  } catch (error) {
    throw usageError(`${file} cannot be written: ${(error as NodeJS.ErrnoException).code}.`, error)
  }
}
