/** What `people` and `tests` mean together with the rest of the policy: a test that names nobody shows nothing. */

import { parseAddress } from '../http/address.ts'
import { nearest, type Path, type Trouble } from './issues.ts'
import type { PersonConfig } from './people-schema.ts'
import type { GatewayConfig } from './schema.ts'

type Report = (path: Path, trouble: Trouble) => void

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/
const NOBODY = 'nobody'
/** Claims of a token that have a key of their own in `people`. */
const OWN_KEYS: readonly string[] = ['roles', 'scopes', 'groups', 'email', 'name']

export function checkPeople(config: GatewayConfig, report: Report): void {
  for (const [name, person] of Object.entries(config.people)) checkPerson(['people', name], person, config, report)
  const names = Object.keys(config.people)
  for (const [at, test] of config.tests.entries()) {
    const path = ['tests', at]
    if (test.as !== NOBODY && !Object.hasOwn(config.people, test.as)) {
      const guess = nearest(test.as, [...names, NOBODY])
      const known = [NOBODY, ...names.slice(0, NAMES_SHOWN_MAX)].join(', ')
      report([...path, 'as'], {
        message: `there is no person \`${test.as}\``,
        cure: guess === null ? `people here: ${known}` : `did you mean \`${guess}\`? people here: ${known}`,
      })
    }
    if (test.from !== undefined && parseAddress(test.from) === null) {
      report([...path, 'from'], { message: `\`${test.from}\` is not an address`, cure: 'for example `from: 10.1.2.3`' })
    }
    for (const section of ['headers', 'upstream'] as const) {
      for (const name of Object.keys(test[section] ?? {})) {
        if (HEADER_NAME.test(name)) continue
        report([...path, section, name], {
          message: `\`${name}\` is not the name of a header`,
          cure: 'write its name alone, such as `X-Forwarded-User`',
          isAboutKey: true,
        })
      }
    }
    if (test.expect !== 'allow' && (test.upstream !== undefined || test.path !== undefined)) {
      const key = test.upstream === undefined ? 'path' : 'upstream'
      report([...path, key], {
        message: 'a request that is refused reaches no upstream',
        cure: `write \`expect: allow\`, or remove \`${key}\``,
        isAboutKey: true,
      })
    }
  }
}

const NAMES_SHOWN_MAX = 20

function checkPerson(path: Path, person: PersonConfig, config: GatewayConfig, report: Report): void {
  const only = (key: keyof PersonConfig, message: string, cure: string): void => {
    report([...path, key], { message, cure, isAboutKey: true })
  }
  if (person.key !== undefined && person.token !== undefined) {
    only('token', 'a person comes with a key or with a token, never with both', 'make two people of it')
    return
  }
  if (person.token !== undefined) checkTokenHolder(path, person, config, report)
  else {
    if (person.sub !== undefined) only('sub', '`sub` is of a token', 'add `token: <issuer>`, or write `id` for a user')
    if (Object.keys(person.claims).length > 0) {
      only('claims', 'claims are of a token: our own users have none', 'add `token: <issuer>`, or remove them')
    }
  }
  if (person.key === undefined) {
    if (person.owner !== undefined) only('owner', '`owner` is of an API key', 'add `key: <id>`, or remove it')
    return
  }
  if (config.keys === undefined) {
    only('key', 'this policy takes no API keys: `keys` is absent', 'add `keys: {}`, or remove `key`')
  }
  if (person.owner === undefined) only('key', 'every key acts for a user', 'add `owner:`, an id or a name of `people`')
  if (person.mfa) only('mfa', 'a key never shows a second factor', 'remove it')
  for (const key of ['id', 'email', 'name'] as const) {
    if (person[key] !== undefined)
      only(key, `a key has no \`${key}\` of its own: it acts for its owner`, 'write it there')
  }
}

function checkTokenHolder(path: Path, person: PersonConfig, config: GatewayConfig, report: Report): void {
  const name = person.token!
  const entry = Object.hasOwn(config.tokens, name) ? config.tokens[name] : undefined
  if (entry === undefined) {
    const known = Object.keys(config.tokens)
    const guess = nearest(name, known)
    const list = known.length === 0 ? 'this policy has no `tokens`' : `issuers here: ${known.join(', ')}`
    report([...path, 'token'], {
      message: `there is no issuer \`${name}\``,
      cure: guess === null ? list : `did you mean \`${guess}\`? ${list}`,
    })
    return
  }
  if (person.sub === undefined) {
    report([...path, 'token'], { message: 'a token names its subject', cure: 'add `sub:`', isAboutKey: true })
  }
  const mapped = Object.keys(entry.claims).filter((claim) => !OWN_KEYS.includes(claim))
  for (const claim of Object.keys(person.claims)) {
    if (mapped.includes(claim)) continue
    const guess = nearest(claim, mapped)
    const own = OWN_KEYS.includes(claim) ? `write it as \`${claim}:\` of the person` : null
    report([...path, 'claims', claim], {
      message: `\`${name}\` maps no claim \`${claim}\``,
      cure: own ?? (guess === null ? `name it under \`tokens.${name}.claims\`` : `did you mean \`${guess}\`?`),
      isAboutKey: true,
    })
  }
}
