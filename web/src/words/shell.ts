/** Command lines as a POSIX shell reads them. */

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** Quote one word; what boards and people named may hold anything. */
export function quote(word: string): string {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Return a line of the command `hostler`; words that are empty are left out. */
export function line(...words: string[]): string {
  return ["hostler", ...words.filter(Boolean).map(quote)].join(" ");
}
