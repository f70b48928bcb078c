import { messageOf } from './errors.js'

/** What a system call's error means, in plain words; what has no code is given as it is. */
export function systemError(error: unknown): string {
  const code = codeOf(error)
  return (code === undefined ? undefined : words[code]) ?? messageOf(error)
}

/** The same for a file that was only to be read. */
export function readError(error: unknown): string {
  return codeOf(error) === 'ENOENT' ? 'it does not exist' : systemError(error)
}

/** Whether an error says that this machine refused something, which is no fault of the program. */
export function isSystemError(error: unknown): boolean {
  return codeOf(error) !== undefined && words[codeOf(error)!] !== undefined
}

/** What this machine refused, for people: what was done, to which file, and why it could not be. */
export function machineWords(error: unknown): string {
  const { syscall, path } = error as { syscall?: unknown; path?: unknown }
  const done = typeof syscall === 'string' ? ` (${syscall})` : ''
  return `this machine refused something that rkfs needs${typeof path === 'string' ? `, at ${path}` : ''}: ${systemError(error)}${done}`
}

function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}

const words: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'its file system is read-only',
  ENOSPC: 'no space left on the disk',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than this process may make it (ulimit -f, or the file system’s own limit)',
  EMFILE: 'this process has as many files open as it may (ulimit -n)',
  ENFILE: 'this machine has as many files open as it may (fs.file-max)',
  EAGAIN: 'no more processes or threads may be started here (ulimit -u, or a container’s pids limit)',
  ENOMEM: 'no memory is left, or the limit for it is reached (ulimit -v, a container’s limit)',
  EIO: 'the disk failed (input/output error; see dmesg)',
  ENOTDIR: 'a part of the path is not a directory',
  EEXIST: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
  ENOENT: 'it does not exist, or cannot be made there',
  ELOOP: 'too many symbolic links',
  ENAMETOOLONG: 'the name is too long',
  ENOTCONN: 'it is in a dead mount (`rkfs umount` clears it)',
  ETXTBSY: 'a program runs from it',
  EBUSY: 'it is in use',
}
