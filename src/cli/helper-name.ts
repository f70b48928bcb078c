/** Called by the name of mount(8)'s helper, this program is it. */
export function nameOfHelper(argv: string[] = process.argv): void {
  if (/(?:^|\/)mount\.(?:fuse\.)?rkfs$/.test(String(argv[1]))) argv.splice(2, 0, 'mount-helper')
}
