/** An answer that follows from a short text alone, worked out once: requests and answers mostly say what those before them said. */

/** Emptied when full, so that many voices cost speed, never memory. */
const TEXTS_MAX = 256
/** A longer text is not worth remembering. */
const TEXT_CHARS_MAX = 256

export function remembered<Answer extends NonNullable<unknown> | null>(
  answer: (text: string) => Answer,
  textsMax = TEXTS_MAX,
  charsMax = TEXT_CHARS_MAX,
): (text: string) => Answer {
  const answers = new Map<string, Answer>()
  return (text) => {
    const known = answers.get(text)
    if (known !== undefined) return known
    const found = answer(text)
    if (text.length > charsMax) return found
    if (answers.size >= textsMax) answers.clear()
    answers.set(text, found)
    return found
  }
}
