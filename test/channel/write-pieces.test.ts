/** Long writes in pieces, whose window changes meanwhile. */
import t from 'tap'
import { KiB, MiB } from '../../src/base/limits.js'
import type { Channel } from '../../src/channel/channel.js'
import type { ChangeOptions } from '../../src/channel/ports.js'
import { writeInPieces } from '../../src/channel/write-pieces.js'
import type { AppendOperation, WriteOperation } from '../../src/fs/operation.js'

type Write = WriteOperation | AppendOperation

/** Bytes of each piece, where `windowAt` says what the window has when a piece is asked for. */
function piecesOf(operation: Write, windowAt: (piece: number) => number, durable: boolean): number[] {
  const pieces: number[] = []
  const answers: (() => void)[] = []
  const channel = {
    get writeBytes() {
      return windowAt(pieces.length)
    },
    isThin: true,
    change(_: Write, payload: Uint8Array, { done }: ChangeOptions) {
      pieces.push(payload.length)
      answers.push(() => done(0))
      return () => {}
    },
  } as unknown as Channel
  let end: number | undefined
  const options = { durable, timeoutMs: 1000, mount: 1, done: (_: number, written: number) => void (end = written) }
  writeInPieces(() => channel, operation, new Uint8Array(operation.length), options)
  while (answers.length > 0 && pieces.length < 100_000) answers.shift()!()
  t.equal(end, operation.length, 'it ends')
  return pieces
}

const write: Write = { kind: 'write', ino: 2, offset: 0, length: MiB, killPrivileges: false }
const append: Write = { kind: 'append', ino: 2, length: MiB, killPrivileges: false } as Write

void t.test('a member that is alone in the middle of a write writes the rest at once', t => {
  const alone = (piece: number): number => (piece < 2 ? 16 * KiB : Infinity)
  t.same(piecesOf(write, alone, true), [16 * KiB, 16 * KiB, MiB - 32 * KiB])
  t.same(piecesOf(write, alone, false), [4 * KiB, 4 * KiB, MiB - 8 * KiB])
  t.equal(piecesOf(append, alone, true).at(-1), MiB - piecesOf(append, () => 16 * KiB, true)[0]! * 2)
  t.end()
})

void t.test('no piece is empty, whatever the window has', t => {
  const length = 20_000
  for (const bytes of [0, 1, 4095, 4096, 5000, 16 * KiB, length - 1]) {
    for (const operation of [write, { ...write, offset: 1234 } as Write, append]) {
      t.notOk(piecesOf({ ...operation, length }, () => bytes, true).includes(0))
    }
  }
  t.end()
})
