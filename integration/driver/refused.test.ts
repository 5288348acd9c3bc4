// What cannot be is refused in one sentence, by `docker` and at the plugin's socket, and nothing is left of it.
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import t, { type Test } from "tap";
import { until } from "../lab/index.js";
import { requestUnix } from "../lab/unix-http.js";
import { docker, inside, marksOn, networkOn, placeWith, runOn, tryDocker } from "./place.js";

const bridge = "com.docker.network.bridge";
const network = "com.docker.network";

const badOptions = [
  "typo=1",
  "pontoon.driver=macvlan",
  "pontoon.driver=",
  "pontoon.ports=maybe",
  "pontoon.publish-internal=perhaps",
  "pontoon.publish-internal=true",
  ...["lo", "outside", "docker0", "own-front", "a/b", "a:b", "%d", "..", "x".repeat(16)].map(
    (name) => `${bridge}.name=${name}`,
  ),
  ...["", "maybe", "2"].flatMap((value) => [
    `${bridge}.enable_icc=${value}`,
    `${bridge}.enable_ip_masquerade=${value}`,
  ]),
  ...["", "foo", "1.2.3", "fe80::1%eth0"].map((ip) => `${bridge}.host_binding_ipv4=${ip}`),
  ...["", "foo", "fd00::1", "10.9.0.1/24"].map((ip) => `${network}.host_ipv4=${ip}`),
  ...["", "1.2.3.4"].map((ip) => `${network}.host_ipv6=${ip}`),
  ...["", "many", "-1", "0", "67", "65536", "1e3", "9".repeat(20)].map((mtu) => `${network}.driver.mtu=${mtu}`),
  ...["a/b", "%d", "x".repeat(13)].map((prefix) => `${network}.container_iface_prefix=${prefix}`),
];

/** With Docker's own IPAM driver, and with pontoon's. */
const badSubnets = [
  "--subnet 10.9.1.0/24 --gateway 10.9.1.255",
  "--subnet 10.9.1.0/24 --gateway 10.9.1.0",
  "--subnet 10.9.1.0/32",
  "--subnet 0.0.0.0/0",
  "--subnet 127.0.0.0/16",
  "--subnet 224.0.0.0/24",
  "--subnet 169.254.7.0/24",
  "--subnet 172.17.9.0/24",
  "--subnet 10.66.0.0/16",
  "--ipv6 --subnet fe80::/64",
  "--ipv6 --subnet ff05::/64",
  `--ipv6 --subnet 10.9.1.0/24 --subnet fd09::/64 -o ${network}.driver.mtu=1279`,
];
const badForOurs = ["--ipam-opt foo=bar"];

const place = await placeWith(t, "pontoon");
const pontoon = place.pontoon!;
await pontoon.cli("network", "create", "own", "--subnet", "10.66.0.0/24", "--bridge-name", "own-front");
await networkOn(place, "one", "--subnet 10.9.0.0/24");
const before = await marksOn(place);

/** @param theirs Docker may refuse it before it asks */
async function isRefused(t: Test, line: string, theirs = false): Promise<void> {
  const { exitCode, stderr } = await tryDocker(place, line);
  t.not(exitCode, 0, line);
  const lines = stderr.split("\n"); // the command may say first that it waits for its container no more
  const said = lines.find((line) => line.includes("Error response from daemon: ")) ?? lines[0]!;
  const origin = theirs ? "(remote: )?" : "(failed to [^:]+: ){0,2}remote: ";
  t.match(said, new RegExp(`^(docker: )?Error response from daemon: ${origin}[^\\n[\\]{}]{10,600}$`), said);
  t.notMatch(said, /undefined|object Object|EINVAL|--snat|--host-binding/);
}

async function isAsBefore(t: Test): Promise<void> {
  await until(async () => (await marksOn(place)) === before, { what: "the host is as it was" }).catch(() => undefined);
  t.equal(await marksOn(place), before, "nothing is left");
}

t.test("options of networks", async (t) => {
  for (const option of badOptions) await isRefused(t, `network create -d pontoon -o ${option} bad`);
  const { stderr } = await tryDocker(place, "network create -d pontoon -o typo=1 bad");
  for (const known of [`${bridge}.name`, `${network}.driver.mtu`, "pontoon.ports"]) t.match(stderr, known);
  await isAsBefore(t);
});

t.test("subnets", async (t) => {
  for (const options of badSubnets) {
    await isRefused(t, `network create -d pontoon ${options} bad`, true);
    await isRefused(t, `network create -d pontoon --ipam-driver pontoon ${options} bad`);
  }
  for (const options of badForOurs)
    await isRefused(t, `network create -d pontoon --ipam-driver pontoon ${options} bad`);
  await isRefused(t, "network create -d pontoon --ipam-driver null bad");
  await isAsBefore(t);
  await networkOn(place, "good", "--ipam-driver pontoon --subnet 10.9.1.0/24");
  await docker(place, "network rm good");
});

