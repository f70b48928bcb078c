import { concatBytes } from '../base/bytes.js'
import { EAGAIN, EINTR, EIO } from '../base/errno.js'
import { payloadBytesMax } from '../base/limits.js'
import { xattrNames } from '../fs/attributes.js'
import { visitCovered } from '../fs/extents.js'
import { getInode } from '../fs/inodes.js'
import { FALLOC_FL_KEEP_SIZE, namelessKey, nowhere, type Operation } from '../fs/operation.js'
import { decodeReserved } from '../fs/reserved.js'
import type { MountState } from './mount-state.js'
import type { OrphanFile } from './orphan-file.js'
import type { ChangeOptions } from './ports.js'

const noBytes = new Uint8Array(0)
/** A program may go on writing through a mapping while its file is given a name: what was told is told again. */
const triesMax = 8
const againMs = 1000

type Submit = (operation: Operation, payload: Uint8Array, done: (errno: number) => void) => void
type Step = () => { readonly operation: Operation; readonly payload: Uint8Array }

/**
 * linkat(2) of a file that was made with O_TMPFILE: the channel hears of it now, first as a file without a name, with all
 * its content, and gets the name last, so that nobody sees half of it. Answers a way to give up (EINTR).
 */
export function giveName(
  mount: MountState,
  orphan: OrphanFile,
  parent: number,
  name: string,
  done: (errno: number) => void,
): () => void {
  const { ino } = orphan
  let cancel = (): void => {}
  const submit = (operation: Operation, payload: Uint8Array, answered: (errno: number) => void): void => {
    cancel = submitTo(mount, operation, payload, { durable: false, done: answered })
  }
  const { mode, uid, gid } = orphan.inode
  const hidden = namelessKey(ino)
  const made: Operation = { kind: 'make', parent: nowhere, name: hidden, ino, mode, uid, gid, rdev: 0, target: '' }
  const give = (errno: number): void => {
    const { changes } = orphan
    if (errno !== 0) {
      submitTo(mount, { kind: 'unlink', parent: nowhere, name: hidden }, noBytes, { durable: false, done: () => {} })
      return done(errno)
    }
    // what comes before it is durable with it
    const outcome = mount.outcome()
    const named = (linked: number): void => {
      if (linked === EINTR || linked === EIO) awaitName(mount, orphan, changes)
      if (linked !== 0) return give(linked)
      outcome.told()
      mount.dropOrphan(ino)
      mount.files.changed(ino, mount.channel.lastSequence)
      done(0)
    }
    const { lost } = outcome
    cancel = submitTo(mount, { kind: 'link', ino, parent, name }, noBytes, { durable: mount.waits, done: named, lost })
  }
  const tell = (tries: number): void => {
    const { changes } = orphan
    inTurn(submit, stepsOf(orphan), errno => {
      if (errno !== 0 || changes === orphan.changes) give(errno)
      else if (tries > 1) tell(tries - 1)
      else give(EAGAIN)
    })
  }
  submit(made, noBytes, errno => {
    if (errno === 0) tell(triesMax)
    else done(errno)
  })
  return () => cancel()
}

/**
 * A call that would have given it a name ended, and nobody knows how: if it has the name in the end, it is the channel's
 * from then on. What was written to it since the channel was told of all its `changes` has no place in the order.
 */
function awaitName(mount: MountState, orphan: OrphanFile, changes: number): void {
  const { ino } = orphan
  const { channel, options } = mount
  channel.whenDurable(channel.lastSequence, options.timeoutMs, errno => {
    if (mount.orphans.get(ino) !== orphan) return
    if (errno !== 0) return mount.ports.delay(againMs, () => awaitName(mount, orphan, changes))
    if ((getInode(channel.view, ino)?.nlink ?? 0) === 0) return
    if (orphan.changes > changes) mount.files.spoil(ino, EIO)
    mount.orphanReturns(ino)
  })
}

/** The changes that make an empty file what the orphan is. */
function stepsOf(orphan: OrphanFile): Step[] {
  const { ino } = orphan
  const { mode, uid, gid, size, atime, mtime, target } = orphan.inode
  const steps: Step[] = []
  const change = (operation: Operation): void => {
    steps.push(() => ({ operation, payload: noBytes }))
  }
  change({ kind: 'setattr', ino, size: 0, killPrivileges: false })
  visitCovered(orphan, ino, 0, size, (at, bytes) => {
    for (let offset = at; offset < at + bytes; offset += payloadBytesMax) {
      const length = Math.min(at + bytes - offset, payloadBytesMax)
      steps.push(() => ({
        operation: { kind: 'write', ino, offset, length, killPrivileges: false },
        payload: concatBytes(orphan.read(offset, length), length),
      }))
    }
  })
  // where it ends in a hole; what is reserved may lie beyond
  change({ kind: 'setattr', ino, size, killPrivileges: false })
  for (const { from, to } of decodeReserved(target)) {
    change({ kind: 'allocate', ino, mode: FALLOC_FL_KEEP_SIZE, offset: from, length: to - from })
  }
  change({ kind: 'setattr', ino, mode, uid, gid, killPrivileges: false })
  for (const name of xattrNames(orphan, ino)) {
    const value = orphan.get('xattr', ino, name)!
    change({ kind: 'setxattr', ino, name, value, flags: 0 })
  }
  // the times come last
  change({ kind: 'setattr', ino, atime, mtime, killPrivileges: false })
  return steps
}

/** One change after the other, each when the one before was answered, so that memory holds one payload. */
function inTurn(submit: Submit, steps: readonly Step[], done: (errno: number) => void): void {
  const next = (at: number): void => {
    const step = steps[at]
    if (step === undefined) return done(0)
    const { operation, payload } = step()
    submit(operation, payload, errno => {
      if (errno === 0) next(at + 1)
      else done(errno)
    })
  }
  next(0)
}

function submitTo(
  mount: MountState,
  operation: Operation,
  payload: Uint8Array,
  options: Pick<ChangeOptions, 'durable' | 'done' | 'lost'>,
): () => void {
  const { mount: id, timeoutMs } = mount.options
  return mount.channel.change(operation, payload, { mount: id, timeoutMs, ...options })
}
