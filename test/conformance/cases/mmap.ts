import { cases } from '../case.js'
import { equal, fails } from '../kit/check.js'
import { content, file, fresh, pattern, text } from '../kit/files.js'
import { MAP, MS, O, PROT, S } from '../kit/flags.js'
import { Mapping, pageBytes, readable, shared } from '../kit/mapping.js'
import { sys } from '../kit/sys.js'
import { marks } from '../kit/time.js'

export const mmap = cases('mmap', add => {
  add('what is in the file is in the memory', 'POSIX mmap', () => {
    const data = pattern(20_000)
    const map = readable(fresh('f', data), 20_000)
    equal(map.load(0, 20_000), data)
  })
  add('a part from the middle', 'mmap(2): offset', () => {
    const data = pattern(20_000)
    const map = readable(fresh('f', data), 8192, MAP.SHARED, 8192)
    equal(map.load(0, 8192), data.subarray(8192, 16_384))
  })
  add('what is stored is read by others', 'POSIX mmap: MAP_SHARED: changes are visible', () => {
    const fd = fresh('f', Buffer.alloc(10_000, 'a'))
    const map = shared(fd, 10_000)
    map.store(4090, 'across a page')
    equal(sys.pread(sys.open('f'), 15, 4089).toString(), 'aacross a pagea')
  })
  add('what is written is loaded', 'mmap(2): MAP_SHARED', () => {
    const fd = fresh('f', Buffer.alloc(8192, 'a'))
    const map = readable(fd, 8192)
    equal(map.load(100, 3).toString(), 'aaa')
    sys.pwrite(fd, 'new', 100)
    equal(map.load(99, 5).toString(), 'anewa')
  })
  add('two mappings are one memory', 'mmap(2): MAP_SHARED', () => {
    const fd = fresh('f', Buffer.alloc(8192, 'a'))
    const [one, two] = [shared(fd, 8192), shared(sys.open('f', O.RDWR), 8192)]
    one.store(5000, 'here')
    equal(two.load(5000, 4).toString(), 'here')
  })
  add('another process sees what was stored', 'mmap(2): MAP_SHARED: visible to other processes', async ({ actor }) => {
    const other = await actor()
    const map = shared(fresh('f', Buffer.alloc(4096, 'a')), 4096)
    map.store(0, 'from here')
    equal((await other.do('text', 'f')).slice(0, 10), 'from herea')
    const fd = await other.do('open', 'f', O.RDWR)
    await other.do('pwrite', fd, 'from there', 0)
    equal(map.load(0, 10).toString(), 'from there')
  })
  add('private stores stay private', 'mmap(2): MAP_PRIVATE: copy-on-write', () => {
    const fd = fresh('f', Buffer.alloc(4096, 'a'))
    const map = new Mapping(4096, PROT.READ | PROT.WRITE, MAP.PRIVATE, fd)
    map.store(0, 'mine')
    equal([map.load(0, 5).toString(), sys.pread(fd, 5, 0).toString()], ['minea', 'aaaaa'])
  })
  add('msync writes', 'msync(2): MS_SYNC', () => {
    const fd = fresh('f', Buffer.alloc(8192, 'a'))
    const map = shared(fd, 8192)
    map.store(10, 'stored')
    map.sync(MS.SYNC)
    map.unmap()
    sys.close(fd)
    equal(text('f').slice(9, 17), 'astoreda')
  })
  add('without msync a close and an unmap are enough for others on this machine', 'munmap(2): MAP_SHARED', () => {
    const fd = fresh('f', Buffer.alloc(8192, 'a'))
    const map = shared(fd, 8192)
    sys.close(fd)
    map.store(4096, 'after close')
    map.unmap()
    equal(text('f').slice(4095, 4108), 'aafter closea')
  })
  add(
    'a stored page marks the file by msync',
    'POSIX mmap: mtime and ctime by the next msync',
    () => {
      const fd = fresh('f', Buffer.alloc(4096, 'a'))
      const map = shared(fd, 4096)
      map.load(0, 1)
      equal(
        marks('f', () => {
          map.store(0, 'x')
          map.sync(MS.SYNC)
        }),
        'mtime ctime',
      )
    },
    { proof: 'ext4' },
  )
  add('fsync writes what was stored', 'fsync(2)', () => {
    const fd = fresh('f', Buffer.alloc(4096, 'a'))
    const map = shared(fd, 4096)
    map.store(0, 'stored')
    sys.fsync(fd)
    equal(text('f').slice(0, 7), 'storeda')
  })
  add('beyond the last page there is nothing', 'mmap(2): SIGBUS beyond the end of the file', () => {
    const fd = fresh('f', 'short')
    const map = readable(fd, 3 * pageBytes)
    equal(map.probe(0), 1)
    fails('EFAULT', () => map.probe(pageBytes))
    sys.ftruncate(fd, 2 * pageBytes)
    equal(map.probe(pageBytes), 1)
    fails('EFAULT', () => map.probe(2 * pageBytes))
  })
  add('a cut takes pages away', 'mmap(2), truncate(2): SIGBUS', () => {
    const fd = fresh('f', Buffer.alloc(3 * pageBytes, 'a'))
    const map = readable(fd, 3 * pageBytes)
    equal(map.load(2 * pageBytes, 1).toString(), 'a')
    sys.ftruncate(fd, pageBytes)
    fails('EFAULT', () => map.probe(2 * pageBytes))
  })
  add('the rest of the last page is zero', 'mmap(2): the remaining bytes are zeroed', () => {
    const map = readable(fresh('f', 'short'), pageBytes)
    equal(map.load(5, pageBytes - 5), Buffer.alloc(pageBytes - 5))
  })
  add('what is stored after the end is not in the file', 'mmap(2): modifications are not written to the file', () => {
    const fd = fresh('f', 'short')
    const map = shared(fd, pageBytes)
    map.store(5, 'beyond')
    map.sync(MS.SYNC)
    equal([content('f').toString(), sys.fstat(fd).size], ['short', 5])
    map.unmap()
  })
  add('a cut and a growth zero the page', 'truncate(2): the extended part reads as zeros', () => {
    const fd = fresh('f', Buffer.alloc(pageBytes, 'a'))
    const map = shared(fd, pageBytes)
    map.store(100, 'b')
    sys.ftruncate(fd, 50)
    sys.ftruncate(fd, pageBytes)
    equal(map.load(49, 100), Buffer.concat([Buffer.from('a'), Buffer.alloc(99)]))
  })
  add('it outlives its descriptor and its name', 'mmap(2): closing does not unmap', () => {
    const fd = fresh('f', Buffer.alloc(4096, 'a'))
    const map = shared(fd, 4096)
    sys.close(fd)
    sys.unlink('f')
    map.store(0, 'still')
    equal(map.load(0, 6).toString(), 'stilla')
  })
  add('it stays with the file that was replaced', 'rename(2)', () => {
    const map = readable(fresh('f', Buffer.alloc(4096, 'a')), 4096)
    file('g', Buffer.alloc(4096, 'b'))
    sys.rename('g', 'f')
    equal([map.load(0, 1).toString(), text('f')[0]], ['a', 'b'])
  })
  add('a shared mapping for writing needs a descriptor for both', 'mmap(2): EACCES', () => {
    file('f', 'abc')
    fails('EACCES', () => shared(sys.open('f'), 4096))
    fails('EACCES', () => shared(sys.open('f', O.WRONLY), 4096))
    fails('EACCES', () => readable(sys.open('f', O.WRONLY), 4096, MAP.PRIVATE))
    new Mapping(4096, PROT.READ | PROT.WRITE, MAP.PRIVATE, sys.open('f')).store(0, 'x')
  })
  add('an offset within a page, a length of nothing', 'mmap(2): EINVAL', () => {
    const fd = fresh('f', 'abc')
    fails('EINVAL', () => readable(fd, 4096, MAP.SHARED, 100))
    fails('EINVAL', () => readable(fd, 0))
  })
  add('what cannot be mapped', 'mmap(2): ENODEV, EACCES', () => {
    sys.mkdir('d')
    sys.mknod('p', S.IFIFO | 0o600)
    fails(['ENODEV', 'EACCES'], () => readable(sys.open('d'), 4096))
    fails(['ENODEV', 'EACCES'], () => readable(sys.open('p', O.RDWR), 4096))
  })
  add('flags of msync', 'msync(2): EINVAL: MS_ASYNC with MS_SYNC', () => {
    const map = shared(fresh('f', 'abc'), 4096)
    fails('EINVAL', () => map.sync(MS.ASYNC | MS.SYNC))
    map.sync(MS.ASYNC)
    map.sync(MS.SYNC | MS.INVALIDATE)
  })
  add('stores over a hole', 'mmap(2)', () => {
    const fd = fresh('f')
    sys.ftruncate(fd, 1 << 20)
    const map = shared(fd, 1 << 20)
    for (let at = 0; at < 1 << 20; at += 65_536) map.store(at, 'page')
    map.sync(MS.SYNC)
    equal(sys.pread(fd, 6, 65_536), Buffer.from('page\0\0'))
    equal(sys.pread(fd, 4, 15 * 65_536).toString(), 'page')
  })
  add('a write from a mapping of the same file', 'write(2): the buffer is a mapping', () => {
    const data = pattern(8192)
    const fd = fresh('f', data)
    const map = readable(fd, 8192)
    equal(map.writeTo(fd, 8192, 8192), 8192)
    equal(content('f'), Buffer.concat([data, data]))
  })
})
