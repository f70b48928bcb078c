import { spawn, type ChildProcess } from 'node:child_process'
import type { MountOptions } from '../../channel/mount-port.js'
import { ABORT_SCRIPT, minorOf } from './abort.js'

/**
 * Each line of the input names the mounts that there are, by the minor numbers of their devices. The input ends with the
 * daemon, however it dies. It does not end while a thread of a killed daemon is left: then the daemon shows as a zombie.
 * Signals that a service manager sends to the whole group are ignored: the daemon may only be about to die.
 */
const SCRIPT = `trap "" TERM INT HUP
daemon=$1 poll=
watch() {
  while sleep 1; do
    read -r stat <"/proc/$daemon/stat" || exit
    case \${stat##*) } in Z* | X*) break ;; esac
  done
  for minor in $minors; do
    ${ABORT_SCRIPT}
  done
}
while read -r minors; do
  [ -z "$poll" ] || kill -9 "$poll"
  watch </dev/null &
  poll=$!
done
[ -z "$poll" ] || kill -9 "$poll"`

/**
 * A child process that ends the calls of a daemon that died: one for all its mounts. The kernel does so by itself when the
 * daemon's last descriptor of the device is closed, but that never comes while the notifier waits in the kernel for a
 * directory that a caller holds whose answer will never come: each would wait for the other for ever. Aborting the
 * connection lets both go.
 *
 * It never unmounts: what a crash leaves is a dead mount, which answers ENOTCONN, so that no program writes into the
 * directory below it.
 */
class Guard {
  /** How many mounts have each: one that has just ended may have had the number of a new one. */
  readonly #minors = new Map<string, number>()
  #child: ChildProcess | undefined

  /** `device`: the mount's `major:minor`. Answers what is to be called when the mount has ended. */
  watch(device: string, log: MountOptions['log']): () => void {
    const minor = minorOf(device)
    this.#minors.set(minor, (this.#minors.get(minor) ?? 0) + 1)
    this.#child ??= this.#start(log)
    this.#tell()
    return () => {
      const left = this.#minors.get(minor)! - 1
      if (left > 0) return void this.#minors.set(minor, left)
      this.#minors.delete(minor)
      if (this.#minors.size > 0) return this.#tell()
      this.#child?.stdin?.end()
      this.#child = undefined
    }
  }

  #start(log: MountOptions['log']): ChildProcess {
    const child = spawn('/bin/sh', ['-c', SCRIPT, 'rkfs-guard', String(process.pid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
    })
    child.on('error', error => {
      // then `exit` does not come
      if (this.#child === child && child.pid === undefined) this.#child = undefined
      log('warn', 'the guard of the mounts did not start', { error: error.message })
    })
    child.on('exit', () => {
      if (this.#child !== child) return
      this.#child = undefined
      log('warn', 'the guard of the mounts ended: after a crash calls may wait for ever')
    })
    child.stdin?.on('error', () => undefined) // EPIPE: it is gone already, which `exit` reports
    child.unref()
    ;(child.stdin as { unref?: () => void } | null)?.unref?.()
    return child
  }

  #tell(): void {
    this.#child?.stdin?.write(`${[...this.#minors.keys()].join(' ')}\n`)
  }
}

export const guard = new Guard()
