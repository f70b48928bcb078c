import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ConflictDescription } from './control-protocol.js'

/** Changes that a program believed done and the order refused: their data stays on this machine (DESIGN §2, promise 5). */
export class Conflicts {
  readonly #folder: string
  readonly #list: string
  #count: number

  constructor(channelFolder: string) {
    this.#folder = join(channelFolder, 'conflicts')
    this.#list = join(this.#folder, 'list.jsonl')
    this.#count = this.list().length
  }

  get count(): number {
    return this.#count
  }

  add(path: string, reason: string, data: Uint8Array): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const time = new Date().toISOString()
    const copy = join(this.#folder, `${time.replaceAll(':', '')}-${this.#count + 1}.data`)
    writeFileSync(copy, data, { mode: 0o600, flush: true })
    const line: ConflictDescription = { time, path, reason, copy }
    appendFileSync(this.#list, `${JSON.stringify(line)}\n`, { mode: 0o600 })
    this.#count++
  }

  list(): ConflictDescription[] {
    if (!existsSync(this.#list)) return []
    const found: ConflictDescription[] = []
    for (const line of readFileSync(this.#list, 'utf8').split('\n')) {
      if (line === '') continue
      try {
        found.push(JSON.parse(line) as ConflictDescription)
      } catch {
        found.push({ time: '', path: '', reason: 'a damaged line in the list of conflicts', copy: this.#folder })
      }
    }
    return found
  }
}
