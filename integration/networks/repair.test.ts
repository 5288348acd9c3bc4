// Somebody else changes the host's firewall while traffic goes on.
import t from "tap";
import { BareHost, until } from "../lab/index.js";
import { run } from "./host.js";
import { both, Talk } from "./talk.js";

const host4 = "10.77.0.1";
const outside4 = "10.77.0.2";

t.test("whatever somebody does to the host's rules, traffic goes on", async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const shell = (script: string) => host.exec(["sh", "-ec", script]);
  // As a host whose firewall lets nothing pass: Docker's way, firewalld's way, a person's way.
  const firewalld = `table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; policy accept;
    ct state established,related accept; jump zones; reject with icmpx admin-prohibited; }; chain zones { }; };`;
  const dropping = "iptables -w -P FORWARD DROP; iptables -w -N DOCKER-USER; iptables -w -I FORWARD -j DOCKER-USER";
  await shell(`${dropping}; nft '${firewalld}'; iptables-save > /run/old; iptables -w -A FORWARD -j REJECT`);
  const pontoon = await host.pontoon();
  const talk = new Talk(host);
  await run(pontoon, "network create front --subnet 10.66.1.0/24");
  await run(pontoon, "sandbox create web --network front");
  await run(pontoon, "sandbox create near --network front");
  await run(pontoon, "publish web 8001:80/tcp 8001:80/udp");
  await talk.serve("web", 80);
  await talk.serve("outside", 7000);
  const asked = () =>
    talk.wrong([
      ...both("outside", `${host4} 8001`, `web ${outside4}`),
      ...both("web", `${outside4} 7000`, `outside ${host4}`),
      ...both("near", "10.66.1.2 80", "web 10.66.1.3"),
      ...both("outside", "10.66.1.2 80", ""),
    ]);
  t.same(await asked(), []);
  // Connections are made all the time, as fast as they are answered.
  let longest = 0;
  let isOver = false;
  const storm = (async () => {
    let last = performance.now();
    while (!isOver) {
      const said = await talk.askInVain("outside", `udp ${host4} 8001`);
      if (said === "") continue;
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }
  })();
  const rules = async () => (await shell("nft list ruleset")).stdout;
  const isWhole = async () =>
    (await rules()).match(/accept comment "pontoon"|-m comment --comment pontoon/g)?.length === 2 &&
    (await rules()).includes("table inet pontoon");
  await until(isWhole, { what: "there are rules to begin with" });
  for (const [what, script] of [
    ["everything is flushed, and the drops are back", `nft flush ruleset; ${dropping}; nft '${firewalld}'`],
    ["our table is deleted", "nft delete table inet pontoon || true"],
    ["the chain left to users is flushed", "iptables -w -F DOCKER-USER"],
    ["all chains are flushed", "iptables -w -F; iptables -w -I FORWARD -j DOCKER-USER"],
    ["an older state is restored", "iptables-restore -w < /run/old"],
    ["firewalld is reloaded", `nft 'delete table inet firewalld; ${firewalld}'`],
    [
      "our rule there is deleted",
      "nft flush chain inet firewalld filter_FORWARD; nft add rule inet firewalld filter_FORWARD drop",
    ],
  ] as const) {
    longest = 0;
    await shell(script);
    await until(isWhole, { what });
    t.same(await asked(), [], what);
    t.comment(`${what}: ${Math.round(longest)} ms without an answer`);
  }
  isOver = true;
  await storm;
  t.match(
    await run(pontoon, "status"),
    /^firewall {7}a rule with the comment pontoon in ip filter (DOCKER-USER|FORWARD), inet firewalld filter_FORWARD$/m,
  );
  await run(pontoon, "unpublish web");
  await run(pontoon, "sandbox rm web near");
  await run(pontoon, "network rm front");
  const left = await rules();
  t.notMatch(left, /pontoon/, "nothing is left of it");
  t.match(left, /table inet firewalld/);
  t.notMatch(await run(pontoon, "status"), /^firewall/m);
  t.equal(await pontoon.stop(), 0);
});

t.test("tables of iptables' legacy variant that let nothing pass", async (t) => {
  const host = await BareHost.start(t);
  await host.outside();
  const shell = (script: string) => host.exec(["sh", "-ec", script]);
  const legacy = (line: string) => `iptables-legacy -w ${line}; ip6tables-legacy -w ${line}`;
  await shell(`${legacy("-P FORWARD DROP")}; iptables-legacy-save > /run/old`);
  const pontoon = await host.pontoon();
  const talk = new Talk(host);
  await run(pontoon, "network create front --subnet 10.66.1.0/24");
  await run(pontoon, "sandbox create web --network front");
  await run(pontoon, "publish web 8001:80/tcp 8001:80/udp");
  await talk.serve("web", 80);
  await talk.serve("outside", 7000);
  const asked = () =>
    talk.wrong([
      ...both("outside", `${host4} 8001`, `web ${outside4}`),
      ...both("web", `${outside4} 7000`, `outside ${host4}`),
      ...both("outside", "10.66.1.2 80", ""),
    ]);
  t.same(await asked(), []);
  const rules = async () => (await shell(legacy("-S"))).stdout;
  for (const [what, script] of [
    ["all chains are flushed", legacy("-F")],
    ["an older state is restored", "iptables-legacy-restore -w < /run/old"],
    ["ufw comes", `${legacy("-N ufw-user-forward")}; ${legacy("-F")}; ${legacy("-A FORWARD -j ufw-user-forward")}`],
  ] as const) {
    await shell(script);
    await until(async () => (await rules()).match(/--comment pontoon/g)?.length === 2, { what });
    t.same(await asked(), [], what);
  }
  await run(pontoon, "unpublish web");
  await run(pontoon, "sandbox rm web");
  await run(pontoon, "network rm front");
  t.notMatch(await rules(), /pontoon/, "nothing is left of it");
  t.match(await rules(), /-P FORWARD DROP/);
  t.equal(await pontoon.stop(), 0);
});
