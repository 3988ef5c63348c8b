/** What can be measured of a page: contrast of each piece of text and each control, names of controls, sizes to touch. Runs in the page. */

import type { Page } from 'playwright-core'

export interface Measured {
  /** Text and control edges whose contrast is too low for WCAG 2.2 §1.4.3 and §1.4.11. */
  readonly faint: readonly string[]
  /** Controls without exactly one label or accessible name. */
  readonly unnamed: readonly string[]
  /** Controls lower than 40 CSS pixels, or wider than the page. */
  readonly small: readonly string[]
  /** How far the page is wider than the window. */
  readonly overflowPx: number
  /** How many things were looked at, so that looking at nothing is not passing. */
  readonly looked: number
}

export function measure(page: Page): Promise<Measured> {
  return page.evaluate(() => {
    type Rgba = readonly [number, number, number, number]
    const parse = (text: string): Rgba => {
      const [r = 0, g = 0, b = 0, a = 1] = (text.match(/[\d.]+/g) ?? []).map(Number)
      return [r, g, b, a]
    }
    const luminance = ([r, g, b]: Rgba): number => {
      const [x = 0, y = 0, z = 0] = [r, g, b].map((value) => {
        const part = value / 255
        return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * x + 0.7152 * y + 0.0722 * z
    }
    const contrast = (one: Rgba, other: Rgba): number => {
      const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a)
      return (light + 0.05) / (dark + 0.05)
    }
    /** The nearest ground that hides what is behind it. */
    const groundOf = (from: Element | null): Rgba => {
      for (let at = from; at !== null; at = at.parentElement) {
        const ground = parse(getComputedStyle(at).backgroundColor)
        if (ground[3] === 1) return ground
      }
      return [255, 255, 255, 1]
    }
    const isShown = (element: Element): boolean => element.checkVisibility() && element.getClientRects().length > 0
    const nameOf = (element: Element): string =>
      `${element.tagName.toLowerCase()} ${element.id} ${(element.textContent ?? '').trim().slice(0, 40)}`

    const faint: string[] = []
    const unnamed: string[] = []
    const small: string[] = []
    let looked = 0

    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      const element = node.parentElement
      if (element === null || (node.textContent ?? '').trim() === '' || !isShown(element)) continue
      looked++
      const found = contrast(parse(getComputedStyle(element).color), groundOf(element))
      if (found < 4.5) faint.push(`${nameOf(element)}: ${found.toFixed(2)}`)
    }
    for (const control of document.querySelectorAll('input:not([type=hidden]), button, a.button')) {
      if (!isShown(control)) continue
      looked++
      const box = control.getBoundingClientRect()
      if (box.height < 40 || box.right > innerWidth) small.push(`${nameOf(control)}: ${box.width}x${box.height}`)
      if (control instanceof HTMLInputElement) {
        const labels = [...(control.labels ?? [])]
        if (labels.length !== 1 || labels[0]?.textContent?.trim() === '' || control.autocomplete === '') {
          unnamed.push(nameOf(control))
        }
        const style = getComputedStyle(control)
        const edge = contrast(parse(style.borderTopColor), groundOf(control.parentElement))
        if (edge < 3) faint.push(`edge of ${nameOf(control)}: ${edge.toFixed(2)}`)
      } else if ((control.getAttribute('aria-label') ?? control.textContent ?? '').trim() === '') {
        unnamed.push(nameOf(control))
      }
    }
    for (const element of document.querySelectorAll('[aria-describedby], [aria-labelledby]')) {
      const ids = `${element.getAttribute('aria-describedby') ?? ''} ${element.getAttribute('aria-labelledby') ?? ''}`
      for (const id of ids.trim().split(/\s+/)) if (document.getElementById(id) === null) unnamed.push(`#${id}`)
    }
    const overflowPx = document.documentElement.scrollWidth - document.documentElement.clientWidth
    return { faint, unnamed, small, overflowPx, looked }
  })
}
