/** The chunked coding (RFC 9112 §7.1), as it is read. What a buffer holds of the body is moved together, so that it is one piece. */

const CR = 0x0d
const LF = 0x0a
const SEMICOLON = 0x3b
/** Of one answer: extensions mean nothing to anybody and may come before every byte. */
const EXTENSION_BYTES_MAX = 16 * 1024
/** Up to 2^52, which a number holds exactly. */
const SIZE_DIGITS_MAX = 13

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const QUOTED = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*"'
/** Without the blanks that RFC 9112 §7.1.1 only permits a recipient to overlook. */
const EXTENSIONS = new RegExp(`^(?:;${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?)+$`)

const IN_SIZE = 0
const IN_EXTENSIONS = 1
const BEHIND_SIZE = 2
const IN_DATA = 3
const BEHIND_DATA = 4
const BEHIND_DATA_CR = 5

export class ChunkedBody {
  /** The last chunk was read; trailers follow. */
  isOver = false
  fault: string | null = null
  /** Where the buffer holds what the last `read` found of the body. */
  dataFrom = 0
  dataTo = 0
  #state = IN_SIZE
  #digits = 0
  /** Of the size while it is read, then of the data that is still to come. */
  #bytes = 0
  #extensions = ''
  #extensionBytes = 0

  begin(): void {
    this.isOver = false
    this.fault = null
    this.#extensionBytes = 0
    this.#beginChunk()
  }

  /** Returns where it stopped: at `to`, or behind the last chunk. */
  read(buffer: Buffer, from: number, to: number): number {
    this.dataFrom = from
    this.dataTo = from
    let at = from
    while (at < to && !this.isOver && this.fault === null) {
      if (this.#state === IN_DATA) at = this.#readData(buffer, at, to)
      else this.#readByte(buffer[at++]!)
    }
    return at
  }

  #readData(buffer: Buffer, at: number, to: number): number {
    const end = Math.min(to, at + this.#bytes)
    if (this.dataTo === this.dataFrom) {
      this.dataFrom = at
      this.dataTo = end
    } else {
      buffer.copyWithin(this.dataTo, at, end)
      this.dataTo += end - at
    }
    this.#bytes -= end - at
    if (this.#bytes === 0) this.#state = BEHIND_DATA
    return end
  }

  #readByte(byte: number): void {
    switch (this.#state) {
      case IN_SIZE:
        return void this.#readSize(byte)
      case IN_EXTENSIONS:
        return void this.#readExtension(byte)
      case BEHIND_SIZE:
        if (byte !== LF) return void this.#fail('a bare CR behind the size of a chunk')
        if (this.#bytes === 0) this.isOver = true
        this.#state = IN_DATA
        return
      case BEHIND_DATA:
        if (byte !== CR) return void this.#fail('a chunk that is longer than its size')
        this.#state = BEHIND_DATA_CR
        return
      default:
        if (byte !== LF) return void this.#fail('a bare CR behind a chunk')
        this.#beginChunk()
    }
  }

  #beginChunk(): void {
    this.#state = IN_SIZE
    this.#digits = 0
    this.#bytes = 0
  }

  #readSize(byte: number): void {
    const digit = hexDigit(byte)
    if (digit >= 0) {
      if (++this.#digits > SIZE_DIGITS_MAX) return void this.#fail('a chunk too large to count')
      this.#bytes = this.#bytes * 16 + digit
    } else if (this.#digits === 0) this.#fail('a chunk without a size')
    else if (byte === CR) this.#state = BEHIND_SIZE
    else if (byte === SEMICOLON) {
      this.#state = IN_EXTENSIONS
      this.#extensions = ''
      this.#readExtension(byte)
    } else this.#fail('a chunk size that is no number')
  }

  #readExtension(byte: number): void {
    if (byte === CR) {
      if (!EXTENSIONS.test(this.#extensions)) return void this.#fail('chunk extensions outside the grammar')
      this.#state = BEHIND_SIZE
    } else if (byte === LF) this.#fail('a bare LF behind the size of a chunk')
    else if (++this.#extensionBytes > EXTENSION_BYTES_MAX) this.#fail('too many chunk extensions')
    else this.#extensions += String.fromCharCode(byte)
  }

  #fail(fault: string): void {
    this.fault = fault
  }
}

/** -1 for anything else. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
