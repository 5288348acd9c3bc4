import t from "tap";
import { refusalOf, resolvConfRootOf, rootOf, type DockerdPlace } from "./place.js";

const seen = (shares: Partial<{ pid: boolean; net: boolean; mnt: boolean }> = {}): DockerdPlace => ({
  kind: "seen",
  pid: 7,
  shares: { pid: true, net: true, mnt: true, ...shares },
});

t.test("what is not served is refused with the remedy", (t) => {
  const cases: [place: DockerdPlace, isRootless: boolean, says: RegExp | undefined][] = [
    [seen(), false, undefined],
    [seen({ mnt: false }), false, undefined],
    [seen({ mnt: false, net: false }), true, undefined],
    [{ kind: "untold" }, false, undefined],
    [{ kind: "remote" }, false, /on another machine; run pontoon where/],
    [{ kind: "unseen" }, false, /cannot be seen from here; .* --pid host$/],
    [seen({ pid: false, net: false, mnt: false }), false, /runs in another container.*; run pontoon inside/],
    [seen({ pid: false }), true, /runs in another container/],
    [seen({ net: false }), false, /another network namespace; .* --network host$/],
  ];
  for (const [place, isRootless, says] of cases) {
    const sentence = refusalOf("unix:///d.sock", place, isRootless);
    if (says === undefined) t.equal(sentence, undefined, JSON.stringify(place));
    else t.match(sentence, says);
  }
  t.end();
});

t.test("files are read as dockerd sees them, and the resolv.conf of the network that is asked from", (t) => {
  const cases: [place: DockerdPlace, root: string, resolvConfRoot: string, what: string][] = [
    [seen(), "", "", "on the host"],
    [{ kind: "untold" }, "", "", "not known"],
    [seen({ mnt: false }), "/proc/7/root", "/proc/7/root", "pontoon in a container"],
    [
      seen({ mnt: false, net: false }),
      "/proc/7/root",
      "",
      "a rootless dockerd, whose resolv.conf names a forwarder of its own",
    ],
  ];
  for (const [place, root, resolvConfRoot, what] of cases)
    t.same([rootOf(place), resolvConfRootOf(place)], [root, resolvConfRoot], what);
  t.end();
});
