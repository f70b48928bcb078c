interface Terms {
  term(index: number): number | undefined
}

/**
 * The largest index from `floor` to `index` whose term is at most `term`: the last place where a log that has `term`
 * at `index` can agree with this one. With it a refusal skips a whole term at a time (Raft §5.3; etcd-io/raft's
 * findConflictByTerm, used by the follower for its hint and by the leader on that hint). What is no longer in the log
 * ends the search.
 */
export function lastPossibleMatch(log: Terms, index: number, term: number, floor: number): number {
  let at = index
  while (at > floor) {
    const here = log.term(at)
    if (here === undefined || here <= term) return at
    at--
  }
  return at
}
