import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { file, fresh, pattern, text, whole } from '../kit/files.js'
import { O, S, SEEK } from '../kit/flags.js'
import { sys } from '../kit/sys.js'

/** Copies all of it: one call may do less. */
function copyAll(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
  let done = 0
  while (done < length) {
    const count = sys.copyFileRange(from, fromOffset + done, to, toOffset + done, length - done)
    if (count === 0) break
    done += count
  }
  return done
}

export const copyFileRange = cases('copy_file_range', add => {
  add('copies between two files', 'copy_file_range(2)', () => {
    const data = pattern(100_000)
    const [from, to] = [fresh('a', data), fresh('b')]
    equal(copyAll(from, 0, to, 0, 100_000), 100_000)
    equal(whole(to), data)
  })
  add('given offsets leave those of the files', 'copy_file_range(2): off_in is not NULL', () => {
    const [from, to] = [fresh('a', 'abcdefgh'), fresh('b', '........')]
    sys.lseek(from, 1)
    sys.lseek(to, 2)
    equal(sys.copyFileRange(from, 3, to, 4, 2), 2)
    equal([whole(to).toString(), sys.lseek(from, 0, SEEK.CUR), sys.lseek(to, 0, SEEK.CUR)], ['....de..', 1, 2])
  })
  add('without offsets both files move on', 'copy_file_range(2): off_in is NULL', () => {
    const [from, to] = [fresh('a', 'abcdefgh'), fresh('b')]
    sys.lseek(from, 2)
    equal(sys.copyFileRange(from, undefined, to, undefined, 3), 3)
    equal([whole(to).toString(), sys.lseek(from, 0, SEEK.CUR), sys.lseek(to, 0, SEEK.CUR)], ['cde', 5, 3])
  })
  add('stops at the end of the source', 'copy_file_range(2): returns fewer bytes', () => {
    const [from, to] = [fresh('a', 'abcdef'), fresh('b')]
    equal(sys.copyFileRange(from, 4, to, 0, 100), 2)
    equal(whole(to).toString(), 'ef')
  })
  add('at and beyond the end there is nothing', 'copy_file_range(2): returns zero', () => {
    const [from, to] = [fresh('a', 'abc'), fresh('b', 'kept')]
    equal([sys.copyFileRange(from, 3, to, 0, 10), sys.copyFileRange(from, 100, to, 0, 10)], [0, 0])
    equal(whole(to).toString(), 'kept')
  })
  add('beyond the end of the target leaves a gap of zeros', 'copy_file_range(2)', () => {
    const [from, to] = [fresh('a', 'abc'), fresh('b', 'x')]
    sys.copyFileRange(from, 0, to, 10, 3)
    equal(whole(to), Buffer.from('x\0\0\0\0\0\0\0\0\0abc'))
  })
  add('within one file', 'copy_file_range(2): the same file, ranges that do not overlap', () => {
    const fd = fresh('f', 'abcdef....')
    equal(sys.copyFileRange(fd, 0, fd, 6, 4), 4)
    equal(whole(fd).toString(), 'abcdefabcd')
  })
  add('ranges that overlap', 'copy_file_range(2): EINVAL', () => {
    const fd = fresh('f', 'abcdef')
    fails('EINVAL', () => sys.copyFileRange(fd, 0, fd, 2, 4))
    equal(whole(fd).toString(), 'abcdef')
  })
  add('flags', 'copy_file_range(2): EINVAL: flags must be 0', () => {
    fails('EINVAL', () => sys.copyFileRange(fresh('a', 'abc'), 0, fresh('b'), 0, 3, 1))
  })
  add('a source for writing, a target for reading', 'copy_file_range(2): EBADF', () => {
    file('a', 'abc')
    file('b')
    fails('EBADF', () => sys.copyFileRange(sys.open('a', O.WRONLY), 0, sys.open('b', O.WRONLY), 0, 3))
    fails('EBADF', () => sys.copyFileRange(sys.open('a'), 0, sys.open('b'), 0, 3))
  })
  add('a target for appending', 'copy_file_range(2): EBADF: O_APPEND', () => {
    file('b')
    fails('EBADF', () => sys.copyFileRange(fresh('a', 'abc'), 0, sys.open('b', O.WRONLY | O.APPEND), 0, 3))
  })
  add('a directory', 'copy_file_range(2): EISDIR', () => {
    sys.mkdir('d')
    fails('EISDIR', () => sys.copyFileRange(sys.open('d', O.DIRECTORY), 0, fresh('b'), 0, 3))
  })
  add('a fifo', 'copy_file_range(2): EINVAL: not a regular file', () => {
    sys.mknod('p', S.IFIFO | 0o600)
    const fifo = sys.open('p', O.RDWR | O.NONBLOCK)
    fails('EINVAL', () => sys.copyFileRange(fresh('a', 'abc'), 0, fifo, 0, 3))
  })
  add('several MiB at odd offsets', 'copy_file_range(2)', () => {
    const data = pattern(3_500_000)
    const [from, to] = [fresh('a', data), fresh('b', 'x'.repeat(1000))]
    equal(copyAll(from, 333, to, 777, 3_000_000), 3_000_000)
    equal(whole(to), Buffer.concat([Buffer.alloc(777, 'x'), data.subarray(333, 3_000_333)]))
  })
  add('holes are copied as zeros', 'copy_file_range(2): NOTES: holes may be expanded', () => {
    const from = fresh('a', 'start')
    sys.pwrite(from, 'end', 500_000)
    const to = fresh('b', Buffer.alloc(500_003, 'x'))
    copyAll(from, 0, to, 0, 500_003)
    equal(whole(to), whole(from))
  })
  add('the copy stands alone', 'copy_file_range(2): a copy', () => {
    const [from, to] = [fresh('a', pattern(100_000)), fresh('b')]
    copyAll(from, 0, to, 0, 100_000)
    sys.pwrite(from, 'changed', 50_000)
    equal(sys.pread(to, 7, 50_000), pattern(100_000).subarray(50_000, 50_007))
    sys.pwrite(to, 'other', 10)
    equal(sys.pread(from, 5, 10), pattern(100_000).subarray(10, 15))
    sys.unlink('a')
    equal(sys.pread(to, 5, 99_995), pattern(100_000).subarray(99_995))
  })
  add('what was written a moment before is copied', 'POSIX write: seen by all that follows', () => {
    const [from, to] = [fresh('a', 'before'), fresh('b', 'target')]
    equal(text('b'), 'target')
    sys.pwrite(from, 'AFTER!', 0)
    copyAll(from, 0, to, 0, 6)
    equal(text('b'), 'AFTER!')
  })
})
