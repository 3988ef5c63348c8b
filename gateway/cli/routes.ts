/** `postern routes`: the table that requests are matched against, most specific first, with who may do what in plain words. */

import { styleText } from 'node:util'
import { loadForTools } from '../node/config-file.ts'
import { type RouteRow, routeRows } from '../policy/routes-table.ts'
import { configFile } from './settings.ts'

export interface RoutesOptions {
  readonly json?: boolean
}

/** What can be long stands last: a narrow terminal breaks it, and no other row is padded to its width. */
const HEADS = ['pattern', 'methods', 'to', 'limits', 'place', 'access'] as const

export function routes(given: string | undefined, options: RoutesOptions): void {
  const { snapshot } = loadForTools(configFile(given))
  const rows = routeRows(snapshot.routes.all ?? [])
  process.stdout.write(options.json === true ? `${JSON.stringify(rows, null, 2)}\n` : table(rows))
}

function table(rows: readonly RouteRow[]): string {
  const lines = rows.flatMap(cellsOf)
  const widths = HEADS.map((head, at) => Math.max(head.length, ...lines.map((line) => line[at]!.length)))
  const text = (cells: readonly string[]) =>
    cells
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join('  ')
      .trimEnd()
  return `${[styleText('dim', text(HEADS)), ...lines.map(text)].join('\n')}\n`
}

/** One line for each group of methods; what a route has once stands in the first. */
function cellsOf(row: RouteRow): readonly (readonly string[])[] {
  const to = row.upstream === null ? '-' : row.rewrite === null ? row.upstream : `${row.upstream} (${row.rewrite})`
  const proposed = row.proposed.map((group) => ({ ...group, access: `proposed: ${group.access}` }))
  return [...row.access, ...proposed].map(({ methods, access }, at) =>
    at === 0 ? [row.pattern, methods, to, row.limits || '-', row.place, access] : ['', methods, '', '', '', access],
  )
}
