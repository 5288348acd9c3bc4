// Domains, as servers name them: of hostile bytes only what can stand in resolv.conf is taken.

const namesAtMost = 6; // as resolv.conf(5) has had it for long
const bytesAtMost = 253;
const jumpsAtMost = 16;

/** Option 15: one domain, or several with spaces in between, as some servers write it. */
export function readNames(value: Buffer | undefined): string[] {
  const text = value?.toString("latin1").split("\0")[0] ?? "";
  return text
    .split(" ")
    .map((name) => name.replace(/\.$/, ""))
    .filter(isName)
    .slice(0, namesAtMost);
}

/** Option 119 (RFC 3397): names as in DNS messages, with pointers back. @returns undefined when it makes no sense */
export function readSearch(value: Buffer): string[] | undefined {
  const names: string[] = [];
  for (let at = 0; at < value.length && names.length < namesAtMost;) {
    const read = readName(value, at);
    if (!read) return undefined;
    at = read.end;
    if (isName(read.name)) names.push(read.name);
  }
  return names.length > 0 ? names : undefined;
}

function readName(value: Buffer, start: number): { name: string; end: number } | undefined {
  const labels: string[] = [];
  let end: number | undefined;
  let size = 0;
  for (let at = start, jumps = 0; ;) {
    const length = value[at];
    if (length === undefined) return undefined;
    if (length === 0) return { name: labels.join("."), end: end ?? at + 1 };
    if (length >= 0xc0) {
      const low = value[at + 1];
      if (low === undefined || ++jumps > jumpsAtMost) return undefined;
      end ??= at + 2;
      at = ((length & 0x3f) << 8) | low;
      continue;
    }
    if (length > 63 || at + 1 + length > value.length) return undefined;
    size += length + 1;
    if (size > bytesAtMost) return undefined;
    labels.push(value.latin1Slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
}

function isName(name: string): boolean {
  return (
    name.length <= bytesAtMost &&
    name.split(".").every((label) => /^[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$/.test(label))
  );
}
