import t from 'tap'
import { DigestBook } from '../../src/channel/digest-book.js'

const [self, other, third] = ['a', 'b', 'c']
const voters = [self, other, third]
const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)

t.test('a majority agrees, differs, or is not known yet', t => {
  const book = new DigestBook(self)
  book.hear(other, 7, hash(1))
  t.ok(book.heardOf(7))
  t.notOk(book.has(7))
  t.equal(book.judge(7, voters), undefined, 'nothing to compare with')
  book.record(7, hash(2))
  t.equal(book.judge(7, voters), undefined, 'one against one')
  t.equal(book.differing(7), other)
  book.hear(third, 7, hash(2))
  t.equal(book.judge(7, voters), 'agrees')
  book.hear(third, 7, hash(1))
  t.equal(book.judge(7, voters), 'differs')
  t.equal(book.judge(7, [self]), 'agrees', 'only voters count')
  t.end()
})

t.test('who tells many digests pushes out its own only', t => {
  const book = new DigestBook(self)
  book.record(7, hash(1))
  book.hear(other, 7, hash(2))
  for (let index = 1000; index < 2000; index++) book.hear(third, index, hash(3))
  t.equal(book.differing(7), other)
  t.notOk(book.heardOf(1000), 'what is kept of one is bounded')
  t.ok(book.heardOf(1999))
  t.end()
})
