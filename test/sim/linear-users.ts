import { EEXIST, EISDIR, ENOENT, ENOTDIR, EROFS } from '../../src/base/errno.js'
import { rootInode } from '../../src/fs/records.js'
import type { Member } from '../channel/support/cluster.js'
import { check as checkLinearizable } from '../linearizability/checker.js'
import { fileModel, type FileInput, type FileOutput } from '../linearizability/file-model.js'
import { Recorder, type Outcome } from '../linearizability/history.js'
import { describeVerdict } from '../linearizability/report.js'
import { check } from './checkers/violation.js'
import type { Kernel } from './kernel.js'
import type { World } from './users.js'

const O_RDWR = 2
const O_EXCL = 0o200
const O_APPEND = 0o2000
const names = ['lin-a', 'lin-b']
/** Longer histories are cut: the checker's work grows with them. */
const operationsMax = 250

const errors = new Map([
  [ENOENT, 'ENOENT'],
  [EEXIST, 'EEXIST'],
  [EISDIR, 'EISDIR'],
  [ENOTDIR, 'ENOTDIR'],
])

type End = (outcome: Outcome<FileOutput>) => void

/**
 * Programs on mounts with `read=latest`: what they see is what one machine would show (promise 3). One for each member, on
 * few names; what happened is recorded. What they were told of content they make sure of (fsync) before they go on: a
 * program sees what others write on its own mount before a majority has it.
 */
export class LinearUsers {
  readonly #world: World
  readonly #recorder = new Recorder<FileInput, FileOutput>()
  operations = 0
  #data = 0
  #clients = 0

  constructor(world: World) {
    this.#world = world
  }

  join(member: Member, kernel: Kernel): void {
    this.#next(`${member.slot}.${++this.#clients}`, member, member.lives, kernel)
  }

  #next(client: string, member: Member, life: number, kernel: Kernel): void {
    const { rng, options } = this.#world
    this.#world.after(1 + rng.below(4 * options.callMs * options.members), () => {
      if (member.lives !== life || this.operations >= operationsMax) return
      if (member.frozen) return this.#next(client, member, life, kernel)
      this.operations++
      const input = this.#draw()
      const end = this.#recorder.begin(client, input, this.#world.now())
      this.#perform(kernel, input, outcome => {
        this.#world.note(`lin ${client} ${JSON.stringify(input)}: ${JSON.stringify(outcome)}`)
        end(outcome, this.#world.now())
        this.#next(client, member, life, kernel)
      })
    })
  }

  #draw(): FileInput {
    const { rng } = this.#world
    const path = names[rng.below(names.length)]!
    const data = `${++this.#data},`
    const dice = rng.below(12)
    if (dice < 2) return { op: 'create', path }
    if (dice < 3) return { op: 'unlink', path }
    if (dice < 5) return { op: 'append', path, data }
    if (dice < 7) return { op: 'write', path, offset: rng.below(4), data }
    if (dice < 9) return { op: 'stat', path }
    return { op: 'read', path }
  }

  #perform(kernel: Kernel, input: FileInput, end: End): void {
    const { path } = input
    const isChange = input.op !== 'read' && input.op !== 'stat'
    const isOfNames = input.op === 'create' || input.op === 'unlink'
    const ok = (output: FileOutput): void => {
      if (isOfNames) end({ output })
      else this.#confirm(kernel, isChange, output, end)
    }
    const fail = (errno: number): void => {
      const error = errors.get(errno)
      if (error !== undefined) ok({ error })
      else end(isChange && errno !== EROFS ? 'unknown' : 'none')
    }
    if (input.op === 'create') {
      return kernel.create(rootInode, path, O_RDWR | O_EXCL, (errno, made) => {
        if (made === undefined) return fail(errno)
        kernel.release(made.entry.attributes.ino, made.file.handle)
        ok('ok')
      })
    }
    if (input.op === 'unlink') {
      return kernel.remove('unlink', rootInode, path, errno => (errno === 0 ? ok('ok') : fail(errno)))
    }
    kernel.lookup(rootInode, path, (_, found) => {
      if (found === undefined) return end('none')
      if (found.attributes === undefined) return fail(ENOENT)
      const { ino, size } = found.attributes
      if (input.op === 'stat') return ok({ type: 'file', size })
      const flags = O_RDWR | (input.op === 'append' ? O_APPEND : 0)
      kernel.open(ino, flags, (_, file) => {
        // ESTALE: a kernel looks the name up again, which is another call here
        if (file === undefined) return end('none')
        const { handle } = file
        const done = (failed: number, output: FileOutput): void => {
          kernel.release(ino, handle)
          if (failed === 0) ok(output)
          else end(isChange && failed !== EROFS ? 'unknown' : 'none')
        }
        if (input.op === 'read') {
          return kernel.read(ino, handle, 1 << 20, (failed, content) => {
            done(failed, { data: Buffer.from(content ?? []).toString('latin1') })
          })
        }
        if (input.op !== 'write' && input.op !== 'append') throw new Error(`unknown operation ${input.op}`)
        const offset = input.op === 'write' ? input.offset : 0
        kernel.write(ino, handle, offset, Buffer.from(input.data), flags, failed => {
          if (failed !== 0) return done(failed, 'ok')
          kernel.fsync(ino, handle, unsynced => done(unsynced, 'ok'))
        })
      })
    })
  }

  /** fsync of the folder: all that this mount shows is committed. */
  #confirm(kernel: Kernel, isChange: boolean, output: FileOutput, end: End): void {
    kernel.fsync(rootInode, 0, errno => {
      if (errno === 0) end({ output })
      else end(isChange && output === 'ok' ? 'unknown' : 'none')
    })
  }

  check(): void {
    const verdict = checkLinearizable(fileModel, this.#recorder.history(), { stepsMax: 200_000, secondsMax: 5 })
    check('linearizability', verdict.verdict !== 'violation', () => describeVerdict(verdict))
  }
}
