/** Members come and go in any order, and each is where it says it is. */

import { expect, test } from 'vitest'
import { Seats } from './seats.ts'

test('[FR-059] whatever the order in which they come and go, those here are those that came and did not go', () => {
  const [seats, others] = [new Seats<'seat', { seat: number }>('seat'), new Seats<'seat', { seat: number }>('seat')]
  const here = new Set<{ seat: number }>()
  let random = 1
  for (let step = 0; step < 5000; step++) {
    random = (random * 48_271) % 2_147_483_647
    const leaving = [...here][random % 97]
    if (leaving === undefined) {
      const member = { seat: -1 }
      seats.add(member)
      here.add(member)
      continue
    }
    expect(others.delete(leaving)).toBe(false)
    expect(seats.delete(leaving)).toBe(true)
    expect(seats.delete(leaving)).toBe(false)
    here.delete(leaving)
    expect(seats.size).toBe(here.size)
  }
  expect(new Set(seats.list())).toEqual(here)
  for (let last = seats.last(); last !== undefined; last = seats.last()) seats.delete(last)
  expect(seats.size).toBe(0)
  for (const member of here) expect(member.seat).toBe(-1)
})
