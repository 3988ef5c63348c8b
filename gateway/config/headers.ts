/** Compiles what a route says of headers: changes on both sides, and what pages of other origins may do. */

import type { CorsRules, HeaderEdits } from '../rules.ts'
import type { RouteConfig } from './route-schema.ts'

type EditsConfig = NonNullable<NonNullable<RouteConfig['headers']>['request']>

export function compileEdits(config: EditsConfig | undefined): HeaderEdits | null {
  if (config === undefined) return null
  const { remove, set, add } = config
  return {
    remove: new Set([...remove, ...Object.keys(set)].map((name) => name.toLowerCase())),
    set: Object.entries(set).flat(),
    add: Object.entries(add).flat(),
  }
}

export function compileCors(config: RouteConfig['cors']): CorsRules | null {
  if (config === undefined) return null
  return {
    origins: new Set(config.origins.filter((origin) => origin !== '*')),
    isAnyOrigin: config.origins.includes('*'),
    methods: config.methods,
    headers: config.headers.map((name) => name.toLowerCase()),
    exposedHeaders: config.expose,
    isWithCredentials: config.credentials,
    maxAgeS: Math.floor(config.maxAge / 1000),
  }
}
