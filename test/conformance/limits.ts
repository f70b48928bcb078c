/** The time that one case may take: hundreds of calls through a follower of a machine with ten other things to do. */
export const caseSeconds = 60
/** The time of a case that makes thousands of entries through a follower, and of one that makes a hundred thousand. */
export const manyEntriesSeconds = 180
export const largeEntriesSeconds = 900
/** The time in which the process that runs them comes up. */
export const startSeconds = 30
/** Entries of a big directory in the table, and of the one with `--large`. */
export const manyEntries = 2000
export const largeEntries = 100_000
