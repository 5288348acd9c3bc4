// Names as wire bytes (RFC 1035 section 3.1), in latin1 strings: the one form in which names are compared.
// A decoded string is never a key: `\xff` and `\xfe`, or the single label `db.red` and two labels, would become one.

/** Wire bytes of a name, letters A–Z folded to lower case, without the root's zero byte. `""` is the root. */
export type NameKey = string;

const longestName = 255;
const longestLabel = 63;
/** What names made of addresses end with. */
const reverseDomain = "\x04arpa";

/**
 * The key of a name as people and Docker write it: labels between dots, UTF-8.
 * @returns undefined when it cannot be a name in DNS: an empty or too long label, too long as a whole
 */
export function keyOfText(text: string): NameKey | undefined {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name === "") return undefined;
  let key = "";
  for (const label of name.split(".")) {
    const bytes = Buffer.from(label);
    if (bytes.length === 0 || bytes.length > longestLabel) return undefined;
    key += String.fromCharCode(bytes.length) + bytes.toString("latin1");
  }
  return key.length + 1 > longestName ? undefined : foldCase(key);
}

/** A key in the presentation form of RFC 1035 section 5.1: dots and backslashes inside labels escaped, other bytes as `\DDD`. */
export function textOfKey(key: NameKey): string {
  if (key === "") return ".";
  return labelsOf(key).map(escapeLabel).join(".");
}

/** The labels of a key, as latin1 strings. */
export function labelsOf(key: NameKey): string[] {
  const labels: string[] = [];
  for (let at = 0; at < key.length;) {
    const length = key.charCodeAt(at);
    labels.push(key.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return labels;
}

/** Where each label but the first begins in a key: where `a.b.c` can be split into `a` and `b.c`, and so on. */
export function splitPositions(key: NameKey): number[] {
  const positions: number[] = [];
  for (let at = 1 + key.charCodeAt(0); at < key.length; at += 1 + key.charCodeAt(at)) positions.push(at);
  return positions;
}

/** Whether it may be a name that is made of an address. */
export function isReverse(key: NameKey): boolean {
  return key.endsWith(reverseDomain);
}

/**
 * The last two labels of a key, of a reverse name the last four: a guess at its zone, to tell apart questions that
 * different authoritative servers answer.
 */
export function likelyZoneOf(key: NameKey): NameKey {
  const positions = [0, ...splitPositions(key)];
  const labels = isReverse(key) ? 4 : 2;
  return key.slice(positions.at(-labels) ?? 0);
}

/** Folds ASCII letters only (RFC 4343); length bytes are below 64 and stay as they are. */
export function foldCase(bytes: string): string {
  return bytes.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** The key under which an address is asked for in reverse (RFC 1035 section 3.5, RFC 3596 section 2.5). */
export function reverseKey(address: { ipv4: readonly number[] } | { ipv6: readonly number[] }): NameKey {
  if ("ipv4" in address) return keyOfText(`${[...address.ipv4].reverse().join(".")}.in-addr.arpa`)!;
  const nibbles = address.ipv6.flatMap((byte) => [byte >> 4, byte & 15]).reverse();
  return keyOfText(`${nibbles.map((nibble) => nibble.toString(16)).join(".")}.ip6.arpa`)!;
}

function escapeLabel(label: string): string {
  return label.replace(/[^!-~]|[.\\]/g, (byte) =>
    byte === "." || byte === "\\" ? `\\${byte}` : `\\${byte.charCodeAt(0).toString().padStart(3, "0")}`,
  );
}
