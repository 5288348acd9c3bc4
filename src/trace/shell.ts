/** A word of a command that people copy: names are their maker's, and must not say more to a shell than their letters. */
export function shellWord(word: string): string {
  return /^[\w.:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
