import { spawn, type ChildProcess } from 'node:child_process'
import type { MountOptions } from '../../channel/mount-port.js'
import { unmountCommand } from './mount-point.js'
import { WATCHDOG_NAME } from './watchdogs-end.js'

/**
 * Waits for the end of its input, which comes when the daemon dies however it dies, and then unmounts; a line of input
 * ends it without. Signals that a service manager sends to the whole group are ignored: the daemon may only be about to die.
 *
 * The input does not end while a thread of the killed daemon is left: the notifier, in the kernel, waiting for a directory
 * that a caller holds whose answer will never come. Such a daemon shows as a zombie, and only aborting the connection,
 * which umount2(2) does with MNT_FORCE before all else, lets both go.
 *
 * Nothing is `exec`ed: the shell and its arguments are there until the unmounting is done (`watchdogsEnd`).
 */
const SCRIPT = `trap "" TERM INT HUP
daemon=$1 directory=$2
shift 2
(
  while sleep 1; do
    read -r stat <"/proc/$daemon/stat" || exit
    case \${stat##*) } in Z* | X*) break ;; esac
  done
  umount -f -i -c -- "$directory"
) </dev/null &
guard=$!
if read -r line; then kill -9 "$guard"; exit; fi
kill -9 "$guard"
"$@"`

/** A child process that unmounts lazily when this process is gone, so that no dead mount stays behind (FUSE.md §6). */
export class Watchdog {
  readonly #child: ChildProcess
  #dismissed = false

  constructor(directory: string, log: MountOptions['log']) {
    const { program, args } = unmountCommand(directory, true)
    this.#child = spawn('/bin/sh', ['-c', SCRIPT, WATCHDOG_NAME, String(process.pid), directory, program, ...args], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
    })
    this.#child.on('error', error => log('warn', 'the watchdog of the mount did not start', { error: error.message }))
    this.#child.on('exit', () => {
      if (!this.#dismissed)
        log('warn', 'the watchdog of the mount ended: a crash would leave a dead mount', { directory })
    })
    this.#child.stdin?.on('error', () => undefined) // EPIPE: it is gone already, which `exit` reports
    this.#child.unref()
    ;(this.#child.stdin as { unref?: () => void } | null)?.unref?.()
  }

  /** The mount is gone: the watchdog must end without unmounting what may be mounted there next. */
  dismiss(): void {
    if (this.#dismissed) return
    this.#dismissed = true
    this.#child.stdin?.end('bye\n')
  }
}
