/**
 * Tells the service manager how the node is (sd_notify(3)): assignments to the datagram socket that NOTIFY_SOCKET names.
 * Without that variable it does nothing. Node has no datagram sockets of this family; koffi calls sendto(2).
 */
const AF_UNIX = 1
const SOCK_DGRAM_CLOEXEC = 2 | 0x80000
const MSG_NOSIGNAL = 0x4000
/** sockaddr_un has room for so many bytes of a path. */
const pathBytesMax = 108

/** Answers whether it was told; throws nothing: a node runs without its manager's ear. */
export async function sdNotify(
  socket: string | undefined,
  assignments: Readonly<Record<string, string>>,
): Promise<boolean> {
  const address = socket === undefined ? undefined : addressOf(socket)
  if (address === undefined) return false
  try {
    const { default: koffi } = await import('koffi')
    const libc = koffi.load('libc.so.6')
    const open = libc.func('int socket(int, int, int)')
    const send = libc.func('long sendto(int, void *, size_t, int, void *, unsigned int)')
    const close = libc.func('int close(int)')
    const fd = Number(open(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0))
    if (fd < 0) return false
    const lines = Object.entries(assignments).map(([key, value]) => `${key}=${value.replaceAll('\n', ' ')}\n`)
    const message = Buffer.from(lines.join(''))
    const sent = Number(send(fd, message, message.length, MSG_NOSIGNAL, address, address.length))
    close(fd)
    return sent === message.length
  } catch {
    return false
  }
}

/** sockaddr_un of a path, or of an abstract name, which begins with @. */
function addressOf(socket: string): Buffer | undefined {
  const path = Buffer.from(socket)
  if (!/^[/@]/.test(socket) || path.length >= pathBytesMax) return undefined
  const isAbstract = path[0] === 0x40
  if (isAbstract) path[0] = 0
  const family = Buffer.alloc(2)
  new Uint16Array(family.buffer, family.byteOffset, 1)[0] = AF_UNIX
  // a path ends with a NUL, an abstract name with the address
  return Buffer.concat([family, path, ...(isAbstract ? [] : [Buffer.alloc(1)])])
}
