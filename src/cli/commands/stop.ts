import type { Command } from 'commander'
import { setTimeout as sleep } from 'node:timers/promises'
import { clearDeadMounts } from '../../adapters/fuse/mount-point.js'
import { lockHolder } from '../../adapters/host/lock-holder.js'
import { commandLine, isRunning } from '../../adapters/host/process.js'
import { RkfsError } from '../../base/errors.js'
import { callDaemon, isNoNode } from '../../daemon/control-client.js'
import { inspectHome } from '../../daemon/home.js'
import { recordedMounts } from '../../daemon/mount-record.js'
import { parseDuration, timeForms } from '../arguments.js'
import { homeOf, quickSeconds } from '../context.js'
import { ProgressBar } from '../progress.js'
import { hint, printable, say } from '../output.js'

const LIMIT_SECONDS = 120
/** How long a killed node may take to be gone. */
const KILL_MS = 5000

export function addStop(program: Command): void {
  program
    .command('stop')
    .description(
      'stop this home’s node. Pending changes get 5 s to be committed, the rest stays in the journal and goes on at the ' +
        'next start; mounts are taken away, also from programs that use them, and so are dead ones that a crash left',
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
  const holder = lockHolder(home)
  const timeout = options.timeout ?? LIMIT_SECONDS
  const deadline = performance.now() + timeout * 1000
  const bar = new ProgressBar()
  let pid = holder
  try {
    ;({ pid } = await callDaemon(home, 'ping', {}, { timeoutMs: quickSeconds * 1000 }))
    await callDaemon(home, 'stop', { force }, { timeoutMs: timeout * 1000, onProgress: bar.update })
  } catch (error) {
    // It may close the connection before its answer is through.
    const leaving = error instanceof RkfsError && error.code === 'failed' && pid !== undefined && !isRunning(pid)
    if (isNoNode(error) && !isNode(pid)) {
      say(`no node is running on ${home}`)
      return clearDead(home)
    }
    if (!leaving && !force && !isNoNode(error)) throw error
  } finally {
    bar.end()
  }
  while (pid !== undefined && isNode(pid) && performance.now() < deadline) await sleep(50)
  if (pid !== undefined && isNode(pid)) {
    if (!force) {
      throw new RkfsError(
        'timeout',
        `the node (process ${pid}) did not end within ${timeout} s: \`rkfs stop --force\` ends it at once`,
      )
    }
    process.kill(pid, 'SIGKILL')
    while (isNode(pid) && performance.now() < deadline + KILL_MS) await sleep(50)
  }
  await clearDead(home)
  say(`the node on ${home} has stopped`)
}

/** What a node that was killed, or died before, left mounted: who stops it wants it away. */
async function clearDead(home: string): Promise<void> {
  for (const { directory, channel } of recordedMounts(home)) {
    await clearDeadMounts(directory)
    hint(`rkfs: the dead mount of ${channel} at ${printable(directory)} is cleared`)
  }
}

/** A pid from a file may be another program's by now. */
function isNode(pid: number | undefined): boolean {
  return pid !== undefined && isRunning(pid) && commandLine(pid).includes('serve')
}
