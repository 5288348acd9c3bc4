import t from "tap";
import { execFileSync } from "node:child_process";
import { insideNewNamespace } from "../../netns.js";
import { answersForOthers, setAnswersForOthers } from "../../network-settings.js";
import { changeLink, linkNamed, newVeth } from "./links.js";
import { addProxy, deleteProxy, proxiesOf } from "./neighbours.js";
import { Rtnetlink } from "./rtnetlink.js";

const needsRoot = process.getuid?.() === 0 ? {} : { skip: "network namespaces are made by root" };

t.test("a link answers for addresses, and those that somebody else has added are told apart", needsRoot, (t) => {
  insideNewNamespace(() => {
    const rtnetlink = new Rtnetlink();
    try {
      rtnetlink.request(newVeth({ name: "v0" }, { name: "v1" }), changeLink("v0", { isUp: true }));
      const link = linkNamed(rtnetlink, "v0")!.index;
      t.same(proxiesOf(rtnetlink), []);
      rtnetlink.request(addProxy(link, "2001:db8::2"), addProxy(link, "2001:db8::3"), addProxy(link, "2001:db8::2"));
      execFileSync("ip", ["-6", "neigh", "add", "proxy", "2001:db8::9", "dev", "v0"]);
      execFileSync("ip", ["neigh", "add", "proxy", "192.0.2.9", "dev", "v0"]);
      t.same(
        proxiesOf(rtnetlink).sort((one, other) => (one.ip < other.ip ? -1 : 1)),
        [
          { link, ip: "2001:db8::2", isOurs: true },
          { link, ip: "2001:db8::3", isOurs: true },
          { link, ip: "2001:db8::9", isOurs: false },
        ],
      );
      t.match(execFileSync("ip", ["-6", "neigh", "show", "proxy"], { encoding: "utf8" }), /2001:db8::2 dev v0/);
      rtnetlink.request(deleteProxy(link, "2001:db8::2"));
      const [failure] = rtnetlink.requestEach([deleteProxy(link, "2001:db8::2")]);
      t.equal(failure?.error.code, "ENOENT");
      rtnetlink.request(changeLink("v0", { isUp: false }));
      t.same(proxiesOf(rtnetlink), [], "they go when the link goes down");

      t.equal(answersForOthers("v0"), false);
      setAnswersForOthers("v0", true);
      t.equal(answersForOthers("v0"), true);
      setAnswersForOthers("v0", false);
      t.equal(answersForOthers("v0"), false);
      t.equal(answersForOthers("none"), false);
      setAnswersForOthers("none", true);
    } finally {
      rtnetlink.close();
    }
  });
  t.end();
});
