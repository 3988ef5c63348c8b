/** JSON objects (RFC 8259 §4) that somebody else wrote: any name may be there, with anything at all. */

export type JsonObject = Readonly<Record<string, unknown>>

/** A list is none, and neither is null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Null for what is not the JSON text of an object. */
export function parseObject(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}
