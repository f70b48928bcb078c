import type { Command } from 'commander'
import { setTimeout as sleep } from 'node:timers/promises'
import { clearDeadMounts } from '../../adapters/fuse/mount-point.js'
import { runningHolder } from '../../adapters/host/lock-holder.js'
import { identify, isStopped, stillRuns, type ProcessIdentity } from '../../adapters/host/process.js'
import { RkfsError } from '../../base/errors.js'
import { callDaemon, isLostNode, isNoNode } from '../../daemon/control-client.js'
import { inspectHome } from '../../daemon/home.js'
import { recordedMounts } from '../../daemon/mount-record.js'
import { stoppedWords } from '../../daemon/silent-node.js'
import { parseDuration, timeForms } from '../arguments.js'
import { homeOf, quickSeconds } from '../context.js'
import { ProgressBar } from '../progress.js'
import { hint, printable, say } from '../output.js'

const LIMIT_SECONDS = 120
/** Who waits longer is told for what. */
const NOTICE_MS = 1000
/** Between two looks at a process that ends. */
const POLL_MS = 50
/** How long a killed node may take to be gone. */
const KILL_MS = 5000

export function addStop(program: Command): void {
  program
    .command('stop')
    .description(
      'stop this home’s node. Mounts are taken away, also from programs that use them, and so are dead ones that a crash ' +
        'left. What was changed here gets up to a minute to be committed, or 5 s while none of it is; of the rest the next ' +
        'start keeps copies (`rkfs conflicts`)',
    )
    .option('--force', 'do not wait for pending changes; a node that does not answer is killed')
    .option('--timeout <time>', `how long to wait for its end, ${timeForms} (default: 2m)`, parseDuration)
    .addHelpText(
      'after',
      '\nExit code 0 also when no node runs.\n\nExamples:\n  rkfs stop\n  rkfs stop --force --timeout 10',
    )
    .action(stop)
}

async function stop(options: { force?: boolean; timeout?: number }, command: Command): Promise<void> {
  const home = homeOf(command)
  const force = options.force === true
  inspectHome(home)
  const timeout = options.timeout ?? LIMIT_SECONDS
  const deadline = performance.now() + timeout * 1000
  const notice = setTimeout(() => tellWait(home, force, deadline), NOTICE_MS)
  try {
    const node = await askToStop(home, force, deadline)
    if (node !== undefined) await ended(node, force, deadline, timeout)
    await clearDead(home)
    say(node === undefined ? `no node is running on ${home}` : `the node on ${home} has stopped`)
  } finally {
    clearTimeout(notice)
  }
}

function tellWait(home: string, force: boolean, deadline: number): void {
  const node = runningHolder(home)
  if (node === undefined) return
  const why = isStopped(node.pid) ? `, which is stopped (\`kill -CONT ${node.pid}\` lets it go on),` : ''
  const left = Math.max(1, Math.round((deadline - performance.now()) / 1000))
  const then = force ? `it is killed in ${left} s` : `for ${left} s at most`
  hint(`rkfs: waiting for the node (process ${node.pid})${why} to end; ${then}`)
}

/** `timeoutSeconds`: what was allowed in all. */
async function ended(node: ProcessIdentity, force: boolean, deadline: number, timeoutSeconds: number): Promise<void> {
  while (stillRuns(node) && performance.now() < deadline) await sleep(POLL_MS)
  if (!stillRuns(node)) return
  if (force) return kill(node)
  const late = `the node (process ${node.pid}) did not end within ${timeoutSeconds} s: \`rkfs stop --force\` ends it at once`
  throw new RkfsError('timeout', stoppedWords(node.pid) ?? late)
}

/**
 * Answers which process it is that ends now; undefined: none. Its identity is found once, while it runs: of what exits
 * neither the command line nor the open files can be seen any more.
 */
async function askToStop(home: string, force: boolean, deadline: number): Promise<ProcessIdentity | undefined> {
  const bar = new ProgressBar()
  const leftMs = (limitMs: number): number => Math.max(1, Math.min(limitMs, deadline - performance.now()))
  let node = runningHolder(home)
  try {
    const { pid } = await callDaemon(home, 'ping', {}, { timeoutMs: leftMs(quickSeconds * 1000) })
    if (node?.pid !== pid) node = identify(pid)
    await callDaemon(home, 'stop', { force }, { timeoutMs: leftMs(Infinity), onProgress: bar.update })
  } catch (error) {
    // it may close the connection before its answer is through, or be on its way out already
    const isLeaving = isNoNode(error) || isLostNode(error) || isStopping(error)
    if (!isLeaving && (!force || node === undefined)) throw error
  } finally {
    bar.end()
  }
  return node
}

/** It takes no commands any more. */
function isStopping(error: unknown): boolean {
  return error instanceof RkfsError && error.code === 'unavailable'
}

/** SIGKILL. What the kernel still does for it (a sync that the disk does not answer) may take longer than anybody waits. */
async function kill(node: ProcessIdentity): Promise<void> {
  process.kill(node.pid, 'SIGKILL')
  const end = performance.now() + KILL_MS
  while (stillRuns(node)) {
    if (performance.now() > end) {
      throw new RkfsError(
        'failed',
        `the node (process ${node.pid}) was killed, and the kernel has not let go of it after ${KILL_MS / 1000} s: a disk ` +
          'or a network file system does not answer (dmesg tells more)',
      )
    }
    await sleep(POLL_MS)
  }
}

/** What a node that was killed, or died before, left mounted: who stops it wants it away. */
async function clearDead(home: string): Promise<void> {
  for (const { directory, channel } of recordedMounts(home)) {
    await clearDeadMounts(directory)
    hint(`rkfs: the dead mount of ${channel} at ${printable(directory)} is cleared`)
  }
}
