/** Those that are meant by a name or an id: the one that is called so, else those that begin so. */
export function matching<T extends { readonly name: string; readonly id: string }>(
  all: readonly T[],
  given: string,
): T[] {
  const exact = all.filter(each => each.name === given || each.id === given)
  if (exact.length > 0 || given === '') return exact
  return all.filter(each => each.name.startsWith(given) || each.id.startsWith(given))
}
