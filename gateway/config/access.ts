/** Compiles what a route asks of its caller, per method, with its conditions. */

import { type ConditionScope, compileCondition } from '../authorize/when.ts'
import type { Access, AccessByMethod, Condition } from '../model.ts'
import type { AccessConfig, SingleAccess } from './access-schema.ts'
import type { Path, Trouble } from './issues.ts'

/** Methods that `write` is known to mean, for the Allow header; it means every other method but GET and HEAD too. */
const WRITES = ['POST', 'PUT', 'PATCH', 'DELETE'] as const

export type ReportAccess = (path: Path, trouble: Trouble) => void

export function compileAccess(
  config: AccessConfig,
  scope: ConditionScope,
  path: Path,
  report: ReportAccess,
): AccessByMethod {
  const access = new Map<string, Access>()
  const compileOne = (single: SingleAccess, at: Path): Access => compileSingle(single, scope, at, report)
  if (typeof config === 'string' || !isByMethod(config)) return access.set('*', compileOne(config, path))
  const { read, write, WEBSOCKET: webSocket, ...named } = config
  if (read !== undefined) {
    const compiled = compileOne(read, [...path, 'read'])
    access.set('GET', compiled).set('HEAD', compiled)
  }
  if (write !== undefined) {
    const compiled = compileOne(write, [...path, 'write'])
    for (const method of WRITES) access.set(method, compiled)
    access.set('write', compiled).set('websocket', compiled)
  }
  if (webSocket !== undefined) access.set('websocket', compileOne(webSocket, [...path, 'WEBSOCKET']))
  for (const [method, single] of Object.entries(named)) {
    const compiled = compileOne(single, [...path, method])
    access.set(method, compiled)
    if (method === 'GET' && named.HEAD === undefined) access.set('HEAD', compiled)
  }
  return access
}

/** Does every method of every caller end in 404? */
export function isAllDenied(access: AccessByMethod): boolean {
  for (const single of access.values()) if (single.kind !== 'deny') return false
  return true
}

type ByMethod = Readonly<Record<string, SingleAccess>>

function isByMethod(config: Exclude<AccessConfig, string>): config is ByMethod {
  return Object.keys(config).some((key) => key === 'read' || key === 'write' || /^[A-Z]/.test(key))
}

function compileSingle(single: SingleAccess, scope: ConditionScope, path: Path, report: ReportAccess): Access {
  if (typeof single === 'string') return { kind: single }
  const when = single.when === undefined ? null : compileCondition(single.when, scope)
  let condition: Condition | null = null
  if (typeof when === 'function') condition = when
  else if (when !== null) {
    const known = scope.params.filter((name) => name !== '').map((name) => `params.${name}`)
    const names = known.length === 0 ? 'this pattern names no parameters' : `this pattern has ${known.join(', ')}`
    report([...path, 'when'], {
      message: when.error,
      cure: `conditions read request.{method,host,path,query,headers,ip}, user.{id,email,name,roles,groups,scopes}, now, and params: ${names}`,
    })
  }
  return {
    kind: 'require',
    roles: single.role ?? [],
    scopes: single.scope ?? [],
    emails: single.email ?? [],
    with: single.with ?? [],
    when: condition,
  }
}
