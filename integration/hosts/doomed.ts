// A host whose daemon is killed at one step after the other, and what has to be so after each.
import type { Test } from "tap";
import { EtcdGate } from "../lab/etcd-gate.js";
import type { GateTrap } from "../lab/etcd-gate-child.js";
import { BareHost, until, type Pontoon } from "../lab/index.js";
import { clusterOf, create, type ClusterHost, type ClusterLab } from "./hosts.js";

/** Something that its user asks for. */
export interface Step {
  readonly name: string;
  readonly path: string;
  readonly body: unknown;
  /** What the daemon may say when it has been done, and nobody has heard of it. */
  readonly done: RegExp;
  /** Which networks the sandbox is on then. */
  readonly then: string;
}

const sandbox = "one";

export const steps = {
  createNetwork: {
    name: "network create",
    path: "/v1/networks",
    body: { name: "third", driver: "overlay" },
    done: /NAME_TAKEN/,
    then: "",
  },
  removeNetwork: {
    name: "network rm",
    path: "/v1/networks/remove",
    body: { name: "third" },
    done: /NETWORK_UNKNOWN/,
    then: "",
  },
  create: {
    name: "sandbox create",
    path: "/v1/sandboxes",
    body: { name: sandbox, networks: ["demo"] },
    done: /NAME_TAKEN/,
    then: "demo",
  },
  connect: {
    name: "network connect",
    path: "/v1/networks/connect",
    body: { network: "second", sandbox },
    done: /ALREADY_CONNECTED/,
    then: "demo second",
  },
  disconnect: {
    name: "network disconnect",
    path: "/v1/networks/disconnect",
    body: { network: "second", sandbox },
    done: /NOT_CONNECTED/,
    then: "demo",
  },
  remove: {
    name: "sandbox rm",
    path: "/v1/sandboxes/remove",
    body: { name: sandbox },
    done: /SANDBOX_UNKNOWN/,
    then: "",
  },
} as const satisfies Record<string, Step>;

/** Of another daemon, while the one that it follows is gone. */
type Environment = Readonly<Record<string, string>>;

/** Host 2, whose daemon asks etcd through a gate. `demo` and `second` are there, and `web` of host 1 is on `demo`. */
export class Doomed {
  #pontoon: Pontoon | undefined;

  private constructor(
    private readonly t: Test,
    private readonly lab: ClusterLab,
    private readonly host: BareHost,
    private readonly gate: EtcdGate,
  ) {}

  /** @param east host 1 */
  static async start(t: Test, lab: ClusterLab, east: ClusterHost): Promise<Doomed> {
    const host = await BareHost.start(t, { uplink: lab.underlay.uplink(2) });
    const doomed = new Doomed(t, lab, host, await EtcdGate.start(host, lab.etcd.uplink(1).address));
    await doomed.restart();
    for (const name of ["demo", "second"])
      t.equal(await doomed.#ask("/v1/networks", { name, driver: "overlay" }), "", name);
    await until(async () => (await create(east, "web")) === "", { what: "the other host is on the network" });
    return doomed;
  }

  get #daemon(): Pontoon {
    return this.#pontoon!;
  }

  /** Whether the daemon has ended. */
  get isDead(): boolean {
    return this.#daemon.exitCode !== undefined;
  }

  /** Starts another daemon, which has joined when this returns. */
  async restart(): Promise<void> {
    await this.kill();
    await this.#start({});
  }

