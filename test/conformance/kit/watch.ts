import { bind, cstring } from './libc.js'
import { SysError } from './errors.js'
import { sys } from './sys.js'

const IN_NONBLOCK = 0o4000
const IN_CLOEXEC = 0o2000000
const init = bind('int inotify_init1(int)')
const add = bind('int inotify_add_watch(int, const void *, uint)')

const names: readonly [number, string][] = [
  [0x1, 'ACCESS'],
  [0x2, 'MODIFY'],
  [0x4, 'ATTRIB'],
  [0x8, 'CLOSE_WRITE'],
  [0x40, 'MOVED_FROM'],
  [0x80, 'MOVED_TO'],
  [0x100, 'CREATE'],
  [0x200, 'DELETE'],
  [0x400, 'DELETE_SELF'],
  [0x800, 'MOVE_SELF'],
]
/** What a watch of ours asks for: no opens and no closes for reading. */
const mask = names.reduce((all, [bit]) => all | bit, 0) & ~0x1

/** What inotify(7) reports of a path while `body` runs, as `CREATE name`; the same event in a row once. */
export function watched(path: string, body: () => void): { events: string[]; cookies: number[] } {
  const fd = init(IN_NONBLOCK | IN_CLOEXEC)
  try {
    add(fd, cstring(path), mask)
    body()
    return decode(drain(fd))
  } finally {
    sys.close(fd)
  }
}

function drain(fd: number): Buffer {
  const parts: Buffer[] = []
  for (;;) {
    try {
      parts.push(sys.read(fd, 65536))
    } catch (error) {
      if (error instanceof SysError && error.code === 'EAGAIN') return Buffer.concat(parts)
      throw error
    }
  }
}

function decode(buffer: Buffer): { events: string[]; cookies: number[] } {
  const events: string[] = []
  const cookies: number[] = []
  for (let at = 0; at < buffer.length;) {
    const length = buffer.readUInt32LE(at + 12)
    const bits = buffer.readUInt32LE(at + 4)
    const kind = names.find(([bit]) => (bits & bit) !== 0)?.[1]
    const name = buffer.toString('latin1', at + 16, at + 16 + length).replace(/\0+$/, '')
    const event = `${kind ?? ''} ${name}`.trim()
    if (kind !== undefined && events.at(-1) !== event) events.push(event)
    if (buffer.readUInt32LE(at + 8) !== 0) cookies.push(buffer.readUInt32LE(at + 8))
    at += 16 + length
  }
  return { events, cookies }
}
