import { bind } from './libc.js'

const RLIMIT_FSIZE = 1
const SIGXFSZ = 25
const SIG_IGN = 1
const infinity = 0xffffffffffffffffn
const setrlimit = bind('int setrlimit(int, const void *)')
const signal = bind('int64 signal(int, int64)')

/** Runs `body` with a limit on the size of files (setrlimit(2)); the signal that would end the process is ignored. */
export function withFileSizeLimit<T>(bytes: number, body: () => T): T {
  const before = signal(SIGXFSZ, SIG_IGN)
  setrlimit(RLIMIT_FSIZE, limit(BigInt(bytes)))
  try {
    return body()
  } finally {
    setrlimit(RLIMIT_FSIZE, limit(infinity))
    signal(SIGXFSZ, before)
  }
}

function limit(soft: bigint): Buffer {
  const buffer = Buffer.alloc(16)
  buffer.writeBigUInt64LE(soft, 0)
  buffer.writeBigUInt64LE(infinity, 8)
  return buffer
}
