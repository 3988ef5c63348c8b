/** `postern check`: would this policy start? Every mistake is printed with its line, column and cure; exit code 1 if there is one. */

import { loadPolicy, readPolicyFile } from '../node/config-file.ts'
import { configFile } from './settings.ts'

export function check(file: string | undefined): void {
  const policy = readPolicyFile(configFile(file))
  const { config, warnings } = loadPolicy(policy, process.env, { port: null, upstreamUrl: null })
  for (const warning of warnings) process.stdout.write(`warning: ${warning}\n`)
  const routes = Object.keys(config.routes).length
  const upstreams = Object.keys(config.upstreams).length
  process.stdout.write(`${policy.file}: ok, ${count(routes, 'route')} to ${count(upstreams, 'upstream')}\n`)
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
