import t from 'tap'
import { HeapBound } from '../../../src/adapters/host/heap-bound.js'

const MiB = 2 ** 20

/** A heap of which a part lives. */
class FakeHeap {
  living: number
  garbage = 0
  collections = 0
  constructor(living: number) {
    this.living = living
  }
  usedBytes(): number {
    return this.living + this.garbage
  }
  collect(): void {
    this.garbage = 0
    this.collections++
  }
}

t.test('garbage is collected when it is half of what lives, and some', async t => {
  const heap = new FakeHeap(100 * MiB)
  const bound = new HeapBound(heap)
  let most = 0
  for (let second = 0; second < 100; second++) {
    heap.garbage += 10 * MiB
    bound.look()
    most = Math.max(most, heap.usedBytes())
  }
  t.ok(most <= 200 * MiB, `${most} bytes`)
  t.ok(heap.collections > 5 && heap.collections < 15, `${heap.collections} collections`)
})

t.test('what lives is no reason to collect again and again', async t => {
  const heap = new FakeHeap(20 * MiB)
  const bound = new HeapBound(heap)
  heap.living = 500 * MiB
  for (let second = 0; second < 100; second++) bound.look()
  t.equal(heap.collections, 1)
})

t.test('a collection of V8 itself is taken into account', async t => {
  const heap = new FakeHeap(300 * MiB)
  const bound = new HeapBound(heap)
  heap.living = 20 * MiB
  bound.look()
  heap.garbage = 100 * MiB
  bound.look()
  t.equal(heap.collections, 1)
})
