import { lacksSpace, RkfsError } from '../base/errors.js'
import { systemError } from '../base/system-error.js'

/** What a system call fails with for want of space says nothing of which disk it is. */
export async function namingDisk<T>(home: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof RkfsError || !lacksSpace(cause)) throw cause
    throw new RkfsError('disk-full', `${systemError(cause)} of ${home}`, { cause })
  }
}
