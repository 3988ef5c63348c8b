/**
 * Where the frames of a WebSocket begin and end (RFC 6455 §5.2), and nothing of what they say: a close frame of ours may stand
 * only between two frames, anywhere else it would be taken for payload.
 */

const CLOSE_OPCODE = 0x8
/** RFC 6455 §7.4.1. */
export const GOING_AWAY = 1001
export const POLICY_VIOLATION = 1008

/** An unmasked close frame, as a server sends it: final, opcode 8, the status code and a reason of less than 124 bytes. */
export function closeFrame(code: number, reason: string): Buffer {
  const text = Buffer.from(reason, 'latin1')
  const frame = Buffer.alloc(4 + text.length)
  frame[0] = 0x80 | CLOSE_OPCODE
  frame[1] = 2 + text.length
  frame.writeUInt16BE(code, 2)
  text.copy(frame, 4)
  return frame
}

export class FrameReader {
  #headBytes = 0
  #headBytesNeeded = 2
  #lengthBytes = 0
  #payloadBytes = 0
  #opcode = 0
  #isClosed = false

  /** Between two frames. */
  get isAtBoundary(): boolean {
    return this.#headBytes === 0
  }

  /** A close frame has gone by: nothing may follow it. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Bytes that are missing of the frame under way, as far as what was read of its head tells. */
  get missingBytes(): number {
    return this.isAtBoundary ? 0 : this.#headBytesNeeded - this.#headBytes + this.#payloadBytes
  }

  /** Reads the whole chunk. */
  read(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) at = this.#step(chunk, at)
  }

  /** Reads to the first end of a frame in the chunk and answers the place after it; -1 when the chunk holds none. */
  readToBoundary(chunk: Uint8Array): number {
    for (let at = 0; at < chunk.length; ) {
      at = this.#step(chunk, at)
      if (this.isAtBoundary) return at
    }
    return -1
  }

  /** One byte of a head, or as much of the payload as there is. */
  #step(chunk: Uint8Array, at: number): number {
    if (this.#headBytes === this.#headBytesNeeded) {
      const taken = Math.min(this.#payloadBytes, chunk.length - at)
      this.#payloadBytes -= taken
      if (this.#payloadBytes === 0) this.#end()
      return at + taken
    }
    const byte = chunk[at]!
    if (this.#headBytes === 0) this.#opcode = byte & 0x0f
    else if (this.#headBytes === 1) this.#readShortLength(byte)
    else if (this.#headBytes < 2 + this.#lengthBytes) this.#payloadBytes = this.#payloadBytes * 256 + byte
    this.#headBytes++
    if (this.#headBytes === this.#headBytesNeeded && this.#payloadBytes === 0) this.#end()
    return at + 1
  }

  /** The second byte: a length, or the number of bytes that hold it. */
  #readShortLength(byte: number): void {
    const length = byte & 0x7f
    this.#lengthBytes = length === 127 ? 8 : length === 126 ? 2 : 0
    const maskBytes = (byte & 0x80) === 0 ? 0 : 4
    this.#payloadBytes = this.#lengthBytes === 0 ? length : 0
    this.#headBytesNeeded = 2 + this.#lengthBytes + maskBytes
  }

  #end(): void {
    if (this.#opcode === CLOSE_OPCODE) this.#isClosed = true
    this.#headBytes = 0
    this.#headBytesNeeded = 2
  }
}
