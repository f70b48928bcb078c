import type { DiskEvent } from './disk-event.js'

/**
 * A program in a mount: `MOUNT PREFIX COUNT MARKS`. Writes and closes `PREFIX-0` and on, adds a line to `PREFIX-log` and
 * syncs it, renames some of the files, and marks each thing when its call has returned.
 */
export const markedWriter = `
prefix, count, marks = sys.argv[2], int(sys.argv[3]), sys.argv[4]
def mark(text): os.mkdir('%s/%s %d %s' % (marks, prefix, i, text))
log = os.open(prefix + '-log', os.O_CREAT | os.O_WRONLY | os.O_APPEND)
for i in range(count):
    name = '%s-%d' % (prefix, i)
    line = ('%s\\n' % name).encode()
    with open(name, 'xb') as f: f.write(line * ((20, 100, 3000, 40000, 100000)[i % 5] // len(line)))
    mark('written')
    if i % 4 == 1:
        mark('renaming')
        os.rename(name, name + '.renamed')
    os.write(log, line)
    os.fsync(log)
    mark('synced')
`

function contentOf(prefix: string, i: number): Buffer {
  const line = `${prefix}-${i}\n`
  return Buffer.from(line.repeat(Math.floor([20, 100, 3000, 40_000, 100_000][i % 5]! / line.length)))
}

/** What the marked writers were promised. */
export class WriterPromises {
  /** Of each file: how far its writer had come with it. */
  readonly #files = new Map<string, { prefix: string; i: number; renaming: boolean; synced: boolean }>()
  readonly #lines = new Map<string, number>()

  constructor(record: readonly DiskEvent[], at: number) {
    for (const event of record.slice(0, at)) {
      if (event.kind !== 'mark') continue
      const [prefix, number, what] = event.text.split(' ') as [string, string, string | undefined]
      if (what === undefined) continue
      const name = `${prefix}-${number}`
      const file = this.#files.get(name) ?? { prefix, i: Number(number), renaming: false, synced: false }
      this.#files.set(name, file)
      if (what === 'renaming') file.renaming = true
      if (what !== 'synced') continue
      file.synced = true
      this.#lines.set(prefix, file.i + 1)
    }
  }

  get count(): number {
    return this.#files.size
  }

  /** What of it a root directory lacks; `read` answers the content of a file in it. */
  broken(read: (name: string) => Buffer | undefined): string[] {
    const wrong: string[] = []
    for (const [name, { prefix, i, renaming, synced }] of this.#files) {
      const old = renaming && synced ? undefined : read(name)
      const found = old ?? (renaming ? read(`${name}.renamed`) : undefined)
      if (found === undefined) wrong.push(`${name} is missing`)
      else if (!found.equals(contentOf(prefix, i))) wrong.push(`${name} is another`)
    }
    for (const [prefix, count] of this.#lines) {
      const lines = Array.from({ length: count }, (_, i) => `${prefix}-${i}\n`).join('')
      const found = read(`${prefix}-log`)?.toString() ?? ''
      if (!found.startsWith(lines)) wrong.push(`${prefix}-log has ${found.length} bytes, ${lines.length} were synced`)
    }
    return wrong
  }
}
