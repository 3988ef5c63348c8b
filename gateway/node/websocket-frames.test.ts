/** Frame ends are found however the bytes are cut into chunks: a close frame anywhere else would be payload. */

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { closeFrame, FrameReader, POLICY_VIOLATION } from './websocket-frames.ts'

function frameOf(opcode: number, payloadBytes: number, isMasked: boolean, isFinal = true): Buffer {
  const long = payloadBytes > 0xffff ? 8 : payloadBytes > 125 ? 2 : 0
  const head = Buffer.alloc(2 + long + (isMasked ? 4 : 0))
  head[0] = (isFinal ? 0x80 : 0) | opcode
  head[1] = (isMasked ? 0x80 : 0) | (long === 8 ? 127 : long === 2 ? 126 : payloadBytes)
  if (long === 8) head.writeBigUInt64BE(BigInt(payloadBytes), 2)
  else if (long === 2) head.writeUInt16BE(payloadBytes, 2)
  // Payload that looks like a close frame, so that a reader who loses its place shows it.
  return Buffer.concat([head, Buffer.alloc(payloadBytes, 0x88)])
}

const frames = fc.array(
  fc.tuple(fc.constantFrom(0, 1, 2, 9, 10), fc.constantFrom(0, 1, 125, 126, 300, 65_535, 65_536, 70_000), fc.boolean()),
  { minLength: 1, maxLength: 5 },
)

test('[FR-036] each end of a frame is found, and no other place, in any cut of the bytes', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 80_000 }), { maxLength: 20 }), (specs, sizes) => {
      const encoded = specs.map(([opcode, bytes, isMasked]) => frameOf(opcode, bytes, isMasked))
      const ends = new Set<number>()
      let end = 0
      for (const frame of encoded) {
        end += frame.length
        ends.add(end)
      }
      const all = Buffer.concat(encoded)
      const reader = new FrameReader()
      let at = 0
      for (const size of [...sizes, all.length]) {
        const chunk = all.subarray(at, at + size)
        reader.read(chunk)
        at += chunk.length
        expect(reader.isAtBoundary).toBe(at === 0 || ends.has(at))
        expect(reader.isClosed).toBe(false)
      }
    }),
    { numRuns: 200 },
  )
})

test('[FR-036] byte by byte, the next end is found where it is', () => {
  const all = Buffer.concat([frameOf(1, 300, false), frameOf(2, 5, false)])
  for (let split = 1; split < 304; split++) {
    const reader = new FrameReader()
    reader.read(all.subarray(0, split))
    expect(reader.isAtBoundary).toBe(false)
    expect(reader.readToBoundary(all.subarray(split))).toBe(304 - split)
  }
  const reader = new FrameReader()
  reader.read(all.subarray(0, 10))
  expect(reader.missingBytes).toBe(294)
  expect(reader.readToBoundary(all.subarray(10, 20))).toBe(-1)
})

test('[FR-036] a close frame that went by is remembered, and ours says 1008', () => {
  const ours = closeFrame(POLICY_VIOLATION, 'access has ended')
  expect(ours.readUInt16BE(2)).toBe(1008)
  const reader = new FrameReader()
  reader.read(ours)
  expect([reader.isAtBoundary, reader.isClosed]).toEqual([true, true])
})
