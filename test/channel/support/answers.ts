import type { Test } from 'tap'
import { errnoName } from '../../../src/base/errno.js'
import type { Answer, Cluster } from './cluster.js'

/** Waits for the answers, all of which say that it is done. */
export function ok(t: Test, cluster: Cluster, ...answers: Answer[]): void {
  for (const answer of answers) t.equal(errnoName(cluster.answered(answer)), errnoName(0))
}
