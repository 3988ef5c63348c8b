/** A form posted to us: sent by a page of ours, small, and with each field at most once, or refused. */

import { z } from 'zod'
import { siteOf } from '../http/site.ts'
import { Refusal } from '../model.ts'

const BODY_BYTES_MAX = 16_384
const FORM_TYPE = 'application/x-www-form-urlencoded'

/**
 * The evidence that a page of ours sent this form (SECURITY rule 14). Asked for without a cookie too: a stranger's page
 * that signs a visitor in as somebody else reads what the visitor then types.
 */
export function refuseForeignForm(origin: string, request: Request): Refusal | null {
  const site = siteOf(origin, request.headers.get('sec-fetch-site'), request.headers.get('origin'))
  if (site === 'ours') return null
  if (site === 'foreign') return new Refusal('csrf.cross-site')
  return new Refusal('csrf.no-evidence', {
    detail: 'A form needs Sec-Fetch-Site: same-origin or an Origin header of this gateway.',
  })
}

/** The fields of a form, or a Refusal. */
export async function readForm(origin: string, request: Request): Promise<Readonly<Record<string, string>> | Refusal> {
  const foreign = refuseForeignForm(origin, request)
  if (foreign !== null) return foreign
  const type = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== FORM_TYPE) return new Refusal('head.malformed', { detail: `This address takes ${FORM_TYPE}.` })
  const text = await readText(request)
  if (text === null) return new Refusal('body.too-large')
  const fields = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(text)) {
    if (fields.has(name)) return new Refusal('head.malformed', { detail: 'A form field was given twice.' })
    fields.set(name, value)
  }
  return Object.fromEntries(fields)
}

/** The whole body, or null when it is larger than any form of ours. */
async function readText(request: Request): Promise<string | null> {
  if (request.body === null) return ''
  const reader = request.body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (let bytes = 0; ; ) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    bytes += value.byteLength
    if (bytes > BODY_BYTES_MAX) {
      await reader.cancel()
      return null
    }
    text += decoder.decode(value, { stream: true })
  }
}

const Email = z
  .string()
  .trim()
  .max(254, 'That e-mail address is too long.')
  .pipe(z.email('Enter an e-mail address, such as name@example.com.'))
const Password = z.string().min(1, 'Enter your password.').max(128, 'A password has at most 128 characters.')
const NewPassword = z
  .string()
  .min(8, 'Choose a password of at least 8 characters.')
  .max(128, 'A password has at most 128 characters.')
/** Anything people are called; no controls, and none of the overrides that make a text read otherwise than it is written. */
const Name = z
  .string()
  .trim()
  .min(1, 'Enter your name.')
  .max(100, 'A name has at most 100 characters here.')
  .regex(/^[^\p{Cc}\u202a-\u202e\u2066-\u2069]*$/u, 'The name holds a character that cannot be shown.')

export const SignInForm = z.object({ email: Email, password: Password })
export const SignUpForm = z.object({ name: Name, email: Email, password: NewPassword })
export const AccountForm = z.discriminatedUnion('action', [
  z.object({ action: z.literal('end-one'), session: z.string().min(1).max(128) }),
  z.object({ action: z.literal('end-all') }),
  z.object({ action: z.literal('change-password'), current: Password, next: NewPassword }),
])

/** The first complaint about each field. */
export function errorsOf(error: z.ZodError): Readonly<Record<string, string>> {
  const errors = new Map<string, string>()
  for (const issue of error.issues) {
    const field = String(issue.path[0])
    if (!errors.has(field)) errors.set(field, issue.message)
  }
  return Object.fromEntries(errors)
}

/** What was typed, to be shown again: never a password, and never more than the field takes. */
export function typed(fields: Readonly<Record<string, string>>, name: 'email' | 'name'): string {
  return (fields[name] ?? '').slice(0, 254)
}
