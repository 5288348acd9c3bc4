import t from "tap";
import type { Wanted, WantedNetwork } from "../wanted.js";
import { leftovers } from "./leftovers.js";
import { planAllProxies } from "./plan.js";
import { bringAbout, inWords, nothing } from "./testing/bring-about.js";
import { Model } from "./testing/model.js";
import { endpoint, network, sandbox, wantedOf } from "./testing/wanted.js";

const ndpProxy = { link: "uplink", wasOn: false };
const on = network(1, { hasIPv6: true, ndpProxy });
const box = sandbox("a");
const place = endpoint(box, on);
const all = wantedOf([on], [box], [place]);
const ip = "fd00:1::2";

function made(wanted: Wanted): Model {
  const model = new Model();
  bringAbout(wanted, model);
  return model;
}

t.test("the link answers, for IPv6 addresses of endpoints alone", (t) => {
  const steps = bringAbout(all, new Model());
  t.ok(steps.includes("net1: answer-for-others"));
  t.same(steps.slice(-2), ["a-net1: attach", `a-net1: add-proxy ${ip}`]);
  t.same(bringAbout(all, made(all)), []);
  const without = wantedOf([network(1, { hasIPv6: true })], [box], [place]);
  t.notMatch(bringAbout(without, new Model()).join(), /proxy|answer/);
  t.end();
});

t.test("what is amiss is mended, by itself, too; a link that is not there is waited for", (t) => {
  const planned = (model: Model) =>
    planAllProxies(all, model.seen([]).host).flatMap(({ object, steps }) =>
      steps.map((step) => `${object.id}: ${inWords(step)}`),
    );
  const model = made(all);
  t.same(planned(model), []);
  model.proxies = []; // as when the link goes down
  t.same(planned(model), [`net1: add-proxy ${ip}`]);
  t.same(bringAbout(all, model), [`a-net1: add-proxy ${ip}`]);
  model.answering.clear();
  t.same(planned(model), ["net1: answer-for-others"]);
  t.same(bringAbout(all, model), ["net1: answer-for-others"]);
  const later = new Model();
  later.host.delete(later.host.link("uplink"));
  t.notMatch(bringAbout(all, later).join(), /proxy|answer/);
  later.host.add({ name: "uplink", kind: undefined });
  t.same(planned(later), ["net1: answer-for-others", `net1: add-proxy ${ip}`]);
  t.end();
});

t.test("it goes with the endpoint, and with the last network; what was on before stays on", (t) => {
  const model = made(all);
  const without = wantedOf([on], [box], []);
  const gone = { ...nothing, endpoints: [[place, box] as const] };
  t.same(bringAbout(without, model, gone), [`a-net1: delete-proxy ${ip}`, "a-net1: retire"]);
  const removal = (network: WantedNetwork, left: Wanted, model: Model) =>
    bringAbout(left, model, { ...nothing, networks: [network] });
  t.same(removal(on, wantedOf([], [box], []), model), ["net1: end-answering", "net1: delete-link br1"]);

  const other = network(2, { hasIPv6: true, ndpProxy });
  const shared = made(wantedOf([on, other], [], []));
  t.same(removal(on, wantedOf([other], [], []), shared), ["net1: delete-link br1"]);
  const was = network(1, { hasIPv6: true, ndpProxy: { ...ndpProxy, wasOn: true } });
  t.same(removal(was, wantedOf([], [], []), made(wantedOf([was], [], []))), ["net1: delete-link br1"]);

  const atOnce = made(all);
  const everything = { ...gone, networks: [on], sandboxes: [box] };
  t.match(bringAbout(wantedOf([], [], []), atOnce, everything)[0], `delete-proxy ${ip}`);
  t.same([atOnce.proxies, [...atOnce.answering]], [[], []]);
  t.end();
});

t.test("a network whose addresses are others now gives up those it had, but none that it has again", (t) => {
  const model = made(all);
  const before = { ip: "fd00:1::1", prefix: 64 };
  const now = { ip: "fd00:9::1", prefix: 64 };
  const [ipv4] = on.addresses;
  const renumbered = { ...on, addresses: [ipv4!, now], former: [before] };
  const moved = {
    ...place,
    addresses: [place.addresses[0]!, { ip: "fd00:9::2", prefix: 64 }],
    gateways: ["10.1.0.1", now.ip],
  };
  const wanted = wantedOf([renumbered], [box], [moved]);
  t.same(bringAbout(wanted, model), [
    `proxies: delete-proxy ${ip}`,
    "net1: delete-bridge-address fd00:1::1/64",
    "net1: add-bridge-address fd00:9::1/64",
    "a-net1: set-inside -fd00:1::2/64 -via fd00:1::1 +fd00:9::2/64 +via fd00:9::1",
    "a-net1: add-proxy fd00:9::2",
  ]);
  t.same(bringAbout(wanted, model), []);
  const again = wantedOf([{ ...on, former: [now, before] }], [box], [place]);
  t.match(
    bringAbout(again, model).join(),
    "net1: delete-bridge-address fd00:9::1/64,net1: add-bridge-address fd00:1::1/64",
  );
  t.same(bringAbout(again, model), []);
  t.end();
});

t.test("what an earlier process has left is removed, and what is somebody else's stays", (t) => {
  const model = made(all);
  const { index } = model.host.link("uplink");
  const theirs = { link: index, ip: "fd00:1::77", isOurs: false };
  model.proxies.push(
    theirs,
    { link: index, ip: "fd00:9::9", isOurs: true },
    { link: 99, ip: "fd00:9::9", isOurs: true },
  );
  const left = (wanted: Wanted, ofEngines = false) =>
    leftovers(model.seen([]).host, wanted, ofEngines).flatMap(({ steps }) => steps.map(inWords));
  t.same(left(all), ["delete-proxy fd00:9::9"]);
  t.same(left(all, true), []);
  t.same(
    left(wantedOf([on], [box], [])).filter((step) => step.includes("proxy")),
    [`delete-proxy ${ip}`, "delete-proxy fd00:9::9"],
  );
  t.end();
});
