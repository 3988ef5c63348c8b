/**
 * Finds the end of a section of lines (a head, or trailers) however its bytes arrive, and looks at each byte once: a section that
 * drips costs no more than one that comes at once. Whatever is no line of the grammar is a fault as soon as it is seen.
 */

const CR = 0x0d
const LF = 0x0a
const HELD_BYTES_MIN = 1024
const NOTHING = Buffer.alloc(0)

export class LineScan {
  /** Whole lines with their ends, without the empty one that ends the section. Set when `scan` has found that. */
  text = ''
  fault: string | null = null
  #bytesMax = 0
  #isAfterCr = false
  #isLineEmpty = true
  /** What came before the present buffer. */
  #held: Buffer = NOTHING
  #heldBytes = 0

  begin(bytesMax: number): void {
    this.#bytesMax = bytesMax
    this.#isAfterCr = false
    this.#isLineEmpty = true
    this.#heldBytes = 0
    this.fault = null
  }

  get isUntouched(): boolean {
    return this.#heldBytes === 0
  }

  /** Where the section ends within the buffer; -1 when it does not, or at a fault. */
  scan(buffer: Buffer, from: number, to: number): number {
    let isAfterCr = this.#isAfterCr
    let isLineEmpty = this.#isLineEmpty
    const stop = Math.min(to, from + this.#bytesMax - this.#heldBytes)
    for (let at = from; at < stop; at++) {
      const byte = buffer[at]!
      if (isAfterCr) {
        if (byte !== LF) return this.#fail('a bare CR')
        if (isLineEmpty) return this.#found(buffer, from, at + 1)
        isAfterCr = false
        isLineEmpty = true
      } else if ((byte >= 0x20 && byte !== 0x7f) || byte === 0x09) isLineEmpty = false
      else if (byte === CR) isAfterCr = true
      else return this.#fail(byte === LF ? 'a bare LF' : 'a control character')
    }
    if (stop < to) return this.#fail(`more than ${this.#bytesMax} bytes of fields`)
    this.#isAfterCr = isAfterCr
    this.#isLineEmpty = isLineEmpty
    this.#hold(buffer, from, to)
    return -1
  }

  #fail(fault: string): number {
    this.fault = fault
    return -1
  }

  #found(buffer: Buffer, from: number, end: number): number {
    if (this.#heldBytes === 0) this.text = buffer.toString('latin1', from, end - 2)
    else {
      this.#hold(buffer, from, end)
      this.text = this.#held.toString('latin1', 0, this.#heldBytes - 2)
    }
    this.#held = NOTHING
    return end
  }

  #hold(buffer: Buffer, from: number, to: number): void {
    const bytes = this.#heldBytes + to - from
    if (bytes > this.#held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(HELD_BYTES_MIN, 2 * bytes))
      this.#held.copy(larger, 0, 0, this.#heldBytes)
      this.#held = larger
    }
    buffer.copy(this.#held, this.#heldBytes, from, to)
    this.#heldBytes = bytes
  }
}
