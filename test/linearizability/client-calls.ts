import {
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import type { FileInput, FileOutput } from './file-model.js'
import type { Outcome } from './history.js'

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants

/** Errors that say what the state was, and that nothing was changed. */
const tellingErrors = new Set(['ENOENT', 'EEXIST', 'ENOTDIR', 'EISDIR', 'ENOTEMPTY', 'EPERM', 'EINVAL'])

/** A file is read in one piece: one page, which the kernel asks for once. */
export const readBytesMax = 4096

/** Of content that changes while it is read. */
const stableTriesMax = 20

/** Names that begin so are a client's own, and not listed. */
export const privatePrefix = '.lin-'

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown'

/** The call that takes effect was not made, or told nothing. */
class NotBegun extends Error {}

/**
 * The calls of `FileInput` on a mounted folder, each with the one system call that takes effect or looks.
 *
 * `isConfirmed`: what was told is waited for (`fsync` of the file and of the folder), as README asks of those who must be
 * sure. What a program sees on its own mount may not be committed yet.
 */
export class ClientCalls {
  /** Through a descriptor of the mount's root: where a mount has ended, another directory would appear. */
  readonly #folder: string
  readonly #descriptor: number
  readonly #isConfirmed: boolean
  readonly #aside: string
  #asides = 0

  constructor(rootDescriptor: number, within: string, client: string, isConfirmed: boolean) {
    this.#descriptor = rootDescriptor
    this.#folder = `/proc/self/fd/${rootDescriptor}/${within}`
    this.#isConfirmed = isConfirmed
    this.#aside = `${privatePrefix}${client}-${process.hrtime.bigint()}`
  }

  perform(input: FileInput): Outcome<FileOutput> {
    const changes = input.op !== 'read' && input.op !== 'stat' && input.op !== 'list'
    let output: FileOutput
    try {
      output = this.#call(input)
    } catch (error) {
      if (error instanceof NotBegun) return 'none'
      const code = codeOf(error)
      // EROFS: it was never ordered, and will not be
      if (!tellingErrors.has(code)) return changes && code !== 'EROFS' ? 'unknown' : 'none'
      output = { error: code }
    }
    try {
      if (this.#isConfirmed) fsyncSync(this.#descriptor)
    } catch {
      return changes && output === 'ok' ? 'unknown' : 'none'
    }
    return { output }
  }

  #path(path: string): string {
    return `${this.#folder}/${path}`
  }

  #call(input: FileInput): FileOutput {
    const path = this.#path(input.path)
    switch (input.op) {
      case 'mkdir':
        mkdirSync(path)
        return 'ok'
      case 'rmdir':
        rmdirSync(path)
        return 'ok'
      case 'unlink':
        unlinkSync(path)
        return 'ok'
      case 'create':
        closeSync(openSync(path, O_CREAT | O_EXCL | O_WRONLY))
        return 'ok'
      case 'put':
        renameSync(this.#path(this.#writeAside(input.data)), path)
        return 'ok'
      case 'rename':
        renameSync(path, this.#path(input.to))
        return 'ok'
      case 'link':
        linkSync(path, this.#path(input.to))
        return 'ok'
      case 'truncate':
        truncateSync(path, input.size)
        return 'ok'
      case 'write':
        return this.#write(path, 0, input.offset, input.data)
      case 'append':
        return this.#write(path, O_APPEND, null, input.data)
      case 'read':
        return { data: this.#readStable(path) }
      case 'stat': {
        const found = lstatSync(path)
        return found.isDirectory() ? { type: 'directory' } : { type: 'file', size: found.size }
      }
      case 'list': {
        const names = readdirSync(path).filter(name => !name.startsWith(privatePrefix))
        return { names: names.sort() }
      }
    }
  }

  /** On stable storage when this returns: so the rename that follows is what a reader waits for. */
  #writeAside(data: string): string {
    const name = `${this.#aside}-${this.#asides++}`
    try {
      this.#write(this.#path(name), O_CREAT | O_EXCL, 0, data)
    } catch (error) {
      throw new NotBegun('the file aside', { cause: error })
    }
    return name
  }

  #write(path: string, flags: number, offset: number | null, data: string): FileOutput {
    const file = this.#openToWrite(path, flags)
    try {
      const written = writeSync(file, data, offset)
      if (written !== data.length) throw new Error(`a write of ${data.length} bytes wrote ${written}`)
      // close of a file that was written waits for a majority, but its error may be lost on the way
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    return 'ok'
  }

  #openToWrite(path: string, flags: number): number {
    try {
      return openSync(path, O_WRONLY | O_NOFOLLOW | flags)
    } catch (error) {
      if (tellingErrors.has(codeOf(error))) throw error
      throw new NotBegun(path, { cause: error })
    }
  }

  /**
   * Content that was there at one moment, for all. A member shows its own writes where it expects them to come; while they
   * are on their way, others' may come before them. What is still so when they have come is so everywhere.
   */
  #readStable(path: string): string {
    let data = this.#read(path)
    for (let tries = 0; this.#isConfirmed; tries++) {
      const again = this.#read(path)
      if (again === data) break
      if (tries === stableTriesMax) throw new NotBegun(`${path} keeps changing`)
      data = again
    }
    return data
  }

  #read(path: string): string {
    const file = openSync(path, O_RDONLY | O_NOFOLLOW)
    try {
      const buffer = Buffer.alloc(readBytesMax)
      const length = readSync(file, buffer, 0, readBytesMax, 0)
      // of the file: it waits for a write that is under way on this mount, too
      if (this.#isConfirmed) fsyncSync(file)
      return buffer.toString('latin1', 0, length)
    } finally {
      closeSync(file)
    }
  }
}
