/** What every hosted page shares: the document around it and its parts; a value becomes markup only through `html`, which escapes it. */

import { html, raw } from 'hono/html'
import { STYLE } from './style.ts'

export type Html = ReturnType<typeof html>

export interface PageView {
  readonly title: string
  /** The public authority, so that people see whose door this is. */
  readonly host: string
  /** Begin the title with "Error:", which is the first thing a screen reader says after a form was refused. */
  readonly isRefused?: boolean
  readonly isWide?: boolean
  /** A path of this origin that the browser goes to at once. */
  readonly leadsTo?: string
}

/** A door in a wall. Decoration only: the name stands beside it. */
const MARK = html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false"><path d="M3 21.25h18"/><path d="M5.75 21V9a6.25 6.25 0 0 1 12.5 0v12"/><path d="M9 21V9.5a3 3 0 0 1 6 0V21"/><path d="M13 15.25h.01"/></svg>`

/** The style text stands in the document exactly as it was hashed. */
const STYLE_ELEMENT = raw(`<style>${STYLE}</style>`)

export function layout(view: PageView, body: Html): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
${view.leadsTo === undefined ? '' : html`<meta http-equiv="refresh" content="0; url=${view.leadsTo}">`}
<title>${view.isRefused === true ? 'Error: ' : ''}${view.title} · ${view.host}</title>
${STYLE_ELEMENT}
</head>
<body>
<div class="column${view.isWide === true ? ' wide' : ''}">
<header class="brand">${MARK}<span>${view.host}</span></header>
<main>
${body}
</main>
</div>
</body>
</html>
`
}

export interface FieldView {
  readonly name: string
  readonly label: string
  readonly type: 'text' | 'email' | 'password'
  /** HTML autofill detail tokens, so that password managers know what is what. */
  readonly autocomplete: string
  readonly lengthMax: number
  readonly lengthMin?: number
  readonly value?: string
  readonly hint?: string
  readonly error?: string | undefined
  readonly isFocused?: boolean
  /** Shown and sent, and not to be typed over. */
  readonly isFixed?: boolean
}

/** A labeled input; hint and error are tied to it by id (WCAG 2.2 §1.3.1, §3.3.1). */
export function field(view: FieldView): Html {
  const notes: string[] = []
  if (view.hint !== undefined) notes.push(`${view.name}-hint`)
  if (view.error !== undefined) notes.push(`${view.name}-error`)
  const isPlainText = view.type !== 'text'
  return html`<div class="field">
<label for="${view.name}">${view.label}</label>
${view.hint === undefined ? '' : html`<p class="hint" id="${view.name}-hint">${view.hint}</p>`}
${view.error === undefined ? '' : html`<p class="wrong" id="${view.name}-error">${view.error}</p>`}
<input id="${view.name}" name="${view.name}" type="${view.type}" autocomplete="${view.autocomplete}" maxlength="${view.lengthMax}" required${
    view.lengthMin === undefined ? '' : html` minlength="${view.lengthMin}"`
  }${view.value === undefined ? '' : html` value="${view.value}"`}${
    isPlainText ? html` autocapitalize="none" spellcheck="false"` : ''
  }${notes.length === 0 ? '' : html` aria-describedby="${notes.join(' ')}"`}${
    view.error === undefined ? '' : html` aria-invalid="true"`
  }${view.isFocused === true ? html` autofocus` : ''}${view.isFixed === true ? html` readonly` : ''}>
</div>`
}

/** What went wrong, said first and announced (ARIA `alert`). */
export function alertNote(text: string | null): Html | string {
  return text === null ? '' : html`<div class="note alert" role="alert"><p>${text}</p></div>`
}

/** What went well. */
export function statusNote(text: string | null): Html | string {
  return text === null ? '' : html`<div class="note" role="status"><p>${text}</p></div>`
}

/** The way back, carried through a form; sealed, so that what comes back is what we wrote. */
export function returnField(sealed: string | null): Html | string {
  return sealed === null ? '' : html`<input type="hidden" name="return" value="${sealed}">`
}

/** Joins a path of ours and the sealed way back. */
export function withReturn(path: string, sealed: string | null): string {
  return sealed === null ? path : `${path}?return=${encodeURIComponent(sealed)}`
}
