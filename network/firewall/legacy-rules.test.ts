import t from "tap";
import { readLegacyHook } from "./legacy-rules.js";

t.test("whether legacy rules refuse what is forwarded, and where a rule is to stand", (t) => {
  const base = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n";
  const cases: [printed: string, refuses: boolean, place: string, ours: string[]][] = [
    [base, false, "FORWARD", []],
    ["", false, "FORWARD", []],
    [base.replace("FORWARD ACCEPT", "FORWARD DROP"), true, "FORWARD", []],
    [base.replace("INPUT ACCEPT", "INPUT DROP"), false, "FORWARD", []],
    [`${base}-A FORWARD -j REJECT --reject-with icmp-host-prohibited`, true, "FORWARD", []],
    [`${base}-A FORWARD -i eth0 -j DROP`, false, "FORWARD", []],
    [`${base}-A FORWARD -m comment --comment "the last" -j DROP`, true, "FORWARD", []],
    [`${base}-N A\n-N B\n-A FORWARD -j A\n-A A -g B\n-A B -j DROP`, true, "FORWARD", []],
    [`${base}-N A\n-A FORWARD -i x -j A\n-A A -j DROP`, false, "FORWARD", []],
    [`${base}-N A\n-A FORWARD -j A\n-A A -j A`, false, "FORWARD", []],
    [`-P FORWARD DROP\n-N DOCKER-USER\n-A DOCKER-USER -j RETURN`, true, "DOCKER-USER", []],
    [`-P FORWARD DROP\n-N ufw-user-forward`, true, "ufw-user-forward", []],
    [
      `-P FORWARD DROP\n-A FORWARD -m mark --mark 0x1/0x1 -m comment --comment pontoon -j ACCEPT`,
      true,
      "FORWARD",
      ["FORWARD"],
    ],
    [`-P FORWARD DROP\n-A FORWARD -m comment --comment pontoon2 -j ACCEPT`, true, "FORWARD", []],
  ];
  for (const [printed, refuses, place, ours] of cases)
    t.same(readLegacyHook(printed, "FORWARD", "pontoon"), { refuses, place, ours }, printed);
  const input = "-P INPUT DROP\n-P FORWARD ACCEPT\n-N DOCKER-USER\n";
  t.same(readLegacyHook(input, "INPUT", "pontoon"), { refuses: true, place: "INPUT", ours: [] });
  t.same(readLegacyHook(base, "INPUT", "pontoon"), { refuses: false, place: "INPUT", ours: [] });
  t.end();
});
