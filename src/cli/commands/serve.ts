import { Option, type Command } from 'commander'
import { spawn } from 'node:child_process'
import { hasNodeEnvironment, nodeEnvironment } from '../../adapters/host/allocator.js'
import { furtherNodeThreads, processorSeconds, requireProcessLimits } from '../../adapters/host/process-limits.js'
import { setTimeout as sleep } from 'node:timers/promises'
import { installFailpoint } from '../../adapters/host/failpoints.js'
import { isSystemError, machineWords } from '../../base/system-error.js'
import { sdNotify } from '../../adapters/host/sd-notify.js'
import { loadConfig } from '../../daemon/config.js'
import type { runDaemon } from '../../daemon/daemon.js'
import { inspectHome, openHome } from '../../daemon/home.js'
import { createLog, type Log } from '../../daemon/log.js'
import { namingDisk } from '../../daemon/naming-disk.js'
import { homeOf } from '../context.js'
import { tellStarter } from '../starter.js'

type Running = Awaited<ReturnType<typeof runDaemon>>

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('run this home’s node in the foreground; `mount` and `join` start it in the background')
    .option('--listen <host:port>', 'where to listen for other members (default: 127.0.0.1:7400)')
    .option('--name <name>', 'the node’s name for people (default: the machine’s)')
    .option('--log-level <level>', 'debug, info, warn or error (default: info)')
    .addOption(new Option('--mounting <dir>', 'where the command that starts this node is about to mount').hideHelp())
    .addHelpText(
      'after',
      '\nSIGINT or SIGTERM stops the node in order, and unmounts; a second one by force. A node that is killed leaves its mounts' +
        ' dead (ENOTCONN), and the next start on the same home mounts them anew.\n' +
        '\nExamples:\n  rkfs serve --listen 0.0.0.0:7400\n  RKFS_HOME=/var/lib/rkfs rkfs serve --listen files.example.org:7400',
    )
    .action(serve)
}

interface Options {
  listen?: string
  name?: string
  logLevel?: string
  mounting?: string
}

async function serve(options: Options, command: Command): Promise<void> {
  beginAnewWithEnvironment()
  installFailpoint(process.env)
  requireProcessLimits('the node cannot be started', furtherNodeThreads)
  // Whatever this process makes (keys, logs, databases, copies) is its owner's alone; what others may read says so.
  process.umask(0o077)
  const flags = { listen: options.listen, name: options.name, log_level: options.logLevel }
  const chosen = homeOf(command)
  inspectHome(chosen)
  // before the home is made: what is refused leaves nothing behind
  const { config } = loadConfig(chosen, process.env, flags)
  const home = openHome(chosen)
  const log = createLog({ level: config.logLevel, pretty: process.stderr.isTTY })
  let running: Running | undefined
  let stopRequests = 0
  catchFaults(log)
  ignoreSignals(log)
  warnOfTimeLimit(log)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGXCPU'] as const) {
    process.on(signal, () => {
      if (signal === 'SIGXCPU') log.error(timeUsedUp, { signal })
      // the kernel sends this one each second
      if (signal === 'SIGXCPU' && stopRequests > 0) return
      stopRequests++
      log.info(stopRequests === 1 ? 'stopping' : 'stopping by force', { signal })
      if (running === undefined) {
        // Not up yet. A second signal does not wait for it to come up.
        if (stopRequests > 1) process.kill(process.pid, 'SIGKILL')
      } else void stop(running, stopRequests > 1, log)
    })
  }
  // Loaded here alone: the other commands start in a fraction of the time without it.
  const { runDaemon } = await import('../../daemon/daemon.js')
  const stopping = (): void => void sdNotify(process.env['NOTIFY_SOCKET'], { STOPPING: '1' })
  running = await namingDisk(home, () => runDaemon({ home, config, log, mounting: options.mounting, stopping }))
  log.info('ready', { listen: running.listen, home })
  void tellManager(running)
  if (stopRequests > 0) void stop(running, false, log)
  const code = await running.done
  log.info('ended', { code })
  leave(code)
}

/** The allocator reads its settings when a process begins: the same process begins once more, where Node can do that. */
function beginAnewWithEnvironment(): void {
  // execve(2) came with Node 22.15; before, who starts the node sets them (scripts/rkfs, a unit)
  const { execve } = process as { execve?: (file: string, args: string[], env: NodeJS.ProcessEnv) => never }
  if (execve === undefined || hasNodeEnvironment(process.env)) return
  const args = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  execve.call(process, process.execPath, args, nodeEnvironment(process.env))
}

/** Mounts that cannot be made yet (a learner fetches its files) do not keep what comes after this service waiting. */
const mountsMs = 20_000

/** The service manager hears that the node is ready when its mounts are there. */
async function tellManager({ mounted, listen }: Running): Promise<void> {
  const socket = process.env['NOTIFY_SOCKET']
  await Promise.race([mounted, sleep(mountsMs, undefined, { ref: false })])
  await sdNotify(socket, { READY: '1', MAINPID: String(process.pid), STATUS: `listens on ${listen}` })
}

async function stop(running: Running, force: boolean, log: Log): Promise<void> {
  try {
    await running.stop(force)
  } catch (error) {
    log.error('the node cannot stop in order; a second signal stops it by force', { error })
  }
}

const timeUsedUp =
  'this node ends, since it has used up its processor time (ulimit -t, LimitCPU in systemd): raise that limit, or take it away'

/** Where the limit is a hard one, too, the kernel kills without a signal before. */
function warnOfTimeLimit(log: Log): void {
  const seconds = processorSeconds()
  if (seconds === Infinity) return
  log.warn(
    `this node may use ${seconds} s of processor time (ulimit -t, LimitCPU in systemd), and is ended or killed then: take that limit away`,
  )
}

/**
 * Signals that would end a process without a word, or open Node's debugger (SIGUSR1), do nothing here but a line in the log:
 * a timer or a monitor of somebody else is no reason to leave mounts dead. SIGXFSZ: the write says EFBIG. Of the real-time
 * signals, which end it, Node knows nothing.
 */
const ignored = [
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGVTALRM',
  'SIGPROF',
  'SIGIO',
  'SIGPWR',
  'SIGSTKFLT',
  'SIGXFSZ',
] as const

function ignoreSignals(log: Log): void {
  for (const signal of ignored) {
    process.on(signal, () => log.warn('a signal is ignored: SIGTERM stops this node', { signal }))
  }
}

/**
 * A fault of ours: logged, then the end, as if killed. Nothing is unmounted: programs that try again would write into the
 * bare directory. What they were told of is in the journal.
 */
function catchFaults(log: Log): void {
  const fall = (error: unknown, origin: string): void => {
    const cause = isSystemError(error) ? machineWords(error) : 'a fault of rkfs'
    log.error(`${cause}: this node ends; start it again; its mounts are dead until then`, { origin, error })
    tellStarter(cause)
    leave(1)
  }
  process.on('uncaughtException', fall)
  process.on('unhandledRejection', reason => fall(reason, 'unhandledRejection'))
}

/** process.exit waits for threads; a child sees to it that this process ends all the same. */
function leave(code: number): never {
  const script = 'sleep 2; kill -9 "$0" 2>/dev/null'
  spawn('/bin/sh', ['-c', script, String(process.pid)], { detached: true, stdio: 'ignore', cwd: '/' }).unref()
  process.exit(code)
}
