/** What to write instead, for the mistakes that people make in their first conditions. */

const CURES: readonly (readonly [error: RegExp, cure: string])[] = [
  [/Unexpected character: =/, 'CEL compares with `==`'],
  [/Unexpected character: [&|]/, 'CEL writes `&&` and `||`'],
  [/no such overload: list<string> [!=]= string/, 'ask whether the list holds it: `"editor" in user.roles`'],
  [/no such overload: string in string/, 'ask whether one text holds the other: `user.email.endsWith("@example.com")`'],
  [/no such overload: .+ (?:[!=<>]=?|in) /, 'both sides must be of one kind: text in quotes, numbers and true without'],
  [/yields string, and must yield bool/, 'compare it with something: `user.id == "u_1"`'],
  [/yields list/, 'ask for one of its values: `"editor" in user.roles`'],
  [/yields .*, and must yield bool/, 'write a comparison, such as `user.id == params.user`'],
]
const SPELLED_OUT = /(?:^|\s)(?:and|or|not|AND|OR|NOT)\s/

/** Null where nothing better can be said than which facts there are. */
export function conditionCure(source: string, error: string): string | null {
  const known = CURES.find(([pattern]) => pattern.test(error))
  if (known !== undefined) return known[1]
  return SPELLED_OUT.test(source) ? 'CEL writes `&&`, `||` and `!` for and, or and not' : null
}
