import { appendPieceBytesMin, writePieceBytesMax, writePieceBytesMin } from '../base/limits.js'
import type { AppendOperation, WriteOperation } from '../fs/operation.js'
import type { Channel } from './channel.js'
import type { ChangeOptions } from './ports.js'

type Write = WriteOperation | AppendOperation

/**
 * Makes a write: as one change, or, where it is longer than what gets to a majority within a moment, in pieces, one after
 * the other, between which what others write has its turn. So one long write does not hold up everybody's fsync on a thin
 * link, only its own program. `done` hears how many bytes were written, as write(2) tells, or an errno; then none was,
 * unless the file has lost its last name meanwhile. Answers a way to give up.
 */
export function writeInPieces(
  channel: () => Channel,
  operation: Write,
  data: Uint8Array,
  options: Omit<ChangeOptions, 'done'> & { readonly done: (errno: number, written: number) => void },
): () => void {
  let written = 0
  let cancel = (): void => {}
  const next = (): void => {
    const rest = data.subarray(written)
    const piece = rest.subarray(0, pieceBytes(operation, written, rest.length, channel(), options.durable))
    const at = operation.kind === 'write' ? { offset: operation.offset + written } : {}
    cancel = channel().change({ ...operation, ...at, length: piece.length } as Write, piece, {
      ...options,
      done: errno => {
        if (errno === 0) written += piece.length
        if (errno === 0 && written < data.length) next()
        else options.done(errno, written)
      },
    })
  }
  next()
  return () => cancel()
}

/** A record that is appended stays whole, but on a thin link when it is long: another's may come between its pieces. */
function pieceBytes(
  operation: Write,
  written: number,
  rest: number,
  { writeBytes: windowBytes, isThin }: Channel,
  durable: boolean,
): number {
  // this member is alone, perhaps since the first piece
  if (windowBytes === Infinity) return rest
  if (written === 0 && (rest <= windowBytes || (operation.kind === 'append' && !isThin))) return rest
  const share = Math.floor(windowBytes / 4)
  if (operation.kind === 'append') return Math.min(rest, Math.max(appendPieceBytesMin, share))
  // one at a time is under way where each waits for a majority: a part of the window would never show that more gets there
  const bytes = durable ? windowBytes : Math.min(writePieceBytesMax, Math.max(writePieceBytesMin, share))
  // … to the end of a page
  const end = operation.offset + written + bytes
  return Math.min(rest, Math.max(bytes - (end % writePieceBytesMin), 1))
}
