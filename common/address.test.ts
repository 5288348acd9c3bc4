import t from "tap";
import { canonicalAddress } from "./address.js";

t.test("an address has one form", (t) => {
  const cases: [text: string, canonical: string | undefined][] = [
    ["127.0.0.1", "127.0.0.1"],
    ["::", "::"],
    ["2001:DB8:0::0:1", "2001:db8::1"],
    ["::FFFF:c000:201", "192.0.2.1"],
    ["fe80::1%lo", undefined],
    ["web", undefined],
    ["", undefined],
  ];
  for (const [text, canonical] of cases) t.equal(canonicalAddress(text), canonical, text);
  t.end();
});
