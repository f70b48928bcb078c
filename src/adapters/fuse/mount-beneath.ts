import { RkfsError } from '../../base/errors.js'
import { isRoot } from './mount-point.js'

/** Numbers and flags of open_tree(2) and move_mount(2): the same on all architectures. */
const SYS_OPEN_TREE = 428
const SYS_MOVE_MOUNT = 429
const AT_FDCWD = -100
const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0o2000000
const MOVE_MOUNT_F_EMPTY_PATH = 0x4
const MOVE_MOUNT_BENEATH = 0x200

type Asynchronous = (...args: unknown[]) => Promise<number>

interface Calls {
  readonly openTree: Asynchronous
  readonly moveMount: Asynchronous
  readonly close: Asynchronous
}

/** Called on threads of their own: a path may lie on a file system that hangs. */
async function load(): Promise<Calls | undefined> {
  try {
    const { default: koffi } = await import('koffi')
    const libc = koffi.load('libc.so.6')
    const asynchronous = (declaration: string): Asynchronous => {
      const call = libc.func(declaration) as unknown as { async: (...args: unknown[]) => void }
      return (...args) =>
        new Promise((resolve, reject) =>
          call.async(...args, (error: unknown, result: number | bigint) =>
            error ? reject(error as Error) : resolve(Number(result)),
          ),
        )
    }
    return {
      openTree: asynchronous('long syscall(long, int, const char *, unsigned int)'),
      moveMount: asynchronous('long syscall(long, int, const char *, int, const char *, unsigned int)'),
      close: asynchronous('int close(int)'),
    }
  } catch {
    return undefined
  }
}

/** Moves a mount, whoever uses it; undefined where the kernel or the machine cannot: without root, Linux before 5.2. */
export async function mountMover(): Promise<
  ((from: string, detach: () => Promise<void>, to: string) => Promise<boolean>) | undefined
> {
  const calls = isRoot() ? await load() : undefined
  if (calls === undefined) return undefined
  const { openTree, moveMount, close } = calls
  const probe = await openTree(SYS_OPEN_TREE, AT_FDCWD, '/', OPEN_TREE_CLOEXEC)
  if (probe < 0) return undefined
  await close(probe)
  /**
   * Puts what is mounted at `from` beneath what is mounted at `to`, or, before Linux 6.5, over it; answers whether
   * beneath. `detach` takes it away from `from`.
   */
  return async (from, detach, to) => {
    const tree = await openTree(SYS_OPEN_TREE, AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    if (tree < 0) throw new RkfsError('failed', `the mount at ${from} cannot be moved to ${to}`)
    try {
      await detach()
      const move = (flags: number): Promise<number> =>
        moveMount(SYS_MOVE_MOUNT, tree, '', AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH | flags)
      if ((await move(MOVE_MOUNT_BENEATH)) === 0) return true
      if ((await move(0)) === 0) return false
      throw new RkfsError('failed', `the mount at ${from} cannot be moved to ${to}`)
    } finally {
      await close(tree)
    }
  }
}
