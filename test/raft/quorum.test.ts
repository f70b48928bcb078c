import fc from 'fast-check'
import t from 'tap'
import { majoritiesOverlap, majority, quorumValue, tally } from '../../src/raft/quorum.js'

const voters = fc.uniqueArray(fc.constantFrom(...'abcdefghi'), { maxLength: 9 })

/** All subsets of `members`. */
function subsets(members: readonly string[]): string[][] {
  return members.reduce<string[][]>((all, member) => [...all, ...all.map(set => [...set, member])], [[]])
}

function majorities(members: readonly string[]): string[][] {
  return subsets(members).filter(set => set.length * 2 > members.length)
}

t.test('the quorum value is the largest that all members of some majority have reached', t => {
  const property = fc.property(voters, fc.array(fc.nat(12), { minLength: 9, maxLength: 9 }), (voters, values) => {
    const valueOf = (voter: string) => values['abcdefghi'.indexOf(voter)]!
    const dumb = majorities(voters).map(set => Math.min(...set.map(valueOf)))
    return quorumValue(voters, valueOf) === (voters.length === 0 ? -1 : Math.max(...dumb))
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }))
  t.end()
})

t.test('an election is won or lost when no answer still out can change it', t => {
  const answers = fc.array(fc.option(fc.boolean(), { nil: undefined }), { minLength: 9, maxLength: 9 })
  const property = fc.property(voters, answers, (voters, answers) => {
    const votes = new Map<string, boolean>()
    ;[...'abcdefghi'].forEach((id, i) => answers[i] !== undefined && votes.set(id, answers[i]!))
    const wins = (granted: readonly string[]) => majorities(voters).some(set => set.every(id => granted.includes(id)))
    const granted = voters.filter(id => votes.get(id) === true)
    const open = voters.filter(id => !votes.has(id))
    const ends = new Set(subsets(open).map(more => wins([...granted, ...more])))
    const dumb = ends.size === 2 ? 'open' : ends.has(true) ? 'won' : 'lost'
    return tally(voters, votes) === dumb
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }))
  t.end()
})

t.test('majorities overlap when one voter at most is added or removed (thesis §4.1, figure 4.3)', t => {
  const property = fc.property(voters, voters, (before, after) => {
    if (before.length === 0 || after.length === 0 || !majoritiesOverlap(before, after)) return true
    return majorities(before).every(a => majorities(after).every(b => a.some(id => b.includes(id))))
  })
  const oneChange = fc.property(voters, fc.constantFrom(...'abcdefghi'), (before, id) => {
    const after = before.includes(id) ? before.filter(other => other !== id) : [...before, id]
    if (!majoritiesOverlap(before, after)) return false
    return majorities(before).every(a =>
      majorities(after).every(b => a.some(id => b.includes(id)) || after.length === 0),
    )
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 300 }))
  t.doesNotThrow(() => fc.assert(oneChange, { numRuns: 60 }))
  t.notOk(majoritiesOverlap(['a', 'b', 'c'], ['a', 'b', 'd']))
  t.equal(majority(4), 3)
  t.end()
})
