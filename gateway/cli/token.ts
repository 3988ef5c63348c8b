/**
 * `postern token`: signs a person of the policy's `people` in at a gateway under development and prints what proves it. It
 * writes to that gateway's own database, so it refuses any gateway that others could reach (SECURITY rules 28 and 30).
 */

import { isLoopback } from '../config/network.ts'
import type { GatewayConfig } from '../config/schema.ts'
import type { TestPerson } from '../identity-provider/test-people.ts'
import { readPolicyFile } from '../node/config-file.ts'
import { jsonJournal } from '../node/journal.ts'
import { type Opened, openAll } from '../node/open.ts'
import { startupError } from '../node/startup-error.ts'
import { audited } from './audited.ts'
import { configFile, portOverride } from './settings.ts'

export interface TokenOptions {
  readonly config?: string
  readonly data: string
  readonly jwt?: boolean
  readonly json?: boolean
}

type Person = GatewayConfig['people'][string]

/** What to send, and under which name. */
interface Proof {
  readonly header: string
  readonly value: string
}

export async function mintToken(name: string, options: TokenOptions): Promise<void> {
  const policy = readPolicyFile(configFile(options.config))
  const journal = jsonJournal(2)
  const [dataDir, port] = [options.data, portOverride()]
  const opened = await openAll({ policy, env: process.env, dataDir, journal, port, isCommand: true })
  try {
    const { config } = opened
    refuseOthers(config.origin)
    const person = personOf(config, name)
    if (options.jwt === true && person.key !== undefined) {
      throw startupError(`\`${name}\` comes with an API key, and \`--jwt\` is for users. Leave it out.`)
    }
    const { header, value } = await audited(
      opened,
      'mint test token',
      `person:${name}`,
      () => prove(opened, name, person, options.jwt === true || person.with === 'token'),
      () => name,
    )
    if (options.json === true) print(JSON.stringify({ person: name, header, value }))
    else {
      print(value)
      const sent = header === 'Authorization' ? `Authorization: Bearer ${'$'}TOKEN` : `${header}: ${'$'}TOKEN`
      process.stderr.write(`TOKEN=$(postern token ${name}); curl -H "${sent}" ${config.origin}/\n`)
    }
  } finally {
    await opened.close()
  }
}

function refuseOthers(origin: string): void {
  const { protocol, hostname } = new URL(origin)
  const isHere = protocol === 'http:' && isLoopback(hostname)
  if (isHere && process.env.NODE_ENV !== 'production') return
  throw startupError(
    `Test tokens are for a gateway on this machine, and this policy is for ${origin}. Name a policy whose origin is http://localhost with --config.`,
  )
}

function personOf({ people }: GatewayConfig, name: string): Person {
  const person = Object.hasOwn(people, name) ? people[name]! : null
  if (person !== null) {
    if (person.token === undefined) return person
    throw startupError(
      `\`${name}\` comes with a token of the issuer \`${person.token}\`, which alone can make one. \`postern explain\` and \`postern test\` need none.`,
    )
  }
  const known = Object.keys(people).join(', ')
  throw startupError(
    known === ''
      ? 'This policy has no `people`. Add `people: { alice: { id: u_1, roles: [reader] } }` to it.'
      : `There is no \`${name}\` among the people of this policy: ${known}.`,
  )
}

async function prove(opened: Opened, name: string, person: Person, isJwt: boolean): Promise<Proof> {
  const { identity, config } = opened
  if (person.key === undefined) {
    const settled = await settle(opened, name, person)
    const session = await identity.testPeople.signIn(settled)
    return { header: 'Authorization', value: isJwt ? await identity.testPeople.jwtOf(session) : session }
  }
  if (config.keys === undefined) {
    throw startupError(`\`${name}\` comes with an API key, and this policy takes none. Add \`keys: {}\` to it.`)
  }
  const [ownerName, owner] = ownerOf(config, name, person)
  const { id: ownerId } = await settle(opened, ownerName, owner)
  const wanted = { ownerId, name: person.key, scopes: person.scopes, expiresAtMs: null, rate: null }
  const { key } = await identity.apiKeys.create(wanted)
  return { header: config.keys.header, value: key }
}

/** The owner among the people, by name or id; else a user with that id and nothing else. */
function ownerOf({ people }: GatewayConfig, name: string, { owner, roles }: Person): [string, Person] {
  const wanted = owner ?? name
  for (const [other, candidate] of Object.entries(people)) {
    if (candidate.key === undefined && (other === wanted || candidate.id === wanted)) return [other, candidate]
  }
  return [wanted, { ...people[name]!, id: wanted, roles }]
}

async function settle(opened: Opened, name: string, person: Person): Promise<TestPerson> {
  const { id = name, email, emailVerified, roles, mfa, signedIn = 0 } = person
  const settled: TestPerson = {
    id,
    email: email ?? `${name}@people.invalid`,
    emailVerified: email !== undefined && emailVerified,
    name: person.name ?? name,
    roles,
    methods: mfa ? ['pwd', 'otp'] : ['pwd'],
    authenticatedAtMs: Date.now() - signedIn,
  }
  await opened.identity.testPeople.settle(settled).catch((error: unknown) => {
    throw startupError(
      error instanceof Error ? `${error.message}. Change the file, or use another folder with --data.` : String(error),
      error,
    )
  })
  return settled
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
