/** The process's checkpoint worker: copies the bulk of a WAL into its database while the writer goes on (COMMIT §3). */
import Database from 'better-sqlite3'
import { parentPort } from 'node:worker_threads'
import { messageOf } from '../../base/errors.js'
import { failpoint } from '../../base/failpoint.js'
import { installFailpoint } from '../host/failpoints.js'
import { type CheckpointDone, type CheckpointJob, slotReady, slotRequested, slotRunning } from './checkpointer.js'

installFailpoint(process.env)

parentPort!.on('message', (job: CheckpointJob) => {
  // The store may have closed meanwhile: then the request was taken back.
  if (Atomics.compareExchange(job.slot, 0, slotRequested, slotRunning) !== slotRequested) return
  let failure: string | undefined
  try {
    // A connection of its own for each job, so that none is open when the store closes.
    const db = new Database(job.path, { fileMustExist: true })
    try {
      db.pragma('synchronous = NORMAL')
      // Twice: what was written during the first one is most of what is left.
      db.pragma('wal_checkpoint(PASSIVE)')
      failpoint('checkpoint-copying')
      db.pragma('wal_checkpoint(PASSIVE)')
    } finally {
      db.close()
    }
  } catch (error) {
    failure = messageOf(error)
  }
  Atomics.store(job.slot, 0, slotReady)
  Atomics.notify(job.slot, 0)
  const done: CheckpointDone = { id: job.id, error: failure }
  parentPort!.postMessage(done)
})
