/** An orderly stop gives nothing up: what returned to a program, closed or not, is in the channel, and no copy is kept. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import t from 'tap'
import { clusterOf, isMounted, isRunning, sleep, until, type Machine } from './support/cluster.js'

const cluster = clusterOf(t)

const bytesMax = 12 << 20
/** When it is told to, writes pieces into a file that it never closes; ends when its mount is taken away. */
const unclosed = `
import os, sys, time
os.chdir(sys.argv[1])
# what the network carries is known then: writes need not wait for it
before = os.open(sys.argv[2] + '-before', os.O_CREAT | os.O_WRONLY)
for _ in range(${bytesMax} // 65536): os.write(before, bytes(65536))
os.fsync(before)
os.close(before)
f = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)
print(0, flush=True)
sys.stdin.readline()
at = 0
while at < ${bytesMax}:
    try: at += os.write(f, (b'%07d\\n' % (at // 65536) * 8192)[at % 65536:])
    except OSError: sys.exit()
    print(at, flush=True)
while True:
    try: os.fstatvfs(f)
    except OSError: sys.exit()
    time.sleep(0.02)
`

class Unclosed {
  /** Bytes whose write has returned; undefined: the file is not there yet. */
  written: number | undefined
  readonly ended: Promise<void>
  readonly #child: ChildProcess

  constructor(machine: Machine, name: string) {
    this.#child = spawn('python3', ['-c', unclosed, machine.directory, name], { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout! }).on('line', line => (this.written = Number(line)))
    this.ended = new Promise(resolve => this.#child.once('close', () => resolve()))
  }

  go(): void {
    this.#child.stdin!.write('go\n')
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}

/** Bytes of the file, all of which are as they were written. */
async function found(machine: Machine, name: string): Promise<number> {
  const { stdout, stderr } = await machine.python(
    `data = open(sys.argv[2], 'rb').read()
whole = b''.join(b'%07d\\n' % i * 8192 for i in range(len(data) // 65536 + 1))
print(len(data) if data == whole[:len(data)] else 'torn')`,
    30,
    machine.directory,
    name,
  )
  if (!/^\d+\n$/.test(stdout)) throw new Error(`${name} on ${machine.name}: ${stdout}${stderr}`)
  return Number(stdout)
}

/** A lazy unmount leaves the mount to who uses it for two seconds. */
const usedMs = 1000

const machines = await cluster.members('a', 'b', 'c')
for (const machine of machines) await machine.mount()

const ways: readonly (readonly [string, (machine: Machine) => Promise<unknown>])[] = [
  ['SIGTERM', machine => machine.kill('SIGTERM')],
  ['channel close', machine => machine.must('channel', 'close', 'demo')],
]

for (const [way, stop] of ways) {
  for (const role of ['leader', 'follower'] as const) {
    await t.test(`${way} on a ${role}, while a program writes and does not close`, async t => {
      const leader = await cluster.leader(machines)
      const stopped = role === 'leader' ? leader : machines.find(machine => machine !== leader)!
      const name = `${way}-${role}`
      const writer = new Unclosed(stopped, name)
      t.teardown(() => writer.stop())
      await until('its file is there', () => writer.written === 0)
      const pid = await stopped.pid()
      const others = await Promise.all(machines.filter(machine => machine !== stopped).map(machine => machine.pid()))
      const stopping = stop(stopped)
      await until('its mount is detached', () => !isMounted(stopped.directory), 15)
      await sleep(usedMs)
      // more than the network takes while nobody reads
      for (const other of others) process.kill(other, 'SIGSTOP')
      try {
        writer.go()
        await writer.ended
      } finally {
        for (const other of others) process.kill(other, 'SIGCONT')
      }
      await stopping
      if (way === 'SIGTERM') await until('its node has ended', () => !isRunning(pid), 15)
      await stopped.mount()
      await cluster.agree(machines)
      await cluster.same(machines)
      for (const machine of machines) {
        const length = await found(machine, name)
        t.ok(length >= writer.written!, `${length} of ${writer.written} bytes on ${machine.name}`)
        t.notMatch(await machine.must('conflicts', 'list', 'demo'), /\//, `${machine.name} has kept no copy`)
      }
    })
  }
}
