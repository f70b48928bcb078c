import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Machine } from './cluster.js'

/**
 * Closes one file after the other: `<prefix>-<number>`, each with its own content, and says `ok <number>` when close has
 * returned 0. Any error is said and ends it.
 */
const script = `
import os, sys, time
os.chdir(sys.argv[1])
prefix, size, pause, i = sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), 0
while True:
    at = time.monotonic()
    try:
        f = os.open('%s-%d' % (prefix, i), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        line = ('%s %d\\n' % (prefix, i)).encode()
        os.write(f, line * (size // len(line) + 1))
        os.close(f)
    except OSError as e:
        print('error %d %s' % (i, e), flush=True)
        sys.exit(1)
    print('ok %d %.3f' % (i, time.monotonic() - at), flush=True)
    i += 1
    time.sleep(pause)
`

/** The content that is to be found: run inside a mount with prefix, size and the number of files. Prints what is wrong. */
export const checkWritten = `
prefix, size, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for i in range(count):
    line = ('%s %d\\n' % (prefix, i)).encode()
    try:
        with open('%s-%d' % (prefix, i), 'rb') as f: found = f.read()
    except OSError as e:
        print(e); continue
    if found != line * (size // len(line) + 1): print('%s-%d: %d bytes' % (prefix, i, len(found)))
print('checked', count)
`

/** A program that writes into a machine's mount until it is stopped or fails. */
export class Writer {
  readonly machine: Machine
  readonly prefix: string
  readonly size: number
  /** Files whose close has returned 0. */
  acknowledged = 0
  /** Seconds that the slowest file took. */
  slowest = 0
  error: string | undefined
  readonly #child: ChildProcess
  readonly #ended: Promise<void>

  constructor(machine: Machine, prefix: string, size = 3000, pauseSeconds = 0.005) {
    this.machine = machine
    this.prefix = prefix
    this.size = size
    this.#child = spawn('python3', ['-c', script, machine.directory, prefix, String(size), String(pauseSeconds)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      const [word, number, seconds] = line.split(' ')
      if (word === 'ok') {
        this.acknowledged = Number(number) + 1
        this.slowest = Math.max(this.slowest, Number(seconds))
      } else this.error = line
    })
    this.#ended = new Promise(resolve => this.#child.once('close', () => resolve()))
  }

  /** Ends it between two files or within one; files that it has told of stay. Fails if it is stuck. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL')
    const stuck = new Promise<string>(resolve => setTimeout(resolve, 10_000, 'stuck').unref())
    if ((await Promise.race([this.#ended, stuck])) === 'stuck') throw new Error(`the writer ${this.prefix} is stuck`)
  }

  /** What of the acknowledged files is missing or wrong, as a machine sees it. */
  async missingOn(machine: Machine): Promise<string> {
    const { code, stdout, stderr } = await machine.python(
      checkWritten,
      60,
      machine.directory,
      this.prefix,
      String(this.size),
      String(this.acknowledged),
    )
    if (code !== 0) return `code ${code} ${stderr}`
    return stdout.replace(`checked ${this.acknowledged}\n`, '')
  }
}
