import { unreachable } from '../base/assert.js'
import { FALLOC_FL_PUNCH_HOLE, type Operation } from './operation.js'

/**
 * Whether an operation makes the channel's content grow for good, so that it is refused where there is no room for it. What
 * frees space, what changes no more than a record that is there, and what the channel itself needs always passes.
 */
export function takesSpace(operation: Operation): boolean {
  switch (operation.kind) {
    case 'make':
    case 'link':
    case 'write':
    case 'append':
    case 'write-back':
    case 'clone':
    case 'relocate':
    case 'setxattr':
      return true
    case 'allocate':
      return (operation.mode & FALLOC_FL_PUNCH_HOLE) === 0
    case 'unlink':
    case 'rmdir':
    case 'rename':
    // truncate(2) takes nothing, whether a file becomes shorter or a hole longer
    case 'setattr':
    case 'access':
    case 'removexattr':
    case 'members':
    case 'mark':
    case 'open-session':
    case 'end-session':
    case 'refuse':
      return false
    default:
      return unreachable(operation)
  }
}
