/** `postern routes`: the table that requests are matched against, most specific first, with who may do what in plain words. */

import { styleText } from 'node:util'
import { loadForTools } from '../node/config-file.ts'
import { type RouteRow, routeRows } from '../policy/routes-table.ts'
import { configFile } from './settings.ts'

export interface RoutesOptions {
  readonly json?: boolean
}

const HEADS = ['pattern', 'methods', 'access', 'to', 'limits', 'place'] as const

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
    at === 0 ? [row.pattern, methods, access, to, row.limits || '-', row.place] : ['', methods, access, '', '', ''],
  )
}
