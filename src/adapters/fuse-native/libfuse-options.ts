import type { MountOptions } from '../../channel/mount-port.js'

/** The largest write that libfuse 2.9 takes; without `big_writes` the kernel sends pages of 4 KiB. */
export const WRITE_BYTES_MAX = 131_072

/**
 * All options of the mount, as libfuse 2 reads them. The native part takes the whole string (of 1023 bytes at most).
 *
 * Nothing is cached, neither names nor attributes nor data (`direct_io`): libfuse 2's path interface cannot tell the
 * kernel that another member changed something. Names pass through the `iconv` module as ISO-8859-1, which has a
 * character for each byte: the native part takes names for UTF-8, and would lose the others.
 */
export function libfuseOptions(
  options: Pick<MountOptions, 'source' | 'readOnly' | 'allowOther' | 'suid' | 'dev' | 'noExec'>,
  root: boolean,
): string {
  const list = [
    'subtype=rkfs',
    `fsname=${options.source.replace(/[,\\]/g, '_')}`,
    'default_permissions',
    'big_writes',
    `max_write=${WRITE_BYTES_MAX}`,
    'direct_io',
    'use_ino',
    'atomic_o_trunc',
    'attr_timeout=0',
    'entry_timeout=0',
    'negative_timeout=0',
    'ac_attr_timeout=0',
    // Locks hold between the programs of this mount: the kernel keeps them.
    'no_remote_lock',
    'modules=iconv',
    'from_code=UTF-8',
    'to_code=ISO-8859-1',
  ]
  if (options.readOnly) list.push('ro')
  if (options.noExec) list.push('noexec')
  if (options.allowOther) list.push('allow_other')
  // Without these words libfuse mounts with nosuid and nodev.
  if (root && options.suid) list.push('suid')
  if (root && options.dev) list.push('dev')
  // `nonempty` was settled by who asked for the mount; fusermount3 does not know the word.
  if (root) list.push('nonempty')
  return `-o${list.join(',')}`
}
