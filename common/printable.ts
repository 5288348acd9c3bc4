// Text of containers, users and other programs on its way to a terminal, which obeys control characters: they move the
// cursor, erase, colour, forge rows, or show letters in another order.

/** Controls (ESC, CR, LF, C1 …), what is not seen and turns text around, separators of lines, and halves of letters. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** The same without the line feeds that lay JSON out; in its strings they are escaped already. */
const unprintableInJson = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const named: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** The text on one line, with what does not print written out: `\n`, `\x1b`, `\u202e`, `\u{e0001}`. */
export function printable(text: string): string {
  return text.replace(unprintable, (letter) => named[letter] ?? escapeOf(letter.codePointAt(0)!));
}

/** JSON that says the same without a character that does not print. @param json as `JSON.stringify` makes it */
export function printableJson(json: string): string {
  const half = (letter: string, at: number) => `\\u${hex(letter.charCodeAt(at), 4)}`;
  return json.replace(unprintableInJson, (letter) => half(letter, 0) + (letter.length > 1 ? half(letter, 1) : ""));
}

function escapeOf(code: number): string {
  if (code <= 0xff) return `\\x${hex(code, 2)}`;
  return code <= 0xffff ? `\\u${hex(code, 4)}` : `\\u{${hex(code, 1)}}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