t.test("options of containers", async (t) => {
  for (const name of ["a/b", "lo", "%d", "x".repeat(16)])
    await isRefused(t, `run --rm --network name=one,driver-opt=${network}.endpoint.ifname=${name} busybox true`);
  for (const MacAddress of ["01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"]) {
    await place.host.engine.post("/containers/create?name=bad", {
      Image: "busybox",
      Cmd: ["true"],
      MacAddress,
      HostConfig: { NetworkMode: "one" },
    });
    await isRefused(t, "start bad");
    await docker(place, "rm -f bad");
  }
  await isAsBefore(t);
});

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function call(method: string, body: unknown): Promise<Reply> {
  const payload = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  const socket = place.host.path("/run/docker/plugins/pontoon.sock");
  const { status, body: said } = await requestUnix(socket, `/${method}`, { method: "POST", body: payload });
  return { status, body: JSON.parse(said) as Reply["body"] };
}

/** What is answered to the announcement of so many bytes. */
async function announced(method: string, length: number): Promise<string> {
  const socketPath = place.host.path("/run/docker/plugins/pontoon.sock");
  const asked = request({ socketPath, path: `/${method}`, method: "POST", headers: { "content-length": length } });
  asked.flushHeaders();
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  const [bytes] = (await once(answer, "data")) as [Buffer];
  asked.on("error", () => undefined).destroy();
  return bytes.toString();
}

const network64 = "ab".repeat(32);
const endpoint64 = "cd".repeat(32);
const ids = { NetworkID: network64, EndpointID: endpoint64 };

/** Methods that are asked with something, and what each needs. */
const needs = {
  "NetworkDriver.CreateNetwork": ["NetworkID"],
  "NetworkDriver.DeleteNetwork": ["NetworkID"],
  "NetworkDriver.CreateEndpoint": ["NetworkID", "EndpointID"],
  "NetworkDriver.DeleteEndpoint": ["NetworkID", "EndpointID"],
  "NetworkDriver.EndpointOperInfo": ["NetworkID", "EndpointID"],
  "NetworkDriver.Join": ["NetworkID", "EndpointID", "SandboxKey"],
  "NetworkDriver.Leave": ["NetworkID", "EndpointID"],
  "NetworkDriver.ProgramExternalConnectivity": ["NetworkID", "EndpointID"],
  "NetworkDriver.RevokeExternalConnectivity": ["NetworkID", "EndpointID"],
  "IpamDriver.RequestPool": [],
  "IpamDriver.ReleasePool": ["PoolID"],
  "IpamDriver.RequestAddress": ["PoolID"],
  "IpamDriver.ReleaseAddress": ["PoolID", "Address"],
} as const;
const complete = { ...ids, SandboxKey: "/run/netns/none", PoolID: "10.9.7.0/24", Address: "10.9.7.1" };

t.test("the socket: what is no call", async (t) => {
  const texts = ["", " ", "{", "null", "[]", "1", '"x"', "\0", "[".repeat(100_000), `{"a":"${"x".repeat(1 << 20)}`];
  for (const [method, fields] of Object.entries(needs)) {
    const problem = method.startsWith("Ipam") ? "Error" : "Err";
    const bodies: unknown[] = [
      ...texts.map((text) => (text === "" ? undefined : Buffer.from(text))),
      ...fields.flatMap((field) =>
        [undefined, null, 1, {}, [], true].map((value) => ({ ...complete, [field]: value })),
      ),
      ...(fields as readonly string[]).flatMap((field) =>
        field.endsWith("workID") || field === "EndpointID"
          ? ["", "../../etc", "a b", "x".repeat(65)].map((value) => ({ ...complete, [field]: value }))
          : [],
      ),
    ];
    for (const body of bodies) {
      const { body: said } = await call(method, body);
      const what = `${method} ${(Buffer.isBuffer(body) ? body.toString() : (JSON.stringify(body) ?? "")).slice(0, 80)}`;
      t.same(Object.keys(said), [problem], what);
      t.match(said[problem], /^.{10,}$/, what);
    }
  }
  await isAsBefore(t);
});

