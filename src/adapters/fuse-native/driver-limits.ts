/** Something that works with the `kernel` driver, and not with this one. */
export interface DriverLimit {
  readonly id: string
  /** In a few words, for `rkfs doctor` and `rkfs status`. */
  readonly what: string
  /** What a program gets. */
  readonly errno:
    'EACCES' | 'EINVAL' | 'EIO' | 'ENAMETOOLONG' | 'ENODEV' | 'ENOENT' | 'ENOTTY' | 'EOPNOTSUPP' | 'EPERM' | 'none'
  /** What happens in its place. */
  readonly instead: string
}

/**
 * All that programs can tell from the `kernel` driver, for libfuse 2's path interface and fuse-native's native part do not
 * pass it on. test/adapters/fuse-native/limits.test.ts proves each of them, and its neighbours that nothing else is missing;
 * native-deps.md has the same list.
 */
export const fuseNativeLimits = [
  {
    id: 'caller',
    what: 'who calls is not known',
    errno: 'none',
    instead:
      'new files belong to the user who mounted; with allow_other they get no set-uid and set-gid bit, every write clears them, suid and dev are refused, and all see the names of trusted attributes',
  },
  {
    id: 'acl',
    what: 'access control lists (setfacl) that decide who gets in',
    errno: 'none',
    instead:
      'the mode decides alone, and the group gets what the mask allows; lists are kept, shown, and inherited within the umask',
  },
  {
    id: 'others',
    what: 'a mount made by root is for root alone',
    errno: 'EACCES',
    instead: 'mount with -o allow_other',
  },
  {
    id: 'shared-mapping',
    what: 'mmap with MAP_SHARED',
    errno: 'ENODEV',
    instead: 'nothing is cached, so that what other members write is seen at once; MAP_PRIVATE works',
  },
  {
    id: 'fallocate',
    what: 'fallocate',
    errno: 'EOPNOTSUPP',
    instead: 'posix_fallocate of the C library writes zeros; no holes can be punched',
  },
  {
    id: 'holes',
    what: 'lseek with SEEK_DATA and SEEK_HOLE',
    errno: 'none',
    instead: 'all of a file counts as data',
  },
  { id: 'rename-flags', what: 'renameat2 with flags', errno: 'EINVAL', instead: 'mv and plain rename work' },
  { id: 'inode-flags', what: 'ioctl FS_IOC_GETFLAGS (lsattr)', errno: 'ENOTTY', instead: 'a file has no such flags' },
  { id: 'tmpfile', what: 'open with O_TMPFILE', errno: 'EOPNOTSUPP', instead: 'make a file and unlink it' },
  {
    id: 'one-time',
    what: 'setting one of atime and mtime alone (touch -a, touch -m)',
    errno: 'none',
    instead: 'nothing is set; both together can be set, with UTIME_NOW too',
  },
  { id: 'nanoseconds', what: 'setting times below the millisecond', errno: 'none', instead: 'they are cut to it' },
  {
    id: 'replace-open',
    what: 'rename onto a file that a program has open, as one change',
    errno: 'none',
    instead: 'two changes, a deletion and the rename: others may miss the name in between',
  },
  {
    id: 'removed-directory',
    what: 'using an open directory that was removed, or an open file that was deleted in it',
    errno: 'ENOENT',
    instead: 'a deleted file works as long as its directory is there',
  },
  {
    id: 'linked-names',
    what: 'locks and fifos through two names (hard links) of a file',
    errno: 'none',
    instead: 'each name has locks and a pipe of its own; content and attributes are shared',
  },
  {
    id: 'descriptor',
    what: 'fstat, fchmod, fchown, futimens, fsetxattr after another member deleted or replaced the open file',
    errno: 'ENOENT',
    instead: 'they act on what is at the path now; reading and writing act on the open file',
  },
  {
    id: 'interrupt',
    what: 'ending a wait by a signal',
    errno: 'EIO',
    instead: 'a killed program waits for its answer, or for the time limit',
  },
  {
    id: 'listing-numbers',
    what: 'inode numbers in listings (ls -i)',
    errno: 'none',
    instead: 'they show 4294967295; stat shows the number',
  },
  {
    id: 'hidden-names',
    what: 'names of .fuse_hidden and 16 hexadecimal digits',
    errno: 'EPERM',
    instead:
      'libfuse uses them within the mount for files deleted while open; an open file that is renamed so is deleted',
  },
  {
    id: 'link-target',
    what: 'link targets of more than 4095 bytes, those above 127 counted twice',
    errno: 'ENAMETOOLONG',
    instead: 'a shorter target',
  },
  {
    id: 'xattr-name',
    what: 'names of extended attributes that are not UTF-8',
    errno: 'EINVAL',
    instead: 'names of files may be any bytes',
  },
] as const satisfies readonly DriverLimit[]

export type FuseNativeLimitId = (typeof fuseNativeLimits)[number]['id']

/** One line for a limit: what cannot be done, and what a program gets. */
export function describeLimit({ what, errno, instead }: DriverLimit): string {
  return `${what}${errno === 'none' ? '' : ` (${errno})`}: ${instead}`
}
