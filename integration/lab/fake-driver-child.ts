// A FAKE network and IPAM plugin of Docker's kind, for tests: it speaks the protocol as libnetwork's documents have it, makes
// veth pairs on a bridge by `ip`, gives addresses out one after the other, and misbehaves as it is told. It keeps nothing on disk.
import { execFileSync } from "node:child_process";
import { renameSync, rmSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";

/** How a method is answered, in place of what it would be. */
export type Behaviour =
  /** Never, and nothing is done. */
  | "hang"
  /** Never, after it was done. */
  | "hang-after"
  /** The connection is cut, after it was done. */
  | "cut"
  | { readonly status: number; readonly text: string; readonly isDone?: boolean };

export type FakeRequest =
  | { readonly kind: "listen"; readonly at: string | number }
  /** As a plugin that ends: a socket file stays, as after a crash. */
  | { readonly kind: "end"; readonly forgets: boolean }
  | { readonly kind: "behave"; readonly method: string; readonly how: Behaviour | undefined }
  | { readonly kind: "state" };

export interface FakeCall {
  readonly method: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What the plugin has. */
export interface FakeState {
  readonly networks: readonly string[];
  readonly endpoints: readonly string[];
  /** Of those, which have been joined. */
  readonly joined: readonly string[];
  readonly pools: readonly string[];
  readonly addresses: readonly string[];
  readonly calls: readonly FakeCall[];
}

type Body = Readonly<Record<string, unknown>> & {
  readonly NetworkID?: string;
  readonly EndpointID?: string;
  readonly PoolID?: string;
  readonly Address?: string;
  readonly Pool?: string;
  readonly V6?: boolean;
  readonly IPv4Data?: readonly { readonly Gateway?: string }[];
  readonly Interface?: { readonly Address: string };
};

const networks = new Map<string, string>();
const gateways = new Map<string, string>();
const endpoints = new Set<string>();
const joined = new Set<string>();
const pools = new Set<string>();
const addresses = new Set<string>();
const behaviours = new Map<string, Behaviour>();
const calls: FakeCall[] = [];
let server: Server | undefined;
/** Of which it listens at now. */
let socket: string | undefined;
let made = 0;

process.on("message", ({ id, request }: { id: number; request: FakeRequest }) => {
  void act(request).then(
    (reply) => process.send!({ id, reply }),
    (error: unknown) => process.send!({ id, error: String(error) }),
  );
});
process.on("disconnect", () => process.exit());

async function act(request: FakeRequest): Promise<FakeState | undefined> {
  switch (request.kind) {
    case "listen": {
      const { at } = request;
      socket = typeof at === "string" ? at : undefined;
      if (socket !== undefined) rmSync(socket, { force: true });
      server = createServer((asked, answer) => {
        let text = "";
        asked.on("data", (part: Buffer) => (text += part.toString()));
        asked.on("end", () => reply(asked.url!.slice(1), text, answer));
      });
      await new Promise<void>((resolve) =>
        typeof at === "string" ? server!.listen(at, resolve) : server!.listen(at, "127.0.0.1", resolve),
      );
      return undefined;
    }
    case "end":
      server?.closeAllConnections();
      if (socket !== undefined) renameSync(socket, `${socket}.stale`); // Node removes it by its name
      await new Promise((resolve) => server!.close(resolve));
      if (socket !== undefined) renameSync(`${socket}.stale`, socket);
      if (request.forgets) for (const each of [networks, endpoints, joined, pools, addresses]) each.clear();
      return undefined;
    case "behave":
      if (request.how === undefined) behaviours.delete(request.method);
      else behaviours.set(request.method, request.how);
      return undefined;
    case "state":
      return {
        networks: [...networks.keys()],
        endpoints: [...endpoints],
        joined: [...joined],
        pools: [...pools],
        addresses: [...addresses],
        calls,
      };
  }
}

function reply(method: string, text: string, answer: ServerResponse): void {
  const body = (text === "" ? {} : JSON.parse(text)) as Body;
  calls.push({ method, body });
  const how = behaviours.get(method);
  if (how === "hang") return;
  const send = (status: number, what: string) => answer.writeHead(status).end(what);
  if (typeof how === "object" && how.isDone !== true) return void send(how.status, how.text);
  try {
    const what = JSON.stringify(carryOut(method, body) ?? {});
    if (how === "hang-after") return;
    if (how === "cut") return void answer.destroy();
    if (typeof how === "object") return void send(how.status, how.text.replace("SRC", ends(body.EndpointID ?? "")[1]));
    send(200, what);
  } catch (error) {
    send(500, JSON.stringify({ Err: String(error) }));
  }
}

const ends = (id: string) => [`fkh${id.slice(0, 8)}`, `fkc${id.slice(0, 8)}`] as const;
const ip = (...args: string[]) => execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });

