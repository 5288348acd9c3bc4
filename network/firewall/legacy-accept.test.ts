import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import t from "tap";
import { hasLegacyFilter } from "../../linux/legacy-filter.js";
import { insideNewNamespace } from "../../linux/netns.js";
import { LegacyAccept } from "./legacy-accept.js";

const skip =
  process.getuid?.() !== 0
    ? "needs root"
    : spawnSync("iptables-legacy", ["--version"]).status !== 0 || !existsSync("/proc/net/ip_tables_names")
      ? "needs iptables-legacy"
      : false;
const iptables = (line: string) => execFileSync("iptables-legacy", ["-w", ...line.split(" ")], { encoding: "utf8" });
const ours = (): string[] => iptables("-S").match(/^.*--comment pontoon .*$/gm) ?? [];
const nothing = { all: [], added: [], refused: new Map() };

t.test("where there are no legacy tables, none are made", { skip }, (t) => {
  insideNewNamespace(() => {
    const legacy = new LegacyAccept();
    t.same(legacy.put(), nothing);
    t.equal(legacy.hasChanged(), false);
    legacy.remove();
    t.notOk(hasLegacyFilter("ipv4"));
  });
  t.end();
});

t.test("one rule in legacy tables that refuse, put back when it is gone, and taken away", { skip }, (t) => {
  insideNewNamespace(() => {
    const legacy = new LegacyAccept();
    iptables("-P FORWARD ACCEPT");
    t.same(legacy.put(), nothing, "nothing is refused");
    for (const [changes, place] of [
      [["-P FORWARD DROP"], "FORWARD"],
      [["-F FORWARD"], "FORWARD"],
      [["-N DOCKER-USER", "-I FORWARD -j DOCKER-USER"], "DOCKER-USER"],
      [["-F DOCKER-USER"], "DOCKER-USER"],
    ] as const) {
      for (const change of changes) iptables(change);
      t.ok(legacy.hasChanged(), changes.join("; "));
      const all = [`iptables-legacy filter ${place}`];
      t.same(legacy.put(), { all, added: all, refused: new Map() });
      t.notOk(legacy.hasChanged(), "its own change is known");
      t.same(legacy.put(), { all, added: [], refused: new Map() });
      t.same(new LegacyAccept().put(), { all, added: [], refused: new Map() }, "another process finds it");
      const rule = `-A ${place} -m mark --mark 0x1000000/0x1000000 -m comment --comment pontoon -j ACCEPT`;
      t.ok(ours().includes(rule), ours().join("\n"));
    }
    iptables("-P INPUT DROP");
    const [here, input] = ["iptables-legacy filter DOCKER-USER", "iptables-legacy filter INPUT"];
    t.same(legacy.put().all, [here], "what comes in is others' business");
    t.same(legacy.put({ withInput: true }), { all: [here, input], added: [input], refused: new Map() });
    t.same(legacy.put({ withInput: true }), { all: [here, input], added: [], refused: new Map() });
    iptables("-A FORWARD -i lo -j ACCEPT");
    t.ok(legacy.hasChanged());
    legacy.remove();
    t.same(ours(), []);
  });
  t.end();
});