t.test("the socket: calls with what cannot be", async (t) => {
  const refused: [string, object][] = [
    ["NetworkDriver.CreateNetwork", { NetworkID: network64, IPv4Data: {} }],
    ["NetworkDriver.CreateNetwork", { NetworkID: network64, IPv4Data: [{ Pool: "foo" }] }],
    [
      "NetworkDriver.CreateNetwork",
      { NetworkID: network64, IPv4Data: [{ Pool: "10.9.1.0/24", Gateway: "10.9.2.1/24" }] },
    ],
    ["NetworkDriver.CreateNetwork", { NetworkID: network64, IPv4Data: Array(65).fill({ Pool: "10.9.1.0/24" }) }],
    ...[[1], "x", { a: 1 }, { [`${network}.driver.mtu`]: 1500 }].map((generic): [string, object] => [
      "NetworkDriver.CreateNetwork",
      { NetworkID: network64, Options: { [`${network}.generic`]: generic }, IPv4Data: [{ Pool: "10.9.1.0/24" }] },
    ]),
    ["NetworkDriver.CreateEndpoint", ids],
    ["NetworkDriver.Join", { ...ids, SandboxKey: "/run/netns/none" }],
    ["NetworkDriver.ProgramExternalConnectivity", ids],
    ["IpamDriver.RequestPool", { Pool: "foo" }],
    ["IpamDriver.RequestPool", { Pool: "10.9.1.0/99" }],
    ["IpamDriver.RequestPool", { Pool: "10.9.1.0/24", SubPool: "10.9.2.0/25" }],
    ["IpamDriver.RequestPool", { Pool: "10.9.1.0/24", Options: { a: "b" } }],
    ["IpamDriver.RequestPool", { Pool: "10.9.1.0/24", V6: "yes" }],
    ["IpamDriver.RequestAddress", { PoolID: "foo" }],
    ["IpamDriver.RequestAddress", { PoolID: "10.9.1.0/24,10.9.2.0/25" }],
    ["IpamDriver.RequestAddress", { PoolID: "10.9.1.0/24,10.9.1.0/25,x" }],
  ];
  for (const [method, body] of refused) {
    const { body: said } = await call(method, body);
    t.match(said.Err ?? said.Error, /^[^\n]{10,600}$/, `${method} ${JSON.stringify(body).slice(0, 150)}`);
  }
  t.match(JSON.parse(await announced("NetworkDriver.Join", (32 << 20) + 1)), { Err: /too large/, Error: /too large/ });
  t.match((await call("NetworkDriver.NoSuch", {})).body.Err, "no method");
  // What was refused keeps no daemon from starting.
  t.equal(await pontoon.stop(), 0);
  t.equal(await (await place.host.pontoon()).stop(), 0);
  await place.host.pontoon();
  await isAsBefore(t);
});

t.test("the socket: every call twice", async (t) => {
  await place.host.exec("ip netns add twice".split(" "));
  const twice = async (method: string, body: object): Promise<unknown> => {
    const first = await call(method, body);
    t.same(await call(method, body), first, method);
    t.notOk(first.body.Err ?? first.body.Error, method);
    return first.body;
  };
  await twice("Plugin.Activate", {});
  t.same(await twice("IpamDriver.RequestPool", { Pool: "10.9.1.0/24" }), {
    PoolID: "10.9.1.0/24",
    Pool: "10.9.1.0/24",
    Data: {},
  });
  const gateway = { PoolID: "10.9.1.0/24", Options: { RequestAddressType: `${network}.gateway` } };
  t.match(await twice("IpamDriver.RequestAddress", gateway), { Address: "10.9.1.1/24" });
  const pool = { Pool: "10.9.1.0/24", Gateway: "10.9.1.1/24" };
  await twice("NetworkDriver.CreateNetwork", { NetworkID: network64, Options: null, IPv4Data: [pool], IPv6Data: null });
  t.match(await twice("NetworkDriver.CreateEndpoint", { ...ids, Interface: { Address: "10.9.1.2/24" } }), {
    Interface: { MacAddress: "02:42:0a:09:01:02" },
  });
  await twice("NetworkDriver.EndpointOperInfo", ids);
  for (const time of ["first", "again"]) {
    t.same(
      await twice("NetworkDriver.Join", { ...ids, SandboxKey: "/run/netns/twice" }),
      { InterfaceName: { SrcName: "ptccdcdcdcdcdcd", DstPrefix: "eth" }, Gateway: "10.9.1.1" },
      time,
    );
    await place.host.exec("ip link show ptccdcdcdcdcdcd".split(" "));
    await twice("NetworkDriver.ProgramExternalConnectivity", ids);
    await twice("NetworkDriver.RevokeExternalConnectivity", ids);
    await twice("NetworkDriver.Leave", ids);
  }
  await twice("NetworkDriver.DeleteEndpoint", ids);
  await twice("NetworkDriver.DeleteNetwork", { NetworkID: network64 });
  await twice("IpamDriver.ReleaseAddress", { PoolID: "10.9.1.0/24", Address: "10.9.1.1" });
  await twice("IpamDriver.ReleasePool", { PoolID: "10.9.1.0/24" });
  await isAsBefore(t);
});

t.test("after all that a container starts", async (t) => {
  await runOn(place, "good", "--network one");
  t.ok((await inside(place, "good")).includes("default via 10.9.0.1 dev eth0"));
});
