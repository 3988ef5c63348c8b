/** What differs between two files outside their routes: each such setting speaks for every request. Never shows a secret. */

import type { GatewayConfig } from '../../config/schema.ts'
import { isObject } from '../../http/json.ts'
import type { Snapshot } from '../../snapshot.ts'

export interface SettingChange {
  readonly change: 'changed'
  readonly what: string
  readonly methods: readonly string[]
  readonly before: string
  readonly after: string
}

interface Compared {
  readonly config: GatewayConfig
  readonly snapshot: Snapshot
}

/** Seen in the routes already, or deciding nothing. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'version',
  'include',
  'upstreams',
  'defaults',
  'people',
  'tests',
  'routes',
])
/** May hold what nobody should read in a terminal (SECURITY rule 28). */
const HIDDEN = /^store(?:\.|$)|secret|password/i
const NONE = 'absent'
const VALUE_CHARS_MAX = 200

/** The finest key that differs, in the order of the file. */
export function settingChanges(before: Compared, after: Compared): readonly SettingChange[] {
  const changes: SettingChange[] = []
  const add = (what: string, was: string, is: string): void => {
    changes.push({ change: 'changed', what, methods: ['all methods'], before: was, after: is })
  }
  const walk = (path: string, was: unknown, is: unknown): void => {
    if (canonical(was) === canonical(is)) return
    if (isObject(was) && isObject(is)) {
      const keys = new Set([...Object.keys(was), ...Object.keys(is)])
      for (const key of keys)
        if (path !== '' || !ELSEWHERE.has(key)) walk(path === '' ? key : `${path}.${key}`, was[key], is[key])
    } else if (HIDDEN.test(path)) {
      add(path, was === undefined ? NONE : 'a value', is === undefined ? NONE : 'another value')
    } else {
      add(path, valueWords(path, was), valueWords(path, is))
    }
  }
  walk('', before.config, after.config)
  for (const [what, namesOf] of Object.entries(NAMES)) {
    const [was, is] = [namesOf(before.snapshot), namesOf(after.snapshot)]
    const [gone, come] = [[...was].filter((name) => !is.has(name)), [...is].filter((name) => !was.has(name))]
    if (gone.length + come.length > 0) add(what, gone.sort().join(', ') || NONE, come.sort().join(', ') || NONE)
  }
  return changes
}

/** What one route says of header names holds for the clients of all. */
const NAMES: Readonly<Record<string, (snapshot: Snapshot) => ReadonlySet<string>>> = {
  'headers no client may send': ({ reservedNames }) => reservedNames,
  'odd header names let in': ({ admission }) => admission.allowHeaderNames,
}

function valueWords(path: string, value: unknown): string {
  if (value === undefined) return NONE
  // A whole entry may hold a secret further down; its name says enough.
  if (isObject(value)) return HIDDEN.test(Object.keys(value).join(' ')) || path === 'tokens' ? 'present' : shown(value)
  return shown(value)
}

function shown(value: unknown): string {
  const text = canonical(value, true)
  return text.length > VALUE_CHARS_MAX ? `${text.slice(0, VALUE_CHARS_MAX)}...` : text
}

/** JSON with sorted keys. Lists of plain values are sets here: their order decides nothing. */
function canonical(value: unknown, isForPeople = false): string {
  if (Array.isArray(value)) {
    const items = value.map((item) => canonical(item, isForPeople))
    return `[${(value.some(isObject) ? items : items.sort()).join(isForPeople ? ', ' : ',')}]`
  }
  if (isObject(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined)
    const parts = entries.map(([key, item]) => {
      const text = isForPeople && HIDDEN.test(key) ? '(hidden)' : canonical(item, isForPeople)
      return isForPeople ? `${key}: ${text}` : `${JSON.stringify(key)}:${text}`
    })
    return `{${parts.sort().join(isForPeople ? ', ' : ',')}}`
  }
  return isForPeople && typeof value === 'string' ? value : (JSON.stringify(value) ?? 'null')
}
