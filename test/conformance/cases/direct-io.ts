import { cases } from '../case.js'
import { equal } from '../kit/check.js'
import { content, fresh, pattern, whole } from '../kit/files.js'
import { O } from '../kit/flags.js'
import { aligned, readable } from '../kit/mapping.js'
import { sys } from '../kit/sys.js'

export const directIo = cases('o_direct', add => {
  const data = pattern(65_536)

  add('written directly, read through the cache', 'open(2): O_DIRECT', () => {
    const fd = fresh('f', '', O.DIRECT)
    equal(aligned(data).writeTo(fd, 65_536, 0), 65_536)
    equal(content('f'), data)
  })
  add('written through the cache, read directly', 'open(2): O_DIRECT: coherent with cached data', () => {
    fresh('f', data)
    const memory = aligned(Buffer.alloc(65_536))
    equal(memory.readFrom(sys.open('f', O.DIRECT), 65_536, 0), 65_536)
    equal(memory.load(0, 65_536), data)
  })
  add('cached pages are not stale after a direct write', 'open(2): O_DIRECT', () => {
    const cached = fresh('f', data)
    equal(whole(cached), data)
    aligned(Buffer.alloc(8192, 'z')).writeTo(sys.open('f', O.WRONLY | O.DIRECT), 8192, 4096)
    equal(whole(cached), Buffer.from(data).fill('z', 4096, 12_288))
  })
  add('a mapping is not stale after a direct write', 'open(2): O_DIRECT', () => {
    const fd = fresh('f', data)
    const map = readable(fd, 65_536)
    equal(map.load(0, 10), data.subarray(0, 10))
    aligned(Buffer.alloc(4096, 'z')).writeTo(sys.open('f', O.WRONLY | O.DIRECT), 4096, 0)
    equal(map.load(0, 4096), Buffer.alloc(4096, 'z'))
  })
  add('the end of the file cuts a read', 'read(2): fewer bytes at the end', () => {
    fresh('f', data.subarray(0, 5000))
    const memory = aligned(Buffer.alloc(8192))
    const fd = sys.open('f', O.DIRECT)
    equal(memory.readFrom(fd, 8192, 0), 5000)
    equal(memory.load(0, 5000), data.subarray(0, 5000))
    equal(memory.readFrom(fd, 4096, 8192), 0)
  })
  add('a hole reads as zeros', 'POSIX lseek: bytes in the gap are 0', () => {
    const fd = fresh('f', '', O.DIRECT)
    aligned(Buffer.alloc(4096, 'x')).writeTo(fd, 4096, 32_768)
    const memory = aligned(Buffer.alloc(32_768, 'y'))
    equal(memory.readFrom(fd, 32_768, 0), 32_768)
    equal(memory.load(0, 32_768), Buffer.alloc(32_768))
  })
  add('turned on for an open file', 'fcntl(2): F_SETFL: O_DIRECT', () => {
    const fd = fresh('f', data)
    sys.fcntl(fd, 4, O.DIRECT)
    const memory = aligned(Buffer.alloc(4096))
    memory.readFrom(fd, 4096, 8192)
    equal(memory.load(0, 4096), data.subarray(8192, 12_288))
  })
  add('a mebibyte, over what is there', 'open(2): O_DIRECT', () => {
    const large = pattern(1 << 20, 3)
    fresh('f', pattern(1 << 20, 4))
    const fd = sys.open('f', O.RDWR | O.DIRECT)
    aligned(large).writeTo(fd, 1 << 20, 0)
    equal(content('f'), large)
  })
})