function carryOut(method: string, body: Body): object | undefined {
  const { NetworkID: network = "", EndpointID: endpoint = "", PoolID: pool = "" } = body;
  const bridge = `fkb${network.slice(0, 8)}`;
  switch (method) {
    case "Plugin.Activate":
      return { Implements: ["NetworkDriver", "IpamDriver"] };
    case "NetworkDriver.GetCapabilities":
      return { Scope: "local" };
    case "NetworkDriver.CreateNetwork": {
      const gateway = body.IPv4Data?.[0]?.Gateway;
      ip("link", "add", bridge, "type", "bridge");
      if (gateway !== undefined) ip("address", "add", gateway, "dev", bridge);
      ip("link", "set", bridge, "up");
      networks.set(network, bridge);
      if (gateway !== undefined) gateways.set(network, gateway.split("/")[0]!);
      return undefined;
    }
    case "NetworkDriver.DeleteNetwork":
      if (networks.delete(network)) ip("link", "delete", bridge);
      return undefined;
    case "NetworkDriver.CreateEndpoint":
      if (!networks.has(network)) throw new Error(`No such network ${network}`);
      endpoints.add(endpoint);
      return body.Interface?.Address === ""
        ? { Interface: { Address: `10.222.0.${++made}/16`, MacAddress: `02:42:de:00:00:0${made}` } }
        : {};
    case "NetworkDriver.Join": {
      const [host, other] = ends(endpoint);
      ip("link", "add", host, "type", "veth", "peer", "name", other);
      ip("link", "set", host, "master", bridge, "up");
      joined.add(endpoint);
      return { InterfaceName: { SrcName: other, DstPrefix: "fake" }, Gateway: gateways.get(network) ?? "" };
    }
    case "NetworkDriver.EndpointOperInfo":
      return { Value: { "fake.end": ends(endpoint)[0] } };
    case "NetworkDriver.ProgramExternalConnectivity":
    case "NetworkDriver.RevokeExternalConnectivity":
      return undefined;
    case "NetworkDriver.Leave":
      joined.delete(endpoint);
      return undefined;
    case "NetworkDriver.DeleteEndpoint":
      if (!endpoints.delete(endpoint)) throw new Error(`no endpoint ${endpoint}`);
      try {
        ip("link", "delete", ends(endpoint)[0]);
      } catch {
        // It was never joined.
      }
      return undefined;
    case "IpamDriver.GetCapabilities":
      return { RequiresMACAddress: true };
    case "IpamDriver.GetDefaultAddressSpaces":
      return { LocalDefaultAddressSpace: "fake-local", GlobalDefaultAddressSpace: "fake-global" };
    case "IpamDriver.RequestPool": {
      const subnet = body.Pool || (body.V6 ? "fd0f::/64" : "10.111.0.0/24");
      pools.add(subnet);
      return { PoolID: subnet, Pool: subnet, Data: {} };
    }
    case "IpamDriver.ReleasePool":
      pools.delete(pool);
      return undefined;
    case "IpamDriver.RequestAddress": {
      const [base = "", prefix = ""] = pool.split("/");
      for (let number = 1; ; number++) {
        const address =
          body.Address || base.replace(/(0|::)$/, (end) => (end === "0" ? String(number) : `::${number}`));
        if (addresses.has(address) && !body.Address) continue;
        addresses.add(address);
        return { Address: `${address}/${prefix}` };
      }
    }
    case "IpamDriver.ReleaseAddress":
      addresses.delete(body.Address ?? "");
      return undefined;
    default:
      throw new Error(`no method ${method}`);
  }
}
