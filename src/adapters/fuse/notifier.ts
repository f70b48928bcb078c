/**
 * A notifier: a worker thread that only writes cache invalidations, one batch of one mount at a time. Such a write waits for
 * kernel locks that a request in flight may hold (DESIGN), therefore no reply may depend on this thread, but a lock's, whose
 * caller holds none of them, and for 100 ms a GETATTR's.
 */
import { writeSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'

export interface NotifierJob {
  readonly fd: number
  /** Notifications one after the other, each as long as its header says. */
  readonly batch: ArrayBuffer
}

export interface NotifierResult {
  /** Where those begin in it whose inode or name the kernel did not know (yet). */
  readonly unknown: readonly number[]
  /** The connection has ended. */
  readonly isGone: boolean
  /** What the kernel refused. */
  readonly problems: readonly string[]
}

/** What the kernel says of a notification. */
function write(fd: number, record: Buffer): 'written' | 'unknown' | 'gone' | Error {
  try {
    writeSync(fd, record)
    return 'written'
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return 'unknown'
    if (code === 'ENODEV' || code === 'EPERM' || code === 'ENOTCONN' || code === 'ECONNABORTED') return 'gone'
    // ENOTDIR, ENOTEMPTY, EBUSY: answers of DELETE and INVAL_ENTRY. EINVAL: an old kernel that does not know the code
    return code === 'EINVAL' ? (error as Error) : 'written'
  }
}

function run({ fd, batch }: NotifierJob): NotifierResult {
  const bytes = Buffer.from(batch)
  const unknown: number[] = []
  const problems: string[] = []
  let isGone = false
  for (let at = 0; at < bytes.length && !isGone; at += bytes.readUInt32LE(at)) {
    const record = bytes.subarray(at, at + bytes.readUInt32LE(at))
    const result = write(fd, record)
    if (result === 'unknown') unknown.push(at)
    else if (result === 'gone') isGone = true
    else if (result !== 'written') problems.push(`notification ${record.readInt32LE(4)}: ${String(result)}`)
  }
  return { unknown, isGone, problems }
}

const port = parentPort!
port.on('message', (job: NotifierJob | 'stop') => {
  if (job === 'stop') return port.close()
  port.postMessage(run(job))
})
