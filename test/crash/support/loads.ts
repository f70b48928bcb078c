import { spawn, type ChildProcess } from 'node:child_process'
import type { Machine } from '../../e2e/support/cluster.js'

/** Files of which most go again: fills segments, and leaves them sparse. */
const bulk = `
i = 0
while True:
    for name, size in (('keep', 1), ('drop', 8)):
        with open('%s-%d' % (name, i % 8), 'wb', 0) as f:
            for _ in range(size): f.write(os.urandom(1 << 20))
            os.fsync(f.fileno())
    os.unlink('drop-%d' % (i % 8))
    i += 1
`

/** Single writes too small for the segments: pages of both databases. */
const small = `
import random
f = os.open('small', os.O_CREAT | os.O_RDWR)
while True:
    for _ in range(500): os.pwrite(f, os.urandom(1900), random.randrange(20000) * 4096)
    os.fsync(f)
`

export const loads = { bulk, small }

/** A program that works in a mount until it is stopped, or the mount ends. */
export class Load {
  readonly #child: ChildProcess

  constructor(machine: Machine, kind: keyof typeof loads) {
    const script = `import os, sys\nos.chdir(sys.argv[1])\n${loads[kind]}`
    this.#child = spawn('python3', ['-c', script, machine.directory], { stdio: 'ignore' })
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}
