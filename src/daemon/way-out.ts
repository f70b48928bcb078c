/** What to do where nothing can be repaired: said wherever people meet it. */

/**
 * A channel that has lost its majority or its owner for good: its files are taken into a new one. `mounted`: where it is
 * mounted here, if it is.
 */
export function newChannelWords(channel: string, mounted: string | undefined): string {
  const fresh = freshName(channel)
  const from = mounted ?? '<dir>'
  const steps = [
    ...(mounted === undefined ? [`\`rkfs mount ${channel} ${from} -o ro\``] : []),
    `\`rkfs channel create ${fresh}\``,
    `\`rkfs mount ${fresh} <new dir>\``,
    `\`cp -a ${from}/. <new dir>/\``,
  ]
  return `make a new channel from a copy, on the member whose copy is the newest: ${steps.join(', ')}, then invite the others to it`
}

/** `demo-2`, `demo-3` … within the length of a name. */
function freshName(channel: string): string {
  const found = /^(.*)-(\d{1,6})$/.exec(channel)
  const [base, number] = found === null ? [channel, 2] : [found[1]!, Number(found[2]) + 1]
  return `${base.slice(0, 56)}-${number}`
}
