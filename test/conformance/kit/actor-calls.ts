import { lock } from './lock.js'
import { file, text } from './files.js'
import { O } from './flags.js'
import { socket } from './socket.js'
import { sys } from './sys.js'

/** What another process can be told to do: one call, or a loop that is too long for messages. */
export const actorCalls = {
  ...sys,
  lockSet: lock.set,
  lockWait: lock.wait,
  lockGet: lock.get,
  ofdSet: lock.ofdSet,
  file,
  text,
  connect: socket.connect,
  socket: socket.create,
  enter: (directory: string): void => process.chdir(directory),

  /** Appends records of one size, each of one letter, each with one write. */
  appendRecords(path: string, letter: string, size: number, count: number): void {
    const fd = sys.open(path, O.WRONLY | O.APPEND)
    for (let i = 0; i < count; i++) sys.write(fd, letter.repeat(size))
    sys.close(fd)
  },

  /** Tries to create each name alone; answers those that it won. */
  createExclusively(names: readonly string[]): string[] {
    return names.filter(name => {
      try {
        sys.close(sys.open(name, O.CREAT | O.EXCL | O.WRONLY))
        return true
      } catch {
        return false
      }
    })
  },

  /** Tries to make each directory; answers those that it won. */
  makeDirectories(names: readonly string[]): string[] {
    return names.filter(name => {
      try {
        sys.mkdir(name)
        return true
      } catch {
        return false
      }
    })
  },

  /** Replaces a file by rename, over and over, with contents of one letter each. */
  replaceRepeatedly(path: string, size: number, count: number): void {
    for (let i = 0; i < count; i++) {
      file(`${path}.new`, String.fromCharCode(97 + (i % 26)).repeat(size))
      sys.rename(`${path}.new`, path)
    }
  },

  /** Adds one to the number in a file, under a lock of the whole file. */
  countUnderLock(path: string, times: number): void {
    const fd = sys.open(path, O.RDWR)
    for (let i = 0; i < times; i++) {
      lock.wait(fd, { type: 'write' })
      const value = Number(sys.pread(fd, 20, 0).toString())
      sys.pwrite(fd, `${value + 1}`, 0)
      lock.set(fd, { type: 'unlock' })
    }
    sys.close(fd)
  },

  /** Creates and removes names in a directory, over and over. */
  churn(path: string, count: number): void {
    for (let i = 0; i < count; i++) {
      file(`${path}/churn-${i}`)
      if (i >= 10) sys.unlink(`${path}/churn-${i - 10}`)
    }
  },
}

export type ActorCalls = typeof actorCalls
