import { setFlagsFromString } from 'node:v8'
import { boundHeap } from '../adapters/host/heap-bound.js'
import { acquireHomeLock } from '../adapters/host/home-lock.js'
import type { Config } from './config.js'
import { controlSocketPath } from './control-path.js'
import { ControlServer } from './control-server.js'
import { controlHandlers } from './handlers.js'
import type { Log } from './log.js'
import { Node } from './node.js'

/*
 * V8 marks incrementally, on all processors, for each 64 MiB of buffers that were allocated, dead or alive: under bulk
 * writes a third of the processors' time. Without it young-generation collections free the same buffers, and full ones
 * come when the heap itself needs them (measured: 133 to 1 in 1.1 GB, and 60 to 95 MB/s of sequential writes).
 */
setFlagsFromString('--no-incremental-marking')

export interface RunningDaemon {
  /** Drains, unmounts, hands leadership over and closes; `force`: without waiting for anybody. Twice without harm. */
  stop(force: boolean): Promise<void>
  /** Where it listens: with the port that the system chose, if it was 0. */
  readonly listen: string
  /** Resolves when each of the mounts that come back was tried once. */
  readonly mounted: Promise<void>
  /** Resolves with the exit code when the node has ended. */
  readonly done: Promise<number>
}

/** Starts a node on a home: lock, identity, port, channels, then the control socket, which says that it is ready. */
export async function runDaemon(options: {
  home: string
  config: Config
  log: Log
  /** Where the command that starts this node is about to mount: what an earlier run left dead there is left to it. */
  mounting?: string | undefined
  /** Called once, when it begins to stop, whoever asked for that. */
  stopping?: () => void
}): Promise<RunningDaemon> {
  const { home, config, log, mounting } = options
  const lock = acquireHomeLock(home)
  boundHeap()
  let end: (code: number) => void
  const done = new Promise<number>(resolve => (end = resolve))
  try {
    const node = await Node.start(home, config, log)
    let stopping: Promise<void> | undefined
    let forced: Promise<void> | undefined
    const finish = async (force: boolean): Promise<void> => {
      options.stopping?.()
      await node.stop(force)
      await control.stop()
      lock.release()
      end(0)
    }
    const stop = (force: boolean): Promise<void> => {
      if (force && stopping !== undefined) forced ??= node.mounts.unmountAll(undefined, true)
      stopping ??= finish(force)
      return force && forced !== undefined ? Promise.race([stopping, forced.then(() => stopping)]) : stopping
    }
    const control = new ControlServer(controlSocketPath(home), controlHandlers(node, stop), log)
    try {
      await control.start()
    } catch (error) {
      await node.stop(true)
      throw error
    }
    const mounted = node.restoreMounts(mounting)
    return { stop, done, listen: node.listen, mounted }
  } catch (error) {
    lock.release()
    throw error
  }
}
