import type { Connection, Redis } from './redis.js'

const clients = 8
const keysEach = 40
/** Of a value, whose beginning is its number. */
const valueChars = 400

interface Key {
  /** The number that was sent last: it may be there without having been acknowledged. */
  sent: number
  acknowledged: number
}

/** Clients that set keys to rising numbers, and know which of them were answered OK. */
export class SetLoad {
  readonly #keys = new Map<string, Key>()
  #ends: Promise<void>[] = []
  #isEnding = false
  #number = 0
  #acknowledged = 0

  /** Of all that were sent, how many were answered OK. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  begin(redis: Redis): void {
    this.#isEnding = false
    this.#ends = Array.from({ length: clients }, (_, client) => this.#work(redis, client))
  }

  /** Answers when no client works any more; those of a server that was killed end by themselves. */
  async end(): Promise<void> {
    this.#isEnding = true
    await Promise.all(this.#ends)
  }

  async #work(redis: Redis, client: number): Promise<void> {
    const connection = await redis.connect()
    try {
      for (let i = 0; !this.#isEnding; i++) await this.#set(connection, `${client}:${i % keysEach}`)
    } catch {
      // the server is gone; what was under way may be there or not
    } finally {
      connection.close()
    }
  }

  async #set(connection: Connection, name: string): Promise<void> {
    const key = this.#keys.get(name) ?? { sent: 0, acknowledged: 0 }
    this.#keys.set(name, key)
    const number = (key.sent = ++this.#number)
    const answer = await connection.call('SET', name, `${number} `.padEnd(valueChars, '.'))
    if (answer !== '+OK') throw new Error(answer)
    key.acknowledged = number
    this.#acknowledged++
  }

  /** What a server has that it must not have, or lacks. */
  async wrong(redis: Redis): Promise<string[]> {
    const connection = await redis.connect()
    const found: string[] = []
    try {
      for (const [name, key] of this.#keys) {
        const value = await connection.call('GET', name)
        const number = value === undefined ? 0 : Number.parseInt(value)
        if (number >= key.acknowledged && number <= key.sent) continue
        found.push(`${name} is ${number}; ${key.acknowledged} was acknowledged, and ${key.sent} sent`)
      }
    } finally {
      connection.close()
    }
    return found
  }
}
