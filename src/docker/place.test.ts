import t from "tap";
import { pathThrough, refusalOf, resolvConfOf, type DockerdPlace } from "./place.js";

const seen = (shares: Partial<{ pid: boolean; net: boolean; mnt: boolean }> = {}): DockerdPlace => ({ kind: "seen", pid: 7, shares: { pid: true, net: true, mnt: true, ...shares } });

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
  t.equal(pathThrough(seen(), "/var/lib/x"), "/var/lib/x");
  t.equal(pathThrough(seen({ mnt: false }), "/var/lib/x"), "/proc/7/root/var/lib/x");
  t.equal(pathThrough({ kind: "untold" }, "/var/lib/x"), "/var/lib/x");
  t.equal(resolvConfOf(seen({ mnt: false })), "/proc/7/root/etc/resolv.conf");
  t.equal(resolvConfOf(seen({ mnt: false, net: false })), "/etc/resolv.conf", "a rootless dockerd's names its own forwarder");
  t.equal(resolvConfOf(seen()), "/etc/resolv.conf");
  t.end();
});
