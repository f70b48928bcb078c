import { spawn, type ChildProcess } from 'node:child_process'
import type { Machine } from './cluster.js'

/** Does what each line of its input says with one open file, and answers `ok …` or the name of the error. */
const script = `
import errno, fcntl, os, signal, sys
def interrupted(*_): raise InterruptedError(errno.EINTR, '')
signal.signal(signal.SIGUSR1, interrupted)
fd = os.open(sys.argv[1], os.O_RDWR)
kinds = {'SH': fcntl.LOCK_SH, 'EX': fcntl.LOCK_EX, 'UN': fcntl.LOCK_UN}
for line in iter(sys.stdin.readline, ''):
    what, *words = line.split()
    answer = ''
    try:
        if what in ('flock', 'lockf'):
            mode = kinds[words[0]] | (fcntl.LOCK_NB if 'NB' in words else 0)
            if what == 'flock': fcntl.flock(fd, mode)
            else: fcntl.lockf(fd, mode, *[int(w) for w in words[1:] if w != 'NB'])
        elif what == 'read': answer = os.pread(fd, 100, 0).decode()
        elif what == 'write': os.pwrite(fd, words[0].encode(), 0)
        elif what == 'count':
            # counts in the file, n times, each under the lock of its kind
            for _ in range(int(words[1])):
                lock = fcntl.flock if words[0] == 'flock' else fcntl.lockf
                lock(fd, fcntl.LOCK_EX)
                number = int(os.pread(fd, 100, 0)) + 1
                os.pwrite(fd, b'%06d' % number, 0)
                lock(fd, fcntl.LOCK_UN)
        print('ok', answer, flush=True)
    except OSError as e: print(errno.errorcode[e.errno], flush=True)
`

/** A program on a machine that holds a file open and locks it. */
export class LockProgram {
  readonly #child: ChildProcess
  readonly #answers: string[] = []
  readonly #waiting: ((answer: string) => void)[] = []
  #output = ''

  /** `limitSeconds`: it is killed then, whatever it does. */
  constructor(machine: Machine, name: string, limitSeconds = 200) {
    this.#child = spawn('python3', ['-c', script, `${machine.directory}/${name}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
      cwd: '/',
    })
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), limitSeconds * 1000)
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text
      for (let end = this.#output.indexOf('\n'); end >= 0; end = this.#output.indexOf('\n')) {
        this.#answered(this.#output.slice(0, end).trim())
        this.#output = this.#output.slice(end + 1)
      }
    })
    this.#child.stdin!.on('error', () => {})
    this.#child.once('close', () => {
      clearTimeout(timer)
      for (const waiting of this.#waiting.splice(0)) waiting('gone')
    })
  }

  #answered(answer: string): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#answers.push(answer)
    else waiting(answer)
  }

  /** `ok`, with what was read, or the name of the error. */
  do(line: string): Promise<string> {
    this.#child.stdin!.write(`${line}\n`)
    const early = this.#answers.shift()
    if (early !== undefined) return Promise.resolve(early)
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return Promise.resolve('gone')
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Resolves when the process has ended, or after a while. */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const ended = new Promise<void>(resolve => {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) return resolve()
      this.#child.once('close', () => resolve())
      setTimeout(resolve, 10_000).unref()
    })
    this.#child.kill(signal)
    await ended
  }
}
