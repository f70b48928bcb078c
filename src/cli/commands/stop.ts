import type { Command } from 'commander'
import { setTimeout as sleep } from 'node:timers/promises'
import { lockHolder } from '../../adapters/host/lock-holder.js'
import { commandLine, isRunning } from '../../adapters/host/process.js'
import { RkfsError } from '../../base/errors.js'
import { callDaemon, isNoNode } from '../../daemon/control-client.js'
import { inspectHome } from '../../daemon/home.js'
import { parseDuration } from '../arguments.js'
import { homeOf, quickSeconds } from '../context.js'
import { ProgressBar } from '../progress.js'
import { say } from '../output.js'

export function addStop(program: Command): void {
  program
    .command('stop')
    .description('stop this home’s node: commit what is pending, unmount, end')
    .option('--force', 'do not wait for pending changes or programs; a node that does not answer is killed')
    .option('--timeout <time>', 'how long to wait', parseDuration, 120)
    .addHelpText('after', '\nExamples:\n  rkfs stop\n  rkfs stop --force --timeout 10')
    .action(stop)
}

async function stop(options: { force?: boolean; timeout: number }, command: Command): Promise<void> {
  const home = homeOf(command)
  const force = options.force === true
  inspectHome(home)
  const holder = lockHolder(home)
  const deadline = performance.now() + options.timeout * 1000
  const bar = new ProgressBar()
  let pid = holder
  try {
    ;({ pid } = await callDaemon(home, 'ping', {}, { timeoutMs: quickSeconds * 1000 }))
    await callDaemon(home, 'stop', { force }, { timeoutMs: options.timeout * 1000, onProgress: bar.update })
  } catch (error) {
    // It may close the connection before its answer is through.
    const leaving = error instanceof RkfsError && error.code === 'failed' && pid !== undefined && !isRunning(pid)
    if (isNoNode(error) && !isNode(pid)) throw error
    if (!leaving && !force && !isNoNode(error)) throw error
  } finally {
    bar.end()
  }
  while (pid !== undefined && isNode(pid) && performance.now() < deadline) await sleep(50)
  if (pid !== undefined && isNode(pid)) {
    if (!force) {
      throw new RkfsError(
        'timeout',
        `the node (process ${pid}) did not end within ${options.timeout} s: \`rkfs stop --force\` ends it at once`,
      )
    }
    process.kill(pid, 'SIGKILL')
  }
  say(`the node on ${home} has stopped`)
}

/** A pid from a file may be another program's by now. */
function isNode(pid: number | undefined): boolean {
  return pid !== undefined && isRunning(pid) && commandLine(pid).includes('serve')
}
