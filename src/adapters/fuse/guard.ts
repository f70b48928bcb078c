import { spawn, type ChildProcess } from 'node:child_process'
import type { MountOptions } from '../../channel/mount-port.js'
import { ABORT_SCRIPT, minorOf } from './abort.js'

/**
 * The input ends with the daemon, however it dies, or with a line when the mount is gone. It does not end while a thread of
 * a killed daemon is left: then the daemon shows as a zombie. Signals that a service manager sends to the whole group are
 * ignored: the daemon may only be about to die.
 */
const SCRIPT = `trap "" TERM INT HUP
daemon=$1 minor=$2
(
  while sleep 1; do
    read -r stat <"/proc/$daemon/stat" || exit
    case \${stat##*) } in Z* | X*) break ;; esac
  done
  ${ABORT_SCRIPT}
) </dev/null &
poll=$!
read -r line
kill -9 "$poll"`

/**
 * A child process that ends the calls of a daemon that died. The kernel does so by itself when the daemon's last
 * descriptor of the device is closed, but that never comes while the notifier waits in the kernel for a directory that a
 * caller holds whose answer will never come: each would wait for the other for ever. Aborting the connection lets both go.
 *
 * It never unmounts: what a crash leaves is a dead mount, which answers ENOTCONN, so that no program writes into the
 * directory below it.
 */
export class Guard {
  readonly #child: ChildProcess
  #dismissed = false

  /** `device`: the mount's `major:minor`. */
  constructor(device: string, log: MountOptions['log']) {
    this.#child = spawn('/bin/sh', ['-c', SCRIPT, 'rkfs-guard', String(process.pid), minorOf(device)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
    })
    this.#child.on('error', error => log('warn', 'the guard of the mount did not start', { error: error.message }))
    this.#child.on('exit', () => {
      if (!this.#dismissed)
        log('warn', 'the guard of the mount ended: after a crash calls may wait for ever', { device })
    })
    this.#child.stdin?.on('error', () => undefined) // EPIPE: it is gone already, which `exit` reports
    this.#child.unref()
    ;(this.#child.stdin as { unref?: () => void } | null)?.unref?.()
  }

  /** The mount has ended. */
  dismiss(): void {
    if (this.#dismissed) return
    this.#dismissed = true
    this.#child.stdin?.end('bye\n')
  }
}
