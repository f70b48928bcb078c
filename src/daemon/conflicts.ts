import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fsyncDirectory } from '../adapters/host/atomic-file.js'
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

  /** All of it is on stable storage when it returns: what is reported leaves the journal, and stands nowhere else. */
  add(path: string, reason: string, data: Uint8Array): void {
    if (mkdirSync(this.#folder, { recursive: true, mode: 0o700 }) !== undefined) fsyncDirectory(dirname(this.#folder))
    const time = new Date().toISOString()
    const copy = join(this.#folder, `${time.replaceAll(':', '')}-${this.#count + 1}.data`)
    writeFileSync(copy, data, { mode: 0o600, flush: true })
    const line: ConflictDescription = { time, path, reason, copy }
    appendFileSync(this.#list, `${JSON.stringify(line)}\n`, { mode: 0o600, flush: true })
    fsyncDirectory(this.#folder)
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
