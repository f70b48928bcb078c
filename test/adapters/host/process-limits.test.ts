import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { processorSeconds, requireProcessLimits, type Kernel } from '../../../src/adapters/host/process-limits.js'

interface Told {
  readonly processes?: string
  readonly fileSize?: string
  readonly time?: string
  /** Threads of processes of the user, and of another. */
  readonly mine?: readonly number[]
  readonly others?: readonly number[]
  /** By the path of the control group: what it allows, and what is taken. */
  readonly groups?: Readonly<Record<string, readonly [string, number]>>
}

/** A kernel that tells what is wanted. */
function kernelOf(
  t: Test,
  { processes = 'unlimited', fileSize = 'unlimited', time = 'unlimited', mine = [], others = [], groups }: Told,
): Kernel {
  const root = t.testdir({ proc: { self: {} }, cgroups: {} })
  const kernel = { proc: join(root, 'proc'), cgroups: join(root, 'cgroups'), uid: 1000 }
  const limits = [
    'Limit                     Soft Limit           Hard Limit           Units     ',
    `Max cpu time              ${time.padEnd(20)} unlimited            seconds   `,
    `Max file size             ${fileSize.padEnd(20)} unlimited            bytes     `,
    `Max processes             ${processes.padEnd(20)} 95000                processes `,
  ]
  writeFileSync(join(kernel.proc, 'self/limits'), limits.join('\n'))
  let pid = 100
  for (const [uid, counts] of [
    [1000, mine],
    [1001, others],
  ] as const) {
    for (const threads of counts) {
      mkdirSync(join(kernel.proc, String(++pid)))
      writeFileSync(
        join(kernel.proc, String(pid), 'status'),
        `Name:\tnode\nUid:\t${uid}\t0\t0\t0\nThreads:\t${threads}\n`,
      )
    }
  }
  for (const [path, [max, current]] of Object.entries(groups ?? {})) {
    mkdirSync(join(kernel.cgroups, path), { recursive: true })
    writeFileSync(join(kernel.cgroups, path, 'pids.max'), `${max}\n`)
    writeFileSync(join(kernel.cgroups, path, 'pids.current'), `${current}\n`)
    writeFileSync(join(kernel.proc, 'self/cgroup'), `0::${path}\n`)
  }
  return kernel
}

const check = (kernel: Kernel) => (): void => requireProcessLimits('it cannot be started', 30, kernel)

void t.test('no limits, or far ones, are no matter', t => {
  check(kernelOf(t, {}))()
  check(kernelOf(t, { processes: '200', mine: [100, 70], others: [900], fileSize: String(2 ** 40) }))()
  check(kernelOf(t, { groups: { '/a': ['max', 900], '/a/b': ['100', 70] } }))()
  check({ proc: '/nonexistent', cgroups: '/nonexistent', uid: 1000 })()
  t.end()
})

void t.test('too few processes and threads are left to the user: it is named how many, and of which limit', t => {
  const kernel = kernelOf(t, { processes: '200', mine: [100, 71], others: [1] })
  t.throws(check(kernel), {
    code: 'failed',
    message: /^it cannot be started: only 29 more processes or threads .*\(ulimit -u, .* allows 200\), and it needs 30/,
  })
  check({ ...kernel, uid: 0 })()
  t.throws(check(kernelOf(t, { processes: '10', mine: [40] })), { message: /only 0 more/ })
  t.end()
})

void t.test('… or to a control group, or one above it', t => {
  const words = /only 10 more .*\(pids.max of the control group \/a allows 100\)/
  t.throws(check(kernelOf(t, { groups: { '/a': ['100', 90], '/a/b': ['max', 90] } })), { message: words })
  t.end()
})

void t.test('a small limit for the size of files', t => {
  t.throws(check(kernelOf(t, { fileSize: '65536' })), {
    code: 'failed',
    message:
      'it cannot be started: its files may have 64 KiB at most (ulimit -f, LimitFSIZE in systemd), and it needs 256 MiB: raise the limit',
  })
  t.end()
})

t.test('processor time', async t => {
  t.equal(processorSeconds(kernelOf(t, {})), Infinity)
  t.equal(processorSeconds(kernelOf(t, { time: '120' })), 120)
})
