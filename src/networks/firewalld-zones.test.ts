import pino from "pino";
import t from "tap";
import { FirewalldZones } from "./firewalld-zones.js";

const silent = pino({ level: "silent" });

/** A firewalld as far as it is asked here; what it would refuse it refuses. */
class FakeFirewalld {
  readonly zones = new Map<string, string>();
  readonly asked: string[] = [];
  refusal: string | undefined;

  readonly ask = (...args: string[]): Promise<string> => {
    this.asked.push(args.join(" "));
    if (this.refusal !== undefined)
      return Promise.reject(Object.assign(new Error("exit code 1"), { stderr: `Error:\n${this.refusal}\n` }));
    const [first = "", ...rest] = args;
    if (first === "--get-active-zones") return Promise.resolve(this.#active());
    const zone = first.replace("--zone=", "");
    for (const option of rest) {
      const [, doing, link = ""] = /^--(add|remove)-interface=(.*)$/.exec(option)!;
      if (doing === "add") this.zones.set(link, zone);
      else this.zones.delete(link);
    }
    return Promise.resolve("success");
  };

  #active(): string {
    const names = [...new Set(this.zones.values())];
    const linksOf = (zone: string) => [...this.zones].filter(([, of]) => of === zone).map(([link]) => link);
    return names
      .map((zone) => `${zone} (default)\n  interfaces: ${linksOf(zone).join(" ")}\n  sources: 10.0.0.0/8`)
      .join("\n");
  }
}

const rest = () => new Promise((resolve) => setImmediate(resolve));

t.test("bridges come and go, others stay where they are", async (t) => {
  const fire = new FakeFirewalld();
  fire.zones
    .set("eth0", "public")
    .set("br-theirs", "internal")
    .set("veth0", "trusted")
    .set("pt-0123456789ab", "trusted");
  const zones = new FirewalldZones("trusted", silent, fire.ask);
  zones.want("1", ["br-front", "br-theirs", "pt-aaaaaaaaaaaa"]);
  await rest();
  const others = { eth0: "public", "br-theirs": "internal", veth0: "trusted" };
  t.same(Object.fromEntries(fire.zones), { ...others, "br-front": "trusted", "pt-aaaaaaaaaaaa": "trusted" });
  const asked = fire.asked.length;
  zones.want("1", ["pt-aaaaaaaaaaaa", "br-theirs", "br-front"]);
  await rest();
  t.equal(fire.asked.length, asked, "what is so already is not asked for");
  fire.zones.delete("br-front");
  zones.want("2", ["br-front"]);
  await rest();
  t.same(Object.fromEntries(fire.zones), { ...others, "br-front": "trusted" }, "with other rules it looks again");
  zones.want("2", []);
  await rest();
  t.same(Object.fromEntries(fire.zones), others);
});

t.test("nothing is asked without firewalld, or of hosts that want none of it", async (t) => {
  const fire = new FakeFirewalld();
  new FirewalldZones("trusted", silent, fire.ask).want(undefined, ["br-front"]);
  new FirewalldZones(undefined, silent, fire.ask).want("1", ["br-front"]);
  await rest();
  t.same(fire.asked, []);
});

t.test("what cannot be is told, and tried again with every change", async (t) => {
  const fire = new FakeFirewalld();
  fire.refusal = "INVALID_ZONE: trusted";
  const zones = new FirewalldZones("trusted", silent, fire.ask);
  zones.want("1", ["br-front"]);
  await rest();
  t.match(zones.trouble, /in no zone: INVALID_ZONE: trusted$/);
  const asked = fire.asked.length;
  for (let count = 0; count < 5; count++) {
    zones.want("1", ["br-front"]);
    await rest();
  }
  t.equal(fire.asked.length, asked, "the same is not asked for before its time");
  fire.refusal = undefined;
  zones.want("1", ["br-front", "br-back"]);
  await rest();
  t.equal(zones.trouble, undefined);
  t.same([...fire.zones.keys()].sort(), ["br-back", "br-front"]);
  zones.stop();
});
