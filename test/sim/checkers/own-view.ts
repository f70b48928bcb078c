import type { Member } from '../../channel/support/cluster.js'
import type { Made } from './acknowledged.js'
import { recordsOf } from './acknowledged.js'
import { check } from './violation.js'

const name = 'own-view'

/**
 * What a member shows of a file that only takes appended records: none of them torn or twice, and all that it accepted
 * itself since its process began (promise 3), but for what was given up with a session.
 */
export function checkOwnView(member: Member, content: string, made: readonly Made[]): void {
  check(name, content === '' || content.endsWith(';'), () => `m${member.slot - 1} shows a torn record`)
  const shown = recordsOf(content)
  check(name, content.split(';').length - 1 === shown.length, () => `m${member.slot - 1} shows a torn record`)
  const seen = new Set(shown)
  check(name, seen.size === shown.length, () => {
    return `m${member.slot - 1} shows twice ${shown.find((key, at) => shown.indexOf(key) !== at)}`
  })
  for (const { life, number, errno, excused } of made) {
    if (life !== member.lives || errno !== 0 || excused) continue
    check(name, seen.has(`${member.slot}:${number}`), () => `m${member.slot - 1} does not see its own record ${number}`)
  }
}
