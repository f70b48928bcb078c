import type { DiskPort } from './disk-port.js'
import { isDiskFull } from './health.js'

/** Does a step that can be done again when it found no room, if it `may` use up the reserve for that. */
export function withReserve<T>(disk: DiskPort, may: boolean, step: () => T): T {
  try {
    return step()
  } catch (error) {
    if (!isDiskFull(error) || !may || !disk.release()) throw error
    return step()
  }
}