  /** As {@link restart}, of one that ends by itself before so many of the kernel's steps: it may have ended by then. */
  async restartToEndAt(step: number): Promise<void> {
    await this.kill();
    await this.#start({ PONTOON_KILL_AT_STEP: String(step) }).catch((error: unknown) => {
      if (this.#pontoon && !this.isDead) throw error;
    });
  }

  /** As {@link restart}, of one that is killed on the way. @returns whether it came to that */
  async restartInto(trap: GateTrap): Promise<boolean> {
    await this.kill();
    const start = async () => {
      await this.#start({});
      await this.#untilAgreed("come back");
      return true;
    };
    const kill = async () => {
      await until(() => this.#pontoon !== undefined, { what: "it can be killed" });
      await this.kill();
    };
    return (await this.gate.during(trap, start, kill)) === undefined;
  }

  async #start(env: Environment): Promise<void> {
    this.#pontoon = undefined;
    const args = ["--store", this.gate.url, "--advertise", this.lab.underlay.uplink(2).address];
    const started = await this.host.pontoon({ args, env });
    this.#pontoon = started;
    const hasJoined = async () => started.exitCode !== undefined || (await clusterOf(started)).state === "joined";
    await until(hasJoined, { what: "it has joined", timeoutMs: 20_000 });
  }

  /** Ends the daemon, if it has not ended. */
  async kill(): Promise<void> {
    await this.#pontoon?.kill();
  }

  /** @returns what is wrong, or nothing */
  do({ path, body }: Step): Promise<string> {
    return this.#ask(path, body);
  }

  /** As {@link do}, with a daemon that is killed on the way. @returns whether it came to that */
  async doInto(step: Step, trap: GateTrap, what: string): Promise<boolean> {
    const said = await this.gate.during(
      trap,
      () => this.do(step),
      () => this.kill(),
    );
    if (said !== undefined) this.t.equal(said, "", `${what}: there is none`);
    return said === undefined;
  }

  async #ask(path: string, body: unknown): Promise<string> {
    const answer = await this.#daemon.post(path, body);
    return answer.status < 300 ? "" : answer.body;
  }

  /** As {@link do}, with a daemon that may end by itself. @returns whether it has */
  async doOrEnd(step: Step, what: string): Promise<boolean> {
    try {
      this.t.equal(await this.do(step), "", what);
      return false;
    } catch {
      await until(() => this.isDead, { what: "it has ended" });
      return true;
    }
  }

  /** Whoever asked and has not heard asks again. */
  async repeat(step: Step, what: string): Promise<void> {
    const said = await this.do(step);
    if (said !== "") this.t.match(said, step.done, `${what}: it is done, or can be`);
  }

  /** What the daemon says, what the store has, and what is in the kernel are one; nothing else is taken. */
  async agree(step: Step, what: string): Promise<void> {
    const networks = (await this.#networks()).map(({ network }) => network);
    this.t.equal(networks.sort().join(" "), step.then, `${what}: what the daemon says`);
    await this.#untilAgreed(what);
  }

  async #untilAgreed(what: string): Promise<void> {
    const probe = async () => {
      const wanted = (await this.#networks()).map(({ ipv4 }) => ipv4).sort();
      const seen = { kernel: await this.#inKernel(), store: await this.#inStore(), taken: await this.taken() };
      const right = { kernel: wanted, store: wanted, taken: await this.#rightlyTaken() };
      if (JSON.stringify(seen) !== JSON.stringify(right)) throw new Error(JSON.stringify({ seen, right }));
      return true;
    };
    await until(probe, { what: `${what}: daemon, store and kernel agree`, timeoutMs: 10_000 });
  }

  async #networks(): Promise<{ network: string; ipv4: string }[]> {
    const { body } = await this.#daemon.get("/v1/sandboxes");
    const all = JSON.parse(body) as { name: string; networks: { network: string; ipv4: string }[] }[];
    return all.find(({ name }) => name === sandbox)?.networks ?? [];
  }

  /** Its addresses; links that are not theirs are told, too. */
  async #inKernel(): Promise<string[]> {
    const { stdout } = await this.host.exec(["sh", "-c", look]);
    const [addresses = "", links = ""] = stdout.split("--\n").map((text) => text.trim());
    const here = lines(addresses)
      .map((line) => line.split("/")[0]!)
      .sort();
    // A bridge and a VXLAN link for each.
    return lines(links).length === 2 * here.length ? here : [...here, links];
  }

  async #inStore(): Promise<string[]> {
    const own = (await this.lab.endpoints()).filter(({ name }) => name !== "web");
    return own.map(({ ipv4 }) => ipv4).sort();
  }

  /** Names, VNIs, subnets and addresses that nobody else can have. */
  async taken(): Promise<string[]> {
    const subnets = Object.keys(JSON.parse(await this.lab.value("taken/subnets")) as object);
    return [...(await this.lab.keys("taken/")), ...subnets.map((id) => `subnets of ${id}`)].sort();
  }

  /** What ought to be, for the networks and endpoints that there are. */
  async #rightlyTaken(): Promise<string[]> {
    const networks = await this.lab.networks();
    const endpoints = await this.lab.endpoints();
    return [
      "taken/subnets",
      ...[1, 2].map((number) => `taken/underlays/${this.lab.underlay.uplink(number).address}`),
      ...networks.flatMap(({ id, name, vni }) => [
        `taken/network-names/${name}`,
        `taken/vnis/${vni}`,
        `subnets of ${id}`,
      ]),
      ...endpoints.map(({ network, ipv4 }) => `taken/addresses/${network}/${ipv4}`),
    ].sort();
  }
}

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

/** Addresses in the sandbox, and bridges and VXLAN links of overlay networks. */
const look = `
if [ -e /run/netns/${sandbox} ]; then
  ip -n ${sandbox} -4 -o address show scope global | while read -r index link family address rest; do echo "$address"; done
fi
echo --
for each in /sys/class/net/pt-* /sys/class/net/pvx-*; do if [ -e "$each" ]; then echo "\${each##*/}"; fi; done`;

/** What a kernel was told of endpoints of other hosts. */
export async function neighboursOn({ host }: ClusterHost): Promise<string> {
  return (await host.exec(["ip", "neigh", "show", "nud", "permanent"])).stdout.trim();
}
