import { bind, cstring } from './libc.js'

const AF_UNIX = 1
const SOCK_STREAM = 1 | 0x80000
const c = {
  socket: bind('int socket(int, int, int)'),
  bind: bind('int bind(int, const void *, uint)'),
  listen: bind('int listen(int, int)'),
  connect: bind('int connect(int, const void *, uint)'),
}

function addressOf(path: string): Buffer {
  const family = Buffer.alloc(2)
  family.writeUInt16LE(AF_UNIX, 0)
  return Buffer.concat([family, cstring(path)])
}

/** Sockets of the UNIX domain: unix(7). The descriptors are the caller's to close with `sys.close`. */
export const socket = {
  create: (): number => c.socket(AF_UNIX, SOCK_STREAM, 0),
  bind: (fd: number, path: string): number => c.bind(fd, addressOf(path), addressOf(path).length),
  listen: (fd: number): number => c.listen(fd, 4),
  connect: (fd: number, path: string): number => c.connect(fd, addressOf(path), addressOf(path).length),
}
