/** What an examination found: good, worth a look, or wrong, with what to do about it. */

export interface Finding {
  /** What was looked at, such as `upstream api`. */
  readonly about: string
  readonly verdict: 'good' | 'warning' | 'wrong'
  readonly message: string
  /** Empty where all is well. */
  readonly cure: string
}

export function good(about: string, message: string): Finding {
  return { about, verdict: 'good', message, cure: '' }
}

export function warning(about: string, message: string, cure: string): Finding {
  return { about, verdict: 'warning', message, cure }
}

export function wrong(about: string, message: string, cure: string): Finding {
  return { about, verdict: 'wrong', message, cure }
}
