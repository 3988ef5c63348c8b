/** An answer that follows from a short text alone, worked out once: what an upstream says is mostly what it said before. */

/** Emptied when full, so that an upstream of many voices costs speed, never memory. */
const TEXTS_MAX = 256
/** A longer text is not worth remembering. */
const TEXT_CHARS_MAX = 256

export function remembered(answer: (text: string) => string): (text: string) => string {
  const answers = new Map<string, string>()
  return (text) => {
    const known = answers.get(text)
    if (known !== undefined) return known
    const found = answer(text)
    if (text.length > TEXT_CHARS_MAX) return found
    if (answers.size >= TEXTS_MAX) answers.clear()
    answers.set(text, found)
    return found
  }
}
