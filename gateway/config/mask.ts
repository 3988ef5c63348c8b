/** A line of a policy as it may be printed: what could be a secret is hidden, references to secrets are not (SECURITY rule 28). */

/** As many characters as before, so that a caret still points where it did. */
export function mask(line: string): string {
  const named = maskNamed(line)
  return PATTERNS.reduce((text, pattern) => text.replace(pattern, hide), named)
}

const PATTERNS = [
  /** The password of a URL, up to the last `@`: who forgets to escape one writes `/` and `@` in it. */
  /(?<=:\/\/[^\s/:@]*:)[^\s"']+(?=@)/g,
  /(?<=["'][a-z+]*:\/\/[^\s/:@"']*:)[^"']+(?=@)/g,
  /** A token in the place of a name, and both where the scheme was forgotten. */
  /(?<=:\/\/)[^\s/:@"']+(?=@)/g,
  /(?<=[\w-]:|\/\/:)(?!\/\/)[^\s"'@]+(?=@)/g,
  /(?<=\b(?:password|passwd|secret|token|auth)=)[^\s&"',}\]]+/gi,
  /** What is private in a JWK. */
  /(?<=(?<![\w-])(?:d|k|p|q|dp|dq|qi)["']?\s*:\s*["']?)[\w-]{16,}/g,
]

/** `secret`, `clientSecret` and such, also misspelt: a key that is not known is printed with its line. */
const NAMED = /(?:s[ecr]{3,5}t|passw(?:or)?d|passphrase)[\w-]*["']?\s*:\s*/gi

function maskNamed(line: string): string {
  let masked = ''
  let from = 0
  for (const { 0: name, index } of line.matchAll(NAMED)) {
    const start = index + name.length
    if (start < from) continue
    const end = endOfValue(line, start)
    masked += line.slice(from, start) + hide(line.slice(start, end))
    from = end
  }
  return masked + line.slice(from)
}

/** Where the value that begins there ends in this line. In doubt it is longer. */
function endOfValue(line: string, start: number): number {
  const rest = line.slice(start)
  const [plain] = QUOTED.exec(rest) ?? (/^[[{]/.test(rest) ? [group(rest)] : (PLAIN.exec(rest) ?? ['']))
  return start + plain!.length
}

const QUOTED = /^(?:"(?:[^"\\]|\\.)*(?:"|$)|'(?:[^']|'')*(?:'|$))/
/** A reference; or all before the next key, the end of the map, or a comment. */
const PLAIN = /^(?:\$\{[^}]*\}|(?!,\s*["']?[\w-]+["']?\s*:|\s*[}\]]\s*(?:$|[,}\]#])|\s#).)+/

/** The list or map that a text begins with. */
function group(text: string): string {
  let depth = 0
  for (let at = 0; at < text.length; at += 1) {
    const quoted = QUOTED.exec(text.slice(at))
    if (quoted !== null) at += quoted[0].length - 1
    else if (/[[{]/.test(text[at]!)) depth += 1
    else if (/[\]}]/.test(text[at]!) && --depth === 0) return text.slice(0, at + 1)
  }
  return text
}

const REFERENCE = /(\$\{(?:env|file):[^}]*\})/

/** All but references and punctuation. */
function hide(secret: string): string {
  const parts = secret.split(REFERENCE)
  return parts.map((part, at) => (at % 2 === 1 ? part : part.replace(/[^\s"'[\]{},]/g, '*'))).join('')
}
