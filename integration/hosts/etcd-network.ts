import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { joinNamespace } from "../../linux/enter-namespace.js";
import type { TestOwner } from "../lab/index.js";
import { runCommand } from "../lab/command.js";
import type { EtcdPlace } from "../lab/etcd.js";
import { until } from "../lab/until.js";

/** Which packets between this process and the members are dropped. */
export type Cut = "both ways" | "answers";

/**
 * A network namespace for each member, joined by a bridge in one that this process goes into, for good: what is dropped here is
 * dropped for the test alone, and the members go on seeing each other.
 */
export class EtcdNetwork {
  private constructor(readonly places: readonly (EtcdPlace & { readonly netns: string })[]) {}

  static async create(owner: TestOwner, members: number): Promise<EtcdNetwork> {
    joinNamespace(await makeNamespace(owner));
    await ip("link set lo up");
    await ip("link add members type bridge");
    await ip("address add 10.99.0.1/24 dev members");
    await ip("link set members up");
    const places = [];
    for (let index = 1; index <= members; index++) {
      const netns = await makeNamespace(owner);
      const address = `10.99.0.${10 + index}`;
      await ip(`link add member${index} type veth peer name eth0 netns ${netns}`);
      await ip(`link set member${index} master members up`);
      await inside(netns, "ip link set lo up");
      await inside(netns, `ip address add ${address}/24 dev eth0`);
      await inside(netns, "ip link set eth0 up");
      places.push({ address, netns });
    }
    return new EtcdNetwork(places);
  }

  /** Drops packets between this process and all members, until {@link mend}. */
  async cut(which: Cut): Promise<void> {
    const hooks = which === "answers" ? ["input"] : ["input", "output"];
    await drop(undefined, hooks, "iifname members drop", "oifname members drop");
  }

  /** Drops what a member and the others say to each other, until {@link mend}; clients reach it still. */
  async isolate(member: number): Promise<void> {
    const peers = "tcp sport 2380 drop; tcp dport 2380 drop";
    await drop(this.places[member]!.netns, ["input", "output"], peers, peers);
  }

  /** Drops nothing any more. */
  async mend(): Promise<void> {
    for (const netns of [undefined, ...this.places.map((place) => place.netns)])
      await inside(netns, "nft flush ruleset");
  }
}

async function drop(netns: string | undefined, hooks: readonly string[], input: string, output: string): Promise<void> {
  const chains = hooks.map((hook) => {
    const rules = hook === "input" ? input : output;
    return `chain ${hook} { type filter hook ${hook} priority 0;\n${rules};\n}`;
  });
  const argv = ["nft", `table inet cut {\n${chains.join("\n")}\n}`];
  await runCommand(enter(netns, argv));
}

function ip(line: string): Promise<unknown> {
  return runCommand(["ip", ...line.split(" ")]);
}

function inside(netns: string | undefined, line: string): Promise<unknown> {
  return runCommand(enter(netns, line.split(" ")));
}

function enter(netns: string | undefined, argv: readonly string[]): string[] {
  return netns === undefined ? [...argv] : ["nsenter", `--net=${netns}`, "--", ...argv];
}

/** A namespace that lives no longer than this process, however that ends. */
async function makeNamespace(owner: TestOwner): Promise<string> {
  const own = (await namespaceOf("self")).stdout;
  const keeper: ChildProcess = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "ignore", "inherit"] });
  owner.teardown(async () => {
    const exit = once(keeper, "exit");
    keeper.stdin!.end();
    await exit;
  });
  await until(async () => (await namespaceOf(keeper.pid!)).stdout !== own, { what: "a namespace" });
  return `/proc/${keeper.pid}/ns/net`;
}

function namespaceOf(pid: number | "self"): ReturnType<typeof runCommand> {
  return runCommand(["readlink", `/proc/${pid}/ns/net`]);
}
