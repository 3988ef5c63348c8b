/** The changes a route makes to a head: taken out, set in place of all of a name, added beside what is there. */

import { isFieldValue, readName } from '../http/field-line.ts'
import type { HeaderList } from '../model.ts'
import type { HeaderEdits } from '../rules.ts'

/** Appends what a route sets and adds. What would break the head never comes so far, and would stay out. */
export function pushEdits(lines: string[], { set, add }: HeaderEdits): void {
  for (const edits of [set, add]) {
    for (let at = 0; at < edits.length; at += 2) {
      const name = edits[at]!
      const value = edits[at + 1]!
      if (readName(name).shape === 'plain' && isFieldValue(value)) lines.push(name, value)
    }
  }
}

/** A whole head with its changes. What its sender nominates for one hop goes first, and takes nothing of ours with it. */
export function edited(
  headers: HeaderList,
  nominated: ReadonlySet<string> | null,
  edits: HeaderEdits | null,
): HeaderList {
  if (nominated === null && edits === null) return headers
  const lines: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    const lower = headers[at]!.toLowerCase()
    if (!nominated?.has(lower) && !edits?.remove.has(lower)) lines.push(headers[at]!, headers[at + 1]!)
  }
  if (edits !== null) pushEdits(lines, edits)
  return lines
}
