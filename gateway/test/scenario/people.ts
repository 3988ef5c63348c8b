/** The people of the scenario table, as claims of a token and as users of a real identity provider. */

import type { Person } from './table.ts'

export interface Presented {
  readonly id: string
  readonly email: string
  readonly token: string
}

export type Presenter = (person: Exclude<Person, 'nobody'>) => Presented

export const ROLES: Record<Exclude<Person, 'nobody'>, readonly string[]> = {
  reader: ['user'],
  admin: ['admin', 'editor'],
}
