import type { Case } from './case.js'
import { acl } from './cases/acl.js'
import { copyFileRange } from './cases/copy-file-range.js'
import { directIo } from './cases/direct-io.js'
import { mkdir, rmdir } from './cases/directories.js'
import { flock } from './cases/flock.js'
import { ioctl } from './cases/ioctl.js'
import { link } from './cases/link.js'
import { mmap } from './cases/mmap.js'
import { atomicity, model } from './cases/model.js'
import { chmod, chown } from './cases/modes.js'
import { names } from './cases/names.js'
import { mknod, special } from './cases/nodes.js'
import { open } from './cases/open.js'
import { paths } from './cases/paths.js'
import { permissions, sticky } from './cases/permissions.js'
import { exec, inotify, workingDirectory } from './cases/programs.js'
import { append, read, write } from './cases/read-write.js'
import { readdir } from './cases/readdir.js'
import { fcntlLocks, ofdLocks } from './cases/record-locks.js'
import { rename } from './cases/rename.js'
import { renameat2 } from './cases/renameat2.js'
import { setGidDirectory, setId } from './cases/set-id.js'
import { fallocate, lseek, sparse } from './cases/space.js'
import { access, stat, statfs } from './cases/stat.js'
import { symlink } from './cases/symlink.js'
import { sync } from './cases/sync.js'
import { accessTimes, timestamps, utimensat } from './cases/times.js'
import { tmpfile } from './cases/tmpfile.js'
import { truncate } from './cases/truncate.js'
import { unlink, unlinkedOpen } from './cases/unlink.js'
import { xattrs } from './cases/xattr.js'

/** What a local file system does, one case after the other. Each is run in a directory of its own. */
export const table: readonly Case[] = [
  open,
  mknod,
  mkdir,
  link,
  symlink,
  unlink,
  unlinkedOpen,
  rmdir,
  rename,
  renameat2,
  special,
  read,
  write,
  append,
  truncate,
  fallocate,
  lseek,
  sparse,
  copyFileRange,
  tmpfile,
  directIo,
  mmap,
  sync,
  readdir,
  stat,
  access,
  statfs,
  chmod,
  chown,
  setId,
  setGidDirectory,
  sticky,
  permissions,
  utimensat,
  timestamps,
  accessTimes,
  names,
  paths,
  xattrs,
  acl,
  ioctl,
  flock,
  fcntlLocks,
  ofdLocks,
  inotify,
  exec,
  workingDirectory,
  atomicity,
  model,
].flat()
