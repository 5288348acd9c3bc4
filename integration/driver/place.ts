import { DockerHost, type CommandResult, type Outside, type Pontoon, type TestOwner } from "../lab/index.js";
import { Talk } from "../networks/talk.js";

/** A Docker host, and the driver that its networks are to have. */
export interface Place {
  readonly driver: "bridge" | "pontoon";
  readonly host: DockerHost;
  readonly outside: Outside;
  readonly talk: Talk;
  /** The daemon, where the driver is its. */
  readonly pontoon: Pontoon | undefined;
}

/** Starts a host beside an outside with both families, and the daemon where its driver is wanted. */
export async function placeWith(owner: TestOwner, driver: Place["driver"]): Promise<Place> {
  const host = await DockerHost.start(owner, { resolvConf: "nameserver 10.77.0.2\n" });
  const outside = await host.outside();
  await outside.dns();
  await outside.joinIPv6("fd77");
  const pontoon = driver === "pontoon" ? await host.pontoon() : undefined;
  return { driver, host, outside, talk: new Talk(host), pontoon };
}

/** Runs a docker command, given as one line; failing is for the test to judge. */
export function tryDocker({ host }: Pick<Place, "host">, line: string): Promise<CommandResult> {
  return host.exec(["docker", ...line.split(" ")], { reject: false });
}

/** Runs a docker command that has to succeed, given as one line. @returns what it printed */
export function docker({ host }: Pick<Place, "host">, line: string): Promise<string> {
  return host.docker(...line.split(" "));
}

/** What a docker command says that is refused, in the words of the daemon; "" when it is not. */
export async function refusal(place: Pick<Place, "host">, line: string): Promise<string> {
  const { exitCode, stderr } = await tryDocker(place, line);
  if (exitCode === 0) return "";
  // The command may say first that it waits for its container no more.
  const lines = stderr.split("\n");
  const told = lines.find((line) => line.includes("Error response from daemon: ")) ?? lines[0]!;
  return told.replace(/^(docker: )?Error response from daemon: /, "");
}

/** Makes a network with the place's driver. @param options as `docker network create` has them */
export async function networkOn(place: Place, name: string, options = ""): Promise<void> {
  await docker(place, `network create -d ${place.driver} ${options} ${name}`.replaceAll(/ +/g, " "));
}

/** Starts a container that sleeps. @param options as `docker run` has them */
export async function runOn(place: Place, name: string, options: string): Promise<void> {
  await docker(place, `run -d --stop-signal KILL --name ${name} ${options} busybox sleep 1000000`);
}

interface LinkOfIp {
  ifname: string;
  address: string;
  mtu: number;
  addr_info: { local: string; prefixlen: number; scope: string }[];
}

interface RouteOfIp {
  dst: string;
  gateway?: string;
  dev: string;
}

/** Links, addresses and routes in a container, one line each, without what the kernel makes by itself. */
export async function inside({ host }: Pick<Place, "host">, container: string): Promise<string[]> {
  const script = "ip -json address; echo; ip -json route; echo; ip -json -6 route";
  const { stdout } = await host.exec(["sh", "-c", script], { netns: container });
  const [links = [], routes = [], routes6 = []] = stdout
    .trim()
    .split(/\n+/)
    .map((line) => JSON.parse(line.trim() === "" ? "[]" : line) as unknown[]);
  return [
    ...(links as LinkOfIp[])
      .filter(({ ifname }) => ifname !== "lo")
      .map(({ ifname, address, mtu, addr_info }) => {
        const own = addr_info.filter(({ scope }) => scope === "global");
        return [ifname, address, mtu, ...own.map(({ local, prefixlen }) => `${local}/${prefixlen}`)].join(" ");
      }),
    ...[...(routes as RouteOfIp[]), ...(routes6 as RouteOfIp[])]
      .filter(({ dst }) => !/^f[ef]/.test(dst))
      .map(({ dst, gateway, dev }) => `${dst}${gateway === undefined ? "" : ` via ${gateway}`} dev ${dev}`),
  ].sort();
}

interface EndpointOfInspect {
  IPAddress: string;
  IPPrefixLen: number;
  Gateway: string;
  GlobalIPv6Address: string;
  GlobalIPv6PrefixLen: number;
  IPv6Gateway: string;
  MacAddress: string;
}

/** A container's places on networks, as `docker inspect` tells them. */
export async function inspected({ host }: Pick<Place, "host">, container: string): Promise<string[]> {
  const text = await host.docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container);
  return Object.entries(JSON.parse(text) as Record<string, EndpointOfInspect>)
    .map(([name, it]) =>
      [
        name,
        it.MacAddress,
        `${it.IPAddress}/${it.IPPrefixLen} via ${it.Gateway}`,
        `${it.GlobalIPv6Address}/${it.GlobalIPv6PrefixLen} via ${it.IPv6Gateway}`,
      ].join(" "),
    )
    .sort();
}

/** Both of the above. */
export async function whereIs(place: Pick<Place, "host">, container: string): Promise<string[]> {
  return [...(await inside(place, container)), ...(await inspected(place, container))];
}

/** Whether one container reaches an address. */
export async function reaches({ host }: Pick<Place, "host">, container: string, target: string): Promise<boolean> {
  const argv = ["busybox", "ping", "-c", "1", "-W", "1", target];
  return (await host.exec(argv, { netns: container, reject: false })).exitCode === 0;
}

/** Gives a container's namespace a name to talk from. */
export async function nameFor({ host, talk }: Place, container: string): Promise<void> {
  const pid = await host.docker("inspect", "--format", "{{.State.Pid}}", container);
  await talk.end(container);
  talk.name(container, `/proc/${pid}/ns/net`);
}

/** What networks and containers make on a host, without what is counted. */
export async function marksOn({ host }: Pick<Place, "host">): Promise<string> {
  const look =
    "ip -o link | sed 's/^[0-9]*: //'; ip -o address | grep -v fe80 | sed 's/^[0-9]*: //; s/ valid_lft.*//'; nft list ruleset; docker network ls -q";
  const { stdout } = await host.exec(["sh", "-c", look]);
  return stdout
    .replaceAll(/counter packets \d+ bytes \d+| comment "pontoon network [^"]*"/g, "")
    .replaceAll(/state (DOWN|UP|UNKNOWN)|NO-CARRIER,|,LOWER_UP/g, "")
    .replaceAll(/table ip6? raw \{\n\tchain PREROUTING \{\n[^\n]*\n\t\}\n\}\n/g, ""); // Docker 28 makes it with a first port
}
