import t from "tap";
import { takeoverIn } from "./namespace-rules.js";

const ruleset = (elements: string) => `table ip nat {
	chain OUTPUT {
		type nat hook output priority -100; policy accept;
		ip daddr 127.0.0.11 counter packets 2 bytes 114 jump DOCKER_OUTPUT
	}
}
table ip pontoon {
	set armed {
		type inet_service
		size 4
		flags dynamic,timeout${elements}
	}

	chain out {
		type filter hook output priority -310; policy accept;
		meta mark 0x0000706e accept
		ip daddr 127.0.0.11 udp dport @armed udp dport set 41234 notrack
		ip daddr 127.0.0.11 tcp dport @armed tcp dport set 41234 notrack
	}
}
`;

t.test("our table is known by its rules, and whether it is in effect by its set", (t) => {
  t.same(takeoverIn(ruleset("")), { port: 41234, armed: false });
  t.same(takeoverIn(ruleset("\n\t\telements = { 53 timeout 6s expires 4s512ms }")), { port: 41234, armed: true });
  t.equal(takeoverIn(""), undefined);
  t.equal(takeoverIn("table ip pontoon {\n\tchain out {\n\t}\n}\n"), undefined, "a table of that name that is somebody else's");
  t.equal(takeoverIn(ruleset("").replaceAll("table ip pontoon", "table ip other")), undefined);
  t.end();
});
