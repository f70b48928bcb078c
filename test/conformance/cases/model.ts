import { cases } from '../case.js'
import { equal } from '../kit/check.js'
import { content, file, fresh, list, pattern, text, whole } from '../kit/files.js'
import { O } from '../kit/flags.js'
import { shared } from '../kit/mapping.js'
import { sys } from '../kit/sys.js'

/** A generator of numbers below `bound`, the same for each seed. */
function numbers(seed: number): (bound: number) => number {
  let state = seed
  return bound => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % bound
  }
}

export const model = cases('model', add => {
  const sizeMax = 300_000

  for (const seed of [1, 2, 3, 4]) {
    add(`random writes, cuts and holes are as in memory, seed ${seed}`, 'POSIX write, ftruncate; fallocate(2)', () => {
      const next = numbers(seed)
      const fds = [fresh('f'), sys.open('f', O.RDWR)]
      let expected = Buffer.alloc(0)
      const grow = (size: number): void => {
        if (size > expected.length) expected = Buffer.concat([expected, Buffer.alloc(size - expected.length)])
      }
      for (let step = 0; step < 60; step++) {
        const fd = fds[next(2)]!
        const offset = next(sizeMax)
        const length = 1 + next(next(2) ? 100 : 60_000)
        switch (next(6)) {
          case 0:
          case 1:
          case 2: {
            const data = pattern(length, step)
            equal(sys.pwrite(fd, data, offset), length)
            grow(offset + length)
            data.copy(expected, offset)
            break
          }
          case 3:
            sys.ftruncate(fd, offset)
            grow(offset)
            expected = expected.subarray(0, offset)
            break
          case 4:
            sys.fallocate(fd, 3, offset, length)
            expected = Buffer.from(expected).fill(
              0,
              Math.min(offset, expected.length),
              Math.min(offset + length, expected.length),
            )
            break
          default: {
            const found = sys.pread(fd, length, offset)
            equal(found, expected.subarray(offset, offset + length), `step ${step}: ${length} bytes at ${offset}`)
          }
        }
        equal(sys.fstat(fd).size, expected.length, `size after step ${step}`)
      }
      equal(whole(fds[1]!), expected)
      for (const fd of fds) sys.close(fd)
      equal(content('f'), expected)
    })
  }
  for (const seed of [5, 6]) {
    add(
      `random writes and stores through a mapping are as in memory, seed ${seed}`,
      'mmap(2): MAP_SHARED and write are coherent',
      () => {
        const next = numbers(seed)
        const expected = pattern(65_536, seed)
        const fd = fresh('f', expected)
        const map = shared(fd, 65_536)
        for (let step = 0; step < 80; step++) {
          const offset = next(65_000)
          const data = pattern(1 + next(500), step)
          if (next(2)) map.store(offset, data)
          else sys.pwrite(fd, data, offset)
          data.copy(expected, offset)
          const at = next(65_000)
          equal(next(2) ? map.load(at, 500) : sys.pread(fd, 500, at), expected.subarray(at, at + 500), `step ${step}`)
        }
        map.sync(4)
        equal(content('f'), expected)
      },
    )
  }
  for (const seed of [7, 8]) {
    add(`random names are as in memory, seed ${seed}`, 'POSIX open, rename, link, unlink', () => {
      const next = numbers(seed)
      const expected = new Map<string, { text: string }>()
      const pick = (): string => `n${next(12)}`
      for (let step = 0; step < 150; step++) {
        const [a, b] = [pick(), pick()]
        switch (next(4)) {
          case 0:
            if (!expected.has(a)) {
              file(a, `${step}`)
              expected.set(a, { text: `${step}` })
            }
            break
          case 1:
            if (expected.delete(a)) sys.unlink(a)
            break
          case 2: {
            const from = expected.get(a)
            if (from && from !== expected.get(b)) {
              sys.rename(a, b)
              expected.delete(a)
              expected.set(b, from)
            }
            break
          }
          default: {
            const from = expected.get(a)
            if (from && !expected.has(b)) {
              sys.link(a, b)
              expected.set(b, from)
            }
          }
        }
        equal(list(), [...expected.keys()].sort(), `step ${step}`)
      }
      for (const [name, one] of expected) {
        const links = [...expected.values()].filter(other => other === one).length
        equal([text(name), sys.stat(name).nlink], [one.text, links], name)
      }
    })
  }
})

export const atomicity = cases('atomicity', add => {
  add(
    'a file that is replaced is the old or the new one, and always there',
    'POSIX rename: atomic',
    async ({ actor }) => {
      const size = 5000
      file('f', 'a'.repeat(size))
      const other = await actor()
      let replacing = true
      const replaced = other.do('replaceRepeatedly', 'f', size, 60).finally(() => (replacing = false))
      let reads = 0
      while (replacing) {
        const found = text('f')
        equal(found, found[0]!.repeat(size), `read ${++reads}`)
        await new Promise(resolve => setImmediate(resolve))
      }
      await replaced
    },
  )
  add(
    'a name that another process made, removed, made again',
    'POSIX: one file system for all processes',
    async ({ actor }) => {
      const other = await actor()
      for (let i = 0; i < 10; i++) {
        await other.do('file', 'f', `${i}`)
        equal(text('f'), `${i}`)
        sys.unlink('f')
      }
      await other.do('mkdir', 'd')
      file('d/f', 'x')
      equal(await other.do('text', 'd/f'), 'x')
    },
  )
})
