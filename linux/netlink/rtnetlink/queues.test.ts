import t from "tap";
import { execFileSync } from "node:child_process";
import { insideNewNamespace } from "../../netns.js";
import { NetlinkError } from "../nfnetlink.js";
import { changeLink, linkNamed, newVeth } from "./links.js";
import { addIngress, deleteBucket, deleteIngress, newIfb, queuesOf, redirectAll, setBucket } from "./queues.js";
import { Rtnetlink } from "./rtnetlink.js";

const needsRoot = process.getuid?.() === 0 ? {} : { skip: "network namespaces are made by root" };

/** `tc` is asked what there is, not the code that made it. */
function shown(...args: string[]): Record<string, unknown>[] {
  return JSON.parse(execFileSync("tc", ["-j", ...args], { encoding: "utf8" })) as Record<string, unknown>[];
}

const queueOf = (rtnetlink: Rtnetlink, link: number) => queuesOf(rtnetlink, [link]).get(link)!;

interface Links {
  readonly rtnetlink: Rtnetlink;
  readonly veth: number;
  readonly ifb: number;
}

/** A veth pair that is up, and an ifb. */
function withLinks(work: (links: Links) => void): void {
  insideNewNamespace(() => {
    const rtnetlink = new Rtnetlink();
    try {
      rtnetlink.request(
        newVeth({ name: "v0" }, { name: "v1" }),
        newIfb("i0"),
        ...["v0", "v1", "i0"].map((name) => changeLink(name, { isUp: true })),
      );
      const index = (name: string) => linkNamed(rtnetlink, name)!.index;
      work({ rtnetlink, veth: index("v0"), ifb: index("i0") });
    } finally {
      rtnetlink.close();
    }
  });
}

t.test("a token bucket is set, changed, read and taken away", needsRoot, (t) => {
  withLinks(({ rtnetlink, veth }) => {
    t.same(queueOf(rtnetlink, veth), { bucket: undefined, redirectedTo: undefined });
    // The largest rate is beyond what 32 bits hold.
    const largest = { rate: 2 ** 37, burst: 2 ** 31, limit: 2 ** 32 - 1 };
    for (const bucket of [
      { rate: 1000, burst: 66_560, limit: 66_560 },
      { rate: 2_500_000, burst: 66_560, limit: 125_000 },
      largest,
    ]) {
      rtnetlink.request(setBucket(veth, bucket));
      t.same(queueOf(rtnetlink, veth).bucket, { rate: bucket.rate, limit: bucket.limit });
      const [root] = shown("qdisc", "show", "dev", "v0");
      const { rate, burst, limit, lat } = (root?.options ?? {}) as Record<string, number>;
      t.match(root, { kind: "tbf", root: true });
      t.equal(rate, bucket.rate);
      t.ok(Math.abs(burst! - bucket.burst) <= bucket.burst / 50, `burst ${burst}`);
      t.ok(limit === bucket.limit || lat !== undefined);
    }
    rtnetlink.request(deleteBucket(veth));
    t.equal(queueOf(rtnetlink, veth).bucket, undefined);
    t.throws(() => rtnetlink.request(deleteBucket(veth)), { code: "ENOENT" });
  });
  t.end();
});

t.test("another order of the same link gives way to a token bucket", needsRoot, (t) => {
  withLinks(({ rtnetlink, veth }) => {
    execFileSync("tc", ["qdisc", "add", "dev", "v0", "root", "handle", "7:", "pfifo", "limit", "9"]);
    t.equal(queueOf(rtnetlink, veth).bucket, undefined);
    rtnetlink.request(setBucket(veth, { rate: 1000, burst: 66_560, limit: 66_560 }));
    t.match(queueOf(rtnetlink, veth).bucket, { rate: 1000 });
  });
  t.end();
});

t.test("what comes in is redirected, and that is known by where to", needsRoot, (t) => {
  withLinks(({ rtnetlink, veth, ifb }) => {
    rtnetlink.request(addIngress(veth), redirectAll(veth, ifb));
    t.equal(queueOf(rtnetlink, veth).redirectedTo, ifb);
    const text = JSON.stringify(shown("filter", "show", "dev", "v0", "ingress"));
    t.match(text, /"kind":"mirred".*"direction":"egress".*"to_dev":"i0"/);
    execFileSync("ip", ["link", "delete", "i0"]);
    t.equal(queueOf(rtnetlink, veth).redirectedTo, undefined, "the link it led to is gone");
    rtnetlink.request(deleteIngress(veth));
    const [failure] = rtnetlink.requestEach([deleteIngress(veth)]);
    t.ok(["ENOENT", "EINVAL"].includes(failure?.error.code ?? ""), "there is nothing to delete");
  });
  t.end();
});

t.test("a filter for some frames only is not taken for one of all", needsRoot, (t) => {
  withLinks(({ rtnetlink, veth }) => {
    rtnetlink.request(addIngress(veth));
    const match = ["match", "ip", "dst", "192.0.2.1/32"];
    const action = ["action", "mirred", "egress", "redirect", "dev", "i0"];
    execFileSync("tc", ["filter", "add", "dev", "v0", "ingress", "protocol", "ip", "u32", ...match, ...action]);
    t.equal(queueOf(rtnetlink, veth).redirectedTo, undefined);
  });
  t.end();
});

t.test("of many links, only those that are asked for", needsRoot, (t) => {
  withLinks(({ rtnetlink, veth, ifb }) => {
    const bucket = { rate: 1000, burst: 66_560, limit: 66_560 };
    rtnetlink.request(setBucket(veth, bucket), setBucket(ifb, { ...bucket, rate: 5000 }));
    // One below the link's own is not the link's.
    const tbf = ["tbf", "burst", "10k", "limit", "9k", "rate"];
    execFileSync("tc", ["qdisc", "add", "dev", "v1", "root", "handle", "1:", ...tbf, "16kbit"]);
    execFileSync("tc", ["qdisc", "add", "dev", "v1", "parent", "1:1", ...tbf, "24kbit"]);
    const other = linkNamed(rtnetlink, "v1")!.index;
    const found = queuesOf(rtnetlink, [ifb, other]);
    t.same([...found.keys()], [ifb, other]);
    t.match(found.get(ifb)?.bucket, { rate: 5000 });
    t.match(found.get(other)?.bucket, { rate: 2000 });
    t.equal(queuesOf(rtnetlink, []).size, 0);
  });
  t.end();
});

t.test("a link that is not there", needsRoot, (t) => {
  withLinks(({ rtnetlink }) => {
    t.throws(() => rtnetlink.request(setBucket(77, { rate: 1000, burst: 66_560, limit: 66_560 })), NetlinkError);
  });
  t.end();
});
