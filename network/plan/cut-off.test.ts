import t from "tap";
import { cutOff, isAboutWanted } from "./cut-off.js";
import { bringAbout } from "./testing/bring-about.js";
import { Model } from "./testing/model.js";
import { endpoint, handover, network, sandbox, wantedOf } from "./testing/wanted.js";

const [bridged, adopted] = [network(1), network(3, { bridge: "theirs", isAdopted: true })];
const lan = network(2, {
  bridge: "pt-2",
  addresses: [{ ip: "10.2.0.9", prefix: 32 }],
  lan: { child: { kind: "macvlan", mode: "bridge" }, parent: "uplink", vlan: undefined, hasHostAccess: true },
});
const box = sandbox("a");
const [onBridge, onLan] = [endpoint(box, bridged), endpoint(box, lan, { hostLink: "", ifname: "eth2" })];
const pair = handover("c", bridged, { ips: ["10.1.0.3"] });
const wanted = wantedOf([bridged, lan, adopted], [box], [onBridge, onLan], [pair]);

function made(): Model {
  const model = new Model();
  bringAbout(wanted, model);
  model.host.delete(model.host.link(pair.peer)); // its engine has taken it
  return model;
}

/** @returns ids of what is to be set right */
function lost(model: Model, bases: Record<string, number> = { uplink: model.host.link("uplink").index }): string[] {
  const scope = cutOff(wanted, model.seen([box]).host, new Map(Object.entries(bases)));
  return [...scope.networks, ...scope.endpoints, ...scope.handovers].map(({ id }) => id);
}

t.test("nothing is to be done where nothing is gone, and whatever is gone is put back", (t) => {
  const whole = made();
  t.same(lost(whole), []);
  const losses: Record<string, { take: (model: Model) => void; ids: string[] }> = {
    "a bridge": { take: ({ host }) => host.delete(host.link("br1")), ids: ["net1", "a-net1", "c"] },
    "an address of one": { take: ({ host }) => host.addresses.set(host.link("br1").index, []), ids: ["net1"] },
    "a bridge that is down": { take: ({ host }) => host.down(host.link("br1")), ids: ["net1"] },
    "an end on the host": {
      take: (model) => {
        model.host.delete(model.host.link(onBridge.hostLink));
        const space = model.space(box.path);
        space.delete(space.link(onBridge.ifname));
      },
      ids: ["a-net1"],
    },
    "a port's bridge": { take: ({ host }) => (host.link(pair.hostLink).master = undefined), ids: ["c"] },
    "the end of a container that has ended": { take: ({ host }) => host.delete(host.link(pair.hostLink)), ids: [] },
    "the host's link on a LAN": { take: ({ host }) => host.delete(host.link("pt-2")), ids: ["net2", "a-net2"] },
  };
  for (const [what, { take, ids }] of Object.entries(losses)) {
    const model = made();
    take(model);
    t.same(lost(model), ids, what);
    bringAbout(wantedOf([bridged, lan, adopted], [box], [onBridge, onLan]), model);
    t.same(
      lost(model).filter((id) => id !== pair.id),
      [],
      `${what} is back`,
    );
  }
  t.end();
});

t.test("what stands on a link that is gone waits for it", (t) => {
  const model = made();
  const { index } = model.host.link("uplink");
  model.host.delete(model.host.link("uplink"));
  t.same(lost(model, { uplink: index }), []);
  model.host.add({ name: "uplink", kind: undefined });
  t.same(lost(model, { uplink: index }), ["a-net2"], "another of that name");
  t.same(lost(model, { uplink: 0 }), ["a-net2"], "one that was missed");
  t.same(lost(model), [], "one that is known");
  t.end();
});

t.test("news that is about something wanted", (t) => {
  const isAbout = (...items: Parameters<typeof isAboutWanted>[0]) =>
    isAboutWanted(items, wanted, new Map([["uplink", 2]]));
  const link = (name: string, index: number, isUp = true) => ({ kind: "link", name, index, isUp }) as const;
  const gone = (name: string) => ({ kind: "link-gone", name }) as const;
  for (const item of [
    link("br1", 9, false),
    link("uplink", 3),
    gone("br1"),
    gone("uplink"),
    gone(onBridge.hostLink),
    gone(pair.hostLink),
    { kind: "address-gone", ip: "10.1.0.1" } as const,
  ])
    t.ok(isAbout(gone("veth0"), item), JSON.stringify(item));
  t.notOk(
    isAbout(
      link("br1", 9),
      link("uplink", 2, false),
      link("veth0", 7, false),
      gone("veth0"),
      { kind: "address-gone", ip: "10.9.0.1" },
      link("theirs", 4),
    ),
    "what others do with what is theirs, and what we do",
  );
  t.end();
});
