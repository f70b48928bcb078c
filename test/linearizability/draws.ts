import type { Rng } from '../../src/base/rng.js'
import { privatePrefix } from './client-calls.js'
import type { FileInput, FileOutput } from './file-model.js'
import type { Outcome } from './history.js'

/** A folder of files that are replaced, moved and removed; their content never changes in place. */
const box = 'box'
const files = ['a', 'b', 'c'].map(name => `${box}/${name}`)
const directory = `${box}/d`
/** A file of one size that is never removed, changed in place, a cell at a time. */
const cells = 'cells'
const cellBytes = 16
const cellCount = 4
/** Files that are never removed and only grow: what is read of one is a beginning of what it will be. */
const log = (number: number): string => `log-${number}`
const logBytesMax = 600
/** Appends of one client to a log that it has not looked at. */
const blindAppendsMax = 3

export const setupInputs: readonly FileInput[] = [
  { op: 'mkdir', path: box },
  { op: 'put', path: cells, data: '.'.repeat(cellBytes * cellCount) },
  { op: 'create', path: log(0) },
]

/**
 * What a client does next.
 *
 * The calls are such that each is one step of the file system, whatever the kernel does on the way: a path that is looked
 * up, and then used, is a step only if what the first told is still so or is told again by the second. So shared names are
 * moved only to a client's own names; a directory is never moved; a file that is written in place keeps its name and does
 * not shrink, and fits in one page.
 */
export class Draws {
  readonly #client: string
  readonly #rng: Rng
  readonly #namesOnly: boolean
  readonly #queue: FileInput[] = []
  #number = 0
  #log = 0
  #blindAppends = 0

  /** `namesOnly`: nothing is written in place. */
  constructor(client: string, rng: Rng, namesOnly: boolean) {
    this.#client = client
    this.#rng = rng
    this.#namesOnly = namesOnly
  }

  next(): FileInput {
    return this.#queue.shift() ?? this.#draw()
  }

  told(input: FileInput, outcome: Outcome<FileOutput>): void {
    // what was to follow
    if (outcome === 'unknown' || outcome === 'none') return void this.#queue.splice(0)
    const { output } = outcome
    if (input.op === 'rename') {
      this.#queue.push({ op: 'read', path: input.to }, { op: 'unlink', path: input.to })
      if (output !== 'ok') this.#queue.splice(0)
    } else if (typeof output === 'object' && 'data' in output && input.path === log(this.#log)) {
      this.#blindAppends = 0
      if (output.data.length > logBytesMax) this.#queue.push({ op: 'create', path: log(++this.#log) })
    }
  }

  #data(): string {
    return `${this.#client}.${this.#number++};`
  }

  #own(): string {
    return `${privatePrefix}${this.#client}-${this.#number++}`
  }

  #draw(): FileInput {
    const kind = this.#namesOnly ? 4 + this.#rng.below(6) : this.#rng.below(10)
    if (kind < 2) return this.#drawCells()
    if (kind < 4) return this.#drawLog()
    return kind < 5 ? this.#drawDirectory() : this.#drawFiles()
  }

  #drawCells(): FileInput {
    if (this.#rng.below(2) === 0) return { op: 'read', path: cells }
    const offset = this.#rng.below(cellCount) * cellBytes
    return { op: 'write', path: cells, offset, data: this.#data().padEnd(cellBytes) }
  }

  #drawLog(): FileInput {
    const path = log(this.#log)
    if (this.#blindAppends >= blindAppendsMax || this.#rng.below(2) === 0) return { op: 'read', path }
    this.#blindAppends++
    return { op: 'append', path, data: this.#data() }
  }

  #drawDirectory(): FileInput {
    const inputs: readonly FileInput[] = [
      { op: 'mkdir', path: directory },
      { op: 'rmdir', path: directory },
      { op: 'create', path: `${directory}/x` },
      { op: 'unlink', path: `${directory}/x` },
      { op: 'stat', path: directory },
      { op: 'stat', path: `${directory}/x` },
    ]
    return inputs[this.#rng.below(inputs.length)]!
  }

  #drawFiles(): FileInput {
    const path = files[this.#rng.below(files.length)]!
    const kind = this.#rng.below(12)
    if (kind < 3) return { op: 'put', path, data: this.#data() }
    if (kind < 6) return { op: 'read', path }
    if (kind === 6) return { op: 'unlink', path }
    if (kind === 7) return { op: 'create', path }
    if (kind === 8) return { op: 'stat', path }
    if (kind === 9) return { op: 'list', path: box }
    if (kind === 10) return { op: 'rename', path, to: this.#own() }
    const own = this.#own()
    this.#queue.push({ op: 'link', path: own, to: path }, { op: 'unlink', path: own })
    return { op: 'put', path: own, data: this.#data() }
  }
}
