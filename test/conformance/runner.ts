import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { loader } from './kit/loader.js'
import { caseSeconds, startSeconds } from './limits.js'
import { table } from './table.js'

/** What a worker is told: the case by its place in the table. */
export interface Request {
  readonly index: number
  readonly base: string
  readonly large: boolean
}

export type Report =
  | { readonly index: number; readonly outcome: 'passed'; readonly seconds?: number }
  | { readonly index: number; readonly outcome: 'skipped'; readonly reason: string; readonly seconds?: number }
  | {
      readonly index: number
      readonly outcome: 'failed'
      readonly message: string
      readonly expected: string
      readonly found: string
      readonly seconds?: number
    }

export interface RunOptions {
  /** A directory of the run's own, made if it is missing; each case gets a directory in it. */
  readonly base: string
  /** Places in the table. */
  readonly indexes: readonly number[]
  /** Cases at a time: where a call waits for other machines, the run is shorter. */
  readonly jobs?: number
  readonly large?: boolean
  /** Who runs them, user and group; this process's own if it is not told. */
  readonly uid?: number
}

/**
 * Runs cases on a directory, in processes that alone enter it. A case that takes too long is killed with its process
 * group, and the run goes on with a fresh process, also when the old one cannot be killed. Reports come in the order of
 * the table.
 */
export async function runCases({ base, indexes, jobs = 1, large = false, uid }: RunOptions): Promise<Report[]> {
  const queue = [...indexes]
  const reports: Report[] = []
  const lane = async (): Promise<void> => {
    let worker: ChildProcess | undefined
    try {
      for (let index = queue.shift(); index !== undefined; index = queue.shift()) {
        worker ??= await start(uid)
        const begun = performance.now()
        const seconds = table[index]!.seconds ?? caseSeconds
        const report = await runOne(worker, { index, base, large }, seconds)
        if (report === undefined) {
          kill(worker)
          worker = undefined
        }
        const tookSeconds = (performance.now() - begun) / 1000
        reports.push({ ...(report ?? died(index, tookSeconds >= seconds)), seconds: tookSeconds })
      }
    } finally {
      if (worker) await end(worker)
    }
  }
  await Promise.all(Array.from({ length: jobs }, lane))
  return reports.sort((a, b) => a.index - b.index)
}

/** Fails when the process does not come up: then each case would fail, for a reason that is not its own. */
async function start(uid: number | undefined): Promise<ChildProcess> {
  // A process group of its own: the kill reaches what the case started, too.
  const worker = fork(fileURLToPath(new URL('./worker.ts', import.meta.url)), [], {
    serialization: 'advanced',
    detached: true,
    cwd: '/',
    execArgv: [...loader],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  await new Promise<void>((resolve, reject) => {
    const fail = (): void => {
      kill(worker)
      reject(new Error('the process that runs the cases does not start'))
    }
    const timer = setTimeout(fail, startSeconds * 1000)
    worker.once('exit', fail)
    worker.once('message', () => {
      clearTimeout(timer)
      worker.off('exit', fail)
      resolve()
    })
  })
  return worker
}

/** Nothing when the process did not answer in time, or ended. */
function runOne(worker: ChildProcess, request: Request, seconds: number): Promise<Report | undefined> {
  return new Promise(resolve => {
    const settle = (report: Report | undefined): void => {
      clearTimeout(timer)
      worker.off('message', settle)
      worker.off('exit', onExit)
      resolve(report)
    }
    const onExit = (): void => settle(undefined)
    const timer = setTimeout(onExit, seconds * 1000)
    worker.on('message', settle)
    worker.on('exit', onExit)
    worker.send(request)
  })
}

function died(index: number, late: boolean): Report {
  const found = late ? 'no end within its time' : 'the process ended'
  return { index, outcome: 'failed', message: found, expected: 'success', found }
}

function kill(worker: ChildProcess): void {
  try {
    process.kill(-worker.pid!, 'SIGKILL')
  } catch {
    // the whole group is gone
  }
  worker.unref()
  if (worker.connected) worker.disconnect()
}

/** Asks the process to end; after two seconds it is killed. */
function end(worker: ChildProcess): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(() => {
      kill(worker)
      resolve()
    }, 2000)
    worker.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    if (worker.exitCode !== null || worker.signalCode !== null) worker.emit('exit')
    else worker.disconnect()
  })
}

/** `N cases, M failed, K skipped`, and before it each failure and each reason to skip. */
export function describe(reports: readonly Report[]): string {
  const lines: string[] = []
  const reasons = new Map<string, number>()
  let failed = 0
  for (const report of reports) {
    const { group, name, rule } = table[report.index]!
    if (report.outcome === 'skipped') reasons.set(report.reason, (reasons.get(report.reason) ?? 0) + 1)
    if (report.outcome !== 'failed') continue
    failed++
    lines.push(`FAILED ${group}: ${name}`, `  rule: ${rule}`, `  ${report.message.split('\n').join('\n  ')}`)
  }
  for (const [reason, count] of reasons) lines.push(`${count} skipped: ${reason}`)
  const skipped = reports.filter(report => report.outcome === 'skipped').length
  return [...lines, `${reports.length} cases, ${failed} failed, ${skipped} skipped`].join('\n')
}
