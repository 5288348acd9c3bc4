import t from "tap";
import { QUIET_GROUP } from "../firewall/wanted.js";
import { aliasOf } from "../wanted.js";
import { cutOff, isAboutWanted } from "./cut-off.js";
import { leftovers } from "./leftovers.js";
import { bringAbout, nothing } from "./testing/bring-about.js";
import { Model, type ModelLink } from "./testing/model.js";
import { network, wantedOf } from "./testing/wanted.js";

const overlay = { link: "pvx-1", vni: 7, local: "192.0.2.1", port: 4789 };
const own = network(1, { overlay, mtu: 1450 });
const wanted = wantedOf([own], [], []);

function made(): { model: Model; bridge: ModelLink; link: ModelLink } {
  const model = new Model();
  bringAbout(wanted, model);
  return { model, bridge: model.host.link("br1"), link: model.host.link("pvx-1") };
}

t.test("a bridge gets the link by which it leads to other hosts", (t) => {
  const model = new Model();
  t.same(bringAbout(wanted, model), [
    "net1: make-bridge",
    "net1: set-bridge",
    "net1: add-bridge-address 10.1.0.1/24",
    "net1: make-vxlan",
    "net1: set-vxlan",
  ]);
  t.match(model.host.link("pvx-1"), { alias: "pontoon overlay net1", mtu: 1450, master: model.host.link("br1").index });
  t.same(bringAbout(wanted, model), []);
  t.end();
});

t.test("a single thing that is amiss takes exactly the steps that mend it", (t) => {
  const set = ["net1: set-vxlan"];
  const again = ["net1: delete-link pvx-1", "net1: make-vxlan", ...set];
  const cases: [what: string, harm: (parts: ReturnType<typeof made>) => void, steps: string[]][] = [
    ["it is gone", ({ model, link }) => model.host.delete(link), ["net1: make-vxlan", ...set]],
    ["it is down", ({ link }) => (link.isUp = false), set],
    ["it has no bridge", ({ link }) => (link.master = undefined), set],
    ["it has another MTU", ({ link }) => (link.mtu = 1500), set],
    ["it says not whose it is", ({ link }) => (link.alias = undefined), set],
    ["it is in a group", ({ link }) => (link.group = 9), set],
    ["it floods", ({ link }) => (link.isQuietPort = false), set],
    ["it has another number", ({ link }) => (link.vxlan = { ...overlay, vni: 8 }), again],
    ["it sends from another address", ({ link }) => (link.vxlan = { ...overlay, local: "192.0.2.9" }), again],
    ["it has another port", ({ link }) => (link.vxlan = { ...overlay, port: 8472 }), again],
    ["the bridge is down", ({ bridge }) => (bridge.isUp = false), ["net1: set-bridge"]],
  ];
  for (const [what, harm, steps] of cases) {
    const parts = made();
    harm(parts);
    t.same(bringAbout(wanted, parts.model), steps, what);
    t.same(bringAbout(wanted, parts.model), [], what);
  }
  t.end();
});

t.test("links of others are left alone", (t) => {
  const model = new Model();
  model.host.add({ name: "pvx-1", kind: "vxlan", alias: "mine", vxlan: overlay });
  t.throws(() => bringAbout(wanted, model), /EEXIST/, "making one tells that the name is taken");
  const removed = { ...nothing, networks: [own] };
  t.same(bringAbout(wantedOf([], [], []), model, removed), ["net1: delete-link br1"]);
  t.ok(model.host.links.has("pvx-1"));
  t.end();
});

t.test("it goes with its network, and when nobody wants it any more", (t) => {
  const none = wantedOf([], [], []);
  const removed = { ...nothing, networks: [own] };
  const { model } = made();
  t.same(bringAbout(none, model, removed), ["net1: delete-link pvx-1", "net1: delete-link br1"]);
  t.same(bringAbout(none, model, removed), []);
  t.same(bringAbout(none, made().model).sort(), ["net1: delete-link br1", "net1: delete-link pvx-1"]);

  const withoutOverlay = network(1, { mtu: 1450 });
  t.same(bringAbout(wantedOf([withoutOverlay], [], []), made().model), ["net1: delete-link pvx-1"]);

  const engines = { ...own, isEngines: true };
  const ofEngine = new Model();
  bringAbout(wantedOf([engines], [], []), ofEngine);
  t.equal(ofEngine.host.link("pvx-1").alias, aliasOf.overlay(engines));
  const inAll = (isOfEngines: boolean) => leftovers(ofEngine.seen([]).host, none, isOfEngines).length;
  t.same([inAll(false), inAll(true)], [0, 2]);
  t.end();
});

t.test("where endpoints are kept from one another, the link is in their group", (t) => {
  const firewall = { subnets: [], internal: false, icc: false, masquerade: true };
  const model = new Model();
  bringAbout(wantedOf([{ ...own, firewall }], [], []), model);
  t.equal(model.host.link("pvx-1").group, QUIET_GROUP);
  t.end();
});

t.test("it is noticed when somebody takes it away", (t) => {
  const isNoticed = (name: string) => isAboutWanted([{ kind: "link-gone", name }], wanted, new Map());
  t.same(["pvx-1", "br1", "other"].map(isNoticed), [true, true, false]);
  const isDown = { kind: "link", name: "pvx-1", index: 3, isUp: false } as const;
  t.ok(isAboutWanted([isDown], wanted, new Map()));
  t.notOk(isAboutWanted([{ ...isDown, isUp: true }], wanted, new Map()));
  const { model, link } = made();
  const lacking = () => cutOff(wanted, model.seen([]).host, new Map()).networks.length;
  t.equal(lacking(), 0);
  model.host.delete(link);
  t.equal(lacking(), 1);
  t.end();
});
