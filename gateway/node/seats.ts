/**
 * A set for what comes and goes with each request. A Set is rebuilt again and again where many are added and deleted, and in V8 each
 * table it leaves behind keeps what it held, and leads to the next: once one of them is old, every finished request outlives the
 * young generation. Here a member knows its seat, the last one takes an empty seat, and nothing is left behind.
 */

/** `Name` is the member's field that says where it sits, -1 at first. A member sits in one of those that share a name. */
export class Seats<Name extends string, Member extends Record<Name, number>> {
  readonly #name: Name
  readonly #members: Member[] = []

  constructor(name: Name) {
    this.#name = name
  }

  /** For one that sits nowhere. */
  add(member: Member): void {
    this.#seat(member, this.#members.push(member) - 1)
  }

  /** False when it does not sit here. */
  delete(member: Member): boolean {
    const at = member[this.#name]
    if (this.#members[at] !== member) return false
    this.#seat(member, -1)
    const last = this.#members.pop()!
    if (last === member) return true
    this.#members[at] = last
    this.#seat(last, at)
    return true
  }

  /** Those here now; some may have left by the time they are looked at. */
  list(): readonly Member[] {
    return this.#members.slice()
  }

  last(): Member | undefined {
    return this.#members.at(-1)
  }

  get size(): number {
    return this.#members.length
  }

  #seat(member: Record<Name, number>, at: number): void {
    member[this.#name] = at
  }
}
