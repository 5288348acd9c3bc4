import t from "tap";
import { Mirror } from "../../cluster/mirror.js";
import { keys, type HostRecord } from "../../cluster/records.js";
import { tunnelAddress } from "../../cluster/wireguard-key.js";
import { allNeighbours, neighbourChanges } from "./neighbours.js";

const keyOf = (byte: number) => Buffer.alloc(32, byte).toString("base64");
const endpoint = (network: string, host: string, number: number) => ({
  id: `${network}-${host}`,
  network,
  host,
  sandbox: `s-${host}`,
  name: host,
  hostname: host,
  aliases: [],
  exposed: [],
  ipv4: `10.88.0.${number}`,
  mac: `02:42:0a:58:00:0${number}`,
});
const host = (id: string, wireguard?: HostRecord["wireguard"]) => ({
  id,
  name: id,
  advertise: `10.99.0.${id.slice(1)}`,
  joined: "",
  ...(wireguard && { wireguard }),
});

let revision = 0;
function put(mirror: Mirror, ...records: (readonly [key: string, value: unknown])[]) {
  revision++;
  return mirror.apply({
    revision,
    changes: records.map(([key, value]) => ({ key, record: { key, value, revision } })),
  });
}

const isEncrypted = (network: string) => network === "secret";

t.test(
  "packets of encrypted networks are for hosts' addresses in the tunnel, and never for those on the underlay",
  (t) => {
    const mirror = new Mirror();
    const here = [1, 2, 3].map((number) => [keys.host(`h${number}`), host(`h${number}`)] as const);
    const places = ["open", "secret"].flatMap((network) =>
      [1, 2, 3].map(
        (number) => [keys.endpoint(network, `h${number}`), endpoint(network, `h${number}`, number)] as const,
      ),
    );
    put(mirror, ...here, ...places);
    put(mirror, [keys.host("h2"), host("h2", { publicKey: keyOf(2), port: 7 })]);
    const hostsOf = (network: string) => allNeighbours(mirror, "h1", network, isEncrypted).put.map((each) => each.host);
    t.same(hostsOf("open"), ["10.99.0.2", "10.99.0.3"]);
    t.same(hostsOf("secret"), [tunnelAddress(keyOf(2))], "and not for one that has no key");

    const change = put(mirror, [keys.host("h3"), host("h3", { publicKey: keyOf(3), port: 7 })]);
    const changes = neighbourChanges(mirror, "h1", change, isEncrypted);
    t.same(
      changes.map(({ network, put }) => [network, put.map((each) => each.host)]),
      [
        ["open", ["10.99.0.3"]],
        ["secret", [tunnelAddress(keyOf(3))]],
      ],
    );
    const again = put(mirror, [keys.host("h3"), host("h3", { publicKey: keyOf(4), port: 7 })]);
    t.same(
      neighbourChanges(mirror, "h1", again, isEncrypted).flatMap(({ put }) => put.map((each) => each.host)),
      ["10.99.0.3", tunnelAddress(keyOf(4))],
      "a host with another key is followed",
    );
    t.end();
  },
);

const [ip, mac, advertise] = ["10.88.0.2", "02:42:0a:58:00:02", "10.99.0.2"];
const west = { id: "h2", name: "west", advertise, joined: "" };
const web = {
  ...{ id: "e1", network: "n1", host: "h2", sandbox: "s1", name: "web", hostname: "web", aliases: [], exposed: [] },
  ...{ ipv4: ip, mac },
};

t.test("the kernel knows an endpoint of another host as long as that is one", (t) => {
  const mirror = new Mirror();
  let revision = 0;
  const tell = (...changes: [key: string, value: unknown][]) => {
    revision++;
    const told = changes.map(([key, value]) => ({ key, record: value ? { key, value, revision } : undefined }));
    return neighbourChanges(mirror, "h1", mirror.apply({ revision, changes: told }), () => false);
  };
  const known = { network: "n1", put: [{ ip, mac, host: advertise }], removed: [] };
  const unknown = { network: "n1", put: [], removed: [ip] };
  t.same(tell([keys.host("h2"), west], [keys.endpoint("n1", "web"), web]), [known]);
  t.same(tell([keys.host("h2"), undefined]), [unknown], "its record is gone, and its endpoint is there");
  t.same(tell([keys.host("h2"), west]), [known], "it is a host again");
  t.same(tell([keys.endpoint("n1", "web"), undefined]), [unknown]);
  t.end();
});
