import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import t from "tap";
import { DockerHost, until, type Container, type DnsResponse, type Pontoon, type TestOwner } from "../lab/index.js";

/** Neither Docker's TTL (600 s) nor that of an answer passed on from Docker's resolver (5 s): tells whose records answered. */
const ownTtl = 7;
const config = `dns:\n  ttl: ${ownTtl}\n`;
const upstreamAddress = "10.77.0.2";

t.test("answers follow what happens to containers", async (t) => {
  const host = await hostWithUpstream(t);
  await Promise.all([
    host.exec(["sh", "-ec", "ip link add lan0 type veth peer name lan1; ip link set lan0 up; ip link set lan1 up"]),
    host.network("red", { subnet: "172.30.0.0/24" }),
  ]);
  const blue = await host.network("blue", { subnet: "172.31.0.0/24" });
  const lan = await host.network("lan", { driver: "macvlan", subnet: "172.29.0.0/24", options: { parent: "lan0" } });
  const target = (name: string) => host.container({ name, networks: [{ name: "red", aliases: [`${name}-alias`] }] });
  const [client, bystander, early] = await Promise.all([
    host.container({ name: "client", networks: ["red", "blue", "lan"] }),
    target("bystander"),
    target("early"),
  ]);
  const watch = await Watch.open(t, host, client);
  const pontoon = await host.pontoon({ config });
  await pontoon.answersIn(client, bystander, early);
  const late = await target("late");
  await pontoon.answersIn(late);

  for (const [when, container, name] of [
    ["before", early, "early"],
    ["after", late, "late"],
  ] as const)
    await t.test(`of one started ${when} the daemon`, async (t) => {
      const alias = `${name}-alias`;

      await t.test("a rename", async (t) => {
        const times: number[] = [];
        for (const [from, to] of [
          [name, "renamed"],
          ["renamed", "again"],
          ["again", name],
          [name, "renamed"],
          ["renamed", name],
        ] as const) {
          const ip = await container.ip("red");
          times.push(
            await watch.time(
              "rename",
              container,
              () => container.rename(to),
              () => watch.has(to, ip),
            ),
          );
          t.same((await client.dig(from)).addresses, [], "the old name is gone with it");
          t.ok(await watch.has(`${to}.red`, ip));
          t.match((await client.dig(`${ip.split(".").reverse().join(".")}.in-addr.arpa`, "PTR")).answers, {
            length: 1,
            0: { data: `${to}.red` },
          });
          t.ok(await watch.has(alias, ip), "its aliases stay");
        }
        tell(t, times);
      });

      for (const network of when === "before" ? [blue, lan] : [blue])
        await t.test(`joining and leaving the network ${network.name}`, async (t) => {
          const joined: number[] = [];
          const left: number[] = [];
          for (let turn = 0; turn < 5; turn++) {
            const extra = `${name}-on-${network.name}-${turn}`;
            const join = () => network.connect(container, { aliases: [extra] });
            joined.push(await watch.time("connect", container, join, () => watch.has(extra)));
            t.ok(await watch.has(extra, await container.ip(network.name)));
            t.ok(await watch.has(`${name}.${network.name}`, await container.ip(network.name)));
            t.ok(await watch.has(`${alias}.red`, await container.ip("red")));
            left.push(
              await watch.time(
                "disconnect",
                container,
                () => network.disconnect(container),
                () => watch.lacks(extra),
              ),
            );
            t.ok(await watch.lacks(`${name}.${network.name}`));
            t.ok(await watch.has(name, await container.ip("red")), "the other network's names stay");
          }
          tell(t, joined);
          tell(t, left);
        });

      await t.test("a pause changes nothing", async (t) => {
        const ip = await container.ip("red");
        await container.pause();
        t.ok(await watch.has(alias, ip));
        t.same((await container.dig("client")).addresses, [await client.ip("red")], "its own resolver goes on too");
        await container.unpause();
        t.ok(await watch.has(name, ip));
      });

      await t.test("stop, start, and a restart with another address", async (t) => {
        const gone: number[] = [];
        const back: number[] = [];
        const before = await container.ip("red");
        for (let turn = 0; turn < 3; turn++) {
          gone.push(
            await watch.time(
              "disconnect",
              container,
              () => container.stop(),
              () => watch.lacks(name),
            ),
          );
          t.ok(await watch.lacks(alias));
          const thief =
            turn < 2 ? undefined : await host.container({ name: "thief", networks: [{ name: "red", ip: before }] });
          back.push(
            await watch.time(
              "start",
              container,
              () => container.start(),
              () => watch.has(alias),
            ),
          );
          const ip = await container.ip("red");
          for (const known of [name, alias, `${name}.red`]) t.ok(await watch.has(known, ip), known);
          if (thief === undefined) continue;
          t.not(ip, before, "it has another address now");
          t.ok(await watch.has("thief", before));
          t.match((await client.dig(`${before.split(".").reverse().join(".")}.in-addr.arpa`, "PTR")).answers, {
            length: 1,
            0: { data: "thief.red" },
          });
          await thief.remove();
        }
        await container.restart();
        const ip = await container.ip("red");
        await until(() => watch.has(alias, ip), { what: "it is back after docker restart" });
        tell(t, gone);
        tell(t, back);
      });

      await t.test("removal", async (t) => {
        const times = [
          await watch.time(
            "disconnect",
            container,
            () => container.remove(),
            () => watch.lacks(alias),
          ),
        ];
        for (let turn = 0; turn < 2; turn++) {
          const brief = await target(`${name}-brief`);
          await until(() => watch.has(`${name}-brief-alias`), { what: "a new container resolves" });
          times.push(
            await watch.time(
              "disconnect",
              brief,
              () => brief.remove(),
              () => watch.lacks(`${name}-brief-alias`),
            ),
          );
        }
        t.ok(await watch.lacks(name));
        tell(t, times);
      });
    });

  await t.test("a container that ends by itself is forgotten, one that Docker restarts comes back", async () => {
    const short = await host.container({ name: "short", networks: ["red"], command: ["sleep", "0.3"] });
    await until(() => watch.has("short"), { what: "it resolves while it runs" });
    await until(() => watch.lacks("short"), { what: "it no longer does once it has ended" });
    await short.remove();
    const phoenix = await host.container({ name: "phoenix", networks: ["red"], options: ["--restart=always"] });
    await until(() => watch.has("phoenix"), { what: "it resolves" });
    const pid = await phoenix.pid();
    await host.signal("SIGKILL", pid);
    await until(async () => (await phoenix.pid()) !== pid && (await watch.has("phoenix", await phoenix.ip("red"))), {
      what: "it is back",
    });
    await pontoon.answersIn(phoenix);
  });

  await t.test("a name that stays resolves all the while", async (t) => {
    const stop = (await client.probe()).digSteadily("bystander-alias", { everyMs: 3 });
    for (let turn = 0; turn < 2; turn++) {
      await bystander.rename(`bystander${turn}`);
      await blue.connect(bystander);
      const passerby = await host.container({ networks: [{ name: "red", aliases: ["passerby"] }] });
      await passerby.remove();
      await blue.disconnect(bystander);
    }
    const { sent, rcodes, errors } = await stop();
    t.same([rcodes, errors], [{ NOERROR: sent }, []]);
  });
});

t.test("answers follow what happens to networks", async (t) => {
  const host = await hostWithUpstream(t);
  await host.network("red");
  const client = await host.container({ name: "client", networks: ["red"] });
  const watch = await Watch.open(t, host, client);
  const pontoon = await host.pontoon({ config });
  await pontoon.answersIn(client);

  await t.test("a network removed and made again under the same name", async (t) => {
    const target = await host.container({ name: "target", networks: ["red"] });
    const times: number[] = [];
    for (const third of [1, 2, 3]) {
      const network = await host.network("again", { subnet: `172.20.${third}.0/24` });
      await network.connect(client);
      const ip = `172.20.${third}.77`;
      const join = () => network.connect(target, { ip, aliases: ["guest"] });
      times.push(await watch.time("connect", target, join, () => watch.has("guest", ip)));
      t.ok(await watch.has("target.again", ip));
      await network.disconnect(target);
      await network.disconnect(client);
      await network.remove();
      await until(() => watch.lacks("target.again"), { what: "the removed network's names are gone" });
    }
    tell(t, times);
    await until(async () => !(await recordsOf(pontoon)).includes("again"), { what: "nothing is left of it" });
  });

  await t.test("compose up and down", async (t) => {
    const times: number[] = [];
    for (let turn = 0; turn < 2; turn++) {
      const network = await host.network("shop_default", { labels: { "com.docker.compose.project": "shop" } });
      const app = await service(host, "app");
      await app.start();
      await pontoon.answersIn(app);
      const inside = await Watch.open(t, host, app);
      const db = await service(host, "db");
      times.push(
        await inside.time(
          "start",
          db,
          () => db.start(),
          () => inside.has("db"),
        ),
      );
      const ip = await db.ip("shop_default");
      for (const name of ["db", "shop-db-1", "db.shop_default", "shop-db-1.shop_default"])
        t.ok(await inside.has(name, ip), name);
      const second = await service(host, "db", 2);
      times.push(
        await inside.time(
          "start",
          second,
          () => second.start(),
          () => inside.has("shop-db-2"),
        ),
      );
      t.same([...(await app.dig("db")).addresses].sort(), [ip, await second.ip("shop_default")].sort());
      t.same((await client.dig("db.shop_default")).addresses, [], "outsiders see nothing of it");
      inside.close();
      for (const container of [second, db, app]) await container.stop();
      for (const container of [second, db, app]) await container.remove();
      await network.remove();
      await until(async () => !(await recordsOf(pontoon)).includes("shop_default"), { what: "nothing is left of it" });
    }
    tell(t, times);
  });

  await t.test("a joining container's name, once it resolves, goes on resolving", async (t) => {
    const blue = await host.network("blue");
    await blue.connect(client);
    const joiner = await host.container({ networks: [{ name: "red", aliases: ["newcomer"] }], start: false });

    await t.test("at its start, and again after a stop", async (t) => {
      for (let turn = 0; turn < 2; turn++) {
        t.equal(await timesLost(watch, "newcomer", () => joiner.start()), 0);
        t.ok((await timesLost(watch, "newcomer", () => joiner.restart())) <= 1, "a restart takes it away once at most");
        await joiner.stop();
        await until(() => watch.lacks("newcomer"), { what: "the stopped container is gone" });
      }
    });

    await t.test("at network connect", async (t) => {
      await joiner.start();
      const lost: number[] = [];
      for (let turn = 0; turn < 20; turn++) {
        lost.push(
          await timesLost(watch, `visitor${turn}`, () => blue.connect(joiner, { aliases: [`visitor${turn}`] })),
        );
        await blue.disconnect(joiner);
      }
      t.same(
        lost,
        Array.from({ length: 20 }, () => 0),
      );
    });
  });
});

/**
 * How often a name that resolved is denied, from a change on until it is in pontoon's own records. Of several clients
 * in a row, the one that saw it most often.
 */
async function timesLost(watch: Watch, name: string, change: () => Promise<void>): Promise<number> {
  let over = false;
  const sample = async () => {
    let lost = 0;
    for (let before = await watch.resolves(name); !over;) {
      const now = await watch.resolves(name);
      if (before && !now) lost++;
      before = now;
    }
    return lost;
  };
  const samples = [sample(), sample(), sample()];
  await change();
  await until(() => watch.has(name), { everyMs: 1, what: "the name is in pontoon's own records" });
  over = true;
  return Math.max(...(await Promise.all(samples)));
}

/** Said, not judged: how long things take is the benchmark's matter. */
function tell(t: { comment(text: string): unknown }, times: readonly number[]): void {
  t.comment(`right ${times.map((time) => time.toFixed(1)).join(", ")} ms after Docker's event`);
}

interface RawEvent {
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes: { container?: string } };
}

/** Docker's events, and what one container is answered meanwhile. */
class Watch {
  readonly #waiting: { action: string; id: string; seen: (at: number) => void }[] = [];

  private constructor(
    private readonly client: Container,
    private readonly stream: IncomingMessage,
  ) {
    createInterface({ input: stream }).on("line", (line) => this.#onEvent(JSON.parse(line) as RawEvent));
  }

  static async open(t: TestOwner, host: DockerHost, client: Container): Promise<Watch> {
    const outgoing = request({ socketPath: host.path("/run/docker.sock"), path: "/events" });
    outgoing.end();
    const [stream] = (await once(outgoing, "response")) as [IncomingMessage];
    const watch = new Watch(client, stream);
    t.teardown(() => Promise.resolve(watch.close()));
    await client.probe();
    return watch;
  }

  close(): void {
    this.stream.on("error", () => {}); // its end is what is wanted
    this.stream.destroy();
  }

  /** When the next such event about a container, or about it and a network, comes. */
  next(action: string, { id }: Container): Promise<number> {
    return new Promise((seen) => this.#waiting.push({ action, id, seen }));
  }

  /** Milliseconds from a change's event until the answer is right. */
  async time(
    action: string,
    container: Container,
    change: () => Promise<void>,
    isRight: () => Promise<boolean>,
  ): Promise<number> {
    const event = this.next(action, container);
    const changed = change();
    const at = await event;
    const rightAt = await firstRight(isRight);
    await changed;
    return rightAt - at;
  }

  /** Whether pontoon's own records have the name, with this address and no other if one is given. */
  async has(name: string, address?: string): Promise<boolean> {
    const { answers, addresses }: DnsResponse = await this.client.dig(name);
    const isOwn = answers.length > 0 && answers.every(({ ttl }) => ttl === ownTtl);
    return isOwn && (address === undefined || addresses.join() === address);
  }

  /** Whether the name has an address, whoever says so. */
  async resolves(name: string): Promise<boolean> {
    return (await this.client.dig(name)).addresses.length > 0;
  }

  /** Whether there is no such name. */
  async lacks(name: string): Promise<boolean> {
    return (await this.client.dig(name)).rcode === "NXDOMAIN";
  }

  #onEvent({ Type, Action, Actor }: RawEvent): void {
    const at = performance.now();
    const subject = Type === "network" ? Actor.Attributes.container : Actor.ID;
    const index = this.#waiting.findIndex(({ action, id }) => action === Action && id === subject);
    if (index >= 0) this.#waiting.splice(index, 1)[0]!.seen(at);
  }
}

/** When a question is first answered rightly. It is asked every 2 ms, also while earlier ones wait for their answers. */
async function firstRight(isRight: () => Promise<boolean>): Promise<number> {
  let rightAt = Infinity;
  const ask = () =>
    void isRight().then(
      (right) => (rightAt = Math.min(rightAt, right ? performance.now() : Infinity)),
      () => {},
    );
  ask();
  const timer = setInterval(ask, 2);
  try {
    await until(() => rightAt < Infinity, { everyMs: 1, what: "the right answer" });
  } finally {
    clearInterval(timer);
  }
  return rightAt;
}

async function hostWithUpstream(t: TestOwner): Promise<DockerHost> {
  const host = await DockerHost.start(t, { resolvConf: `nameserver ${upstreamAddress}\n` });
  await (await host.outside()).dns();
  return host;
}

/** A container as compose makes it, not started. */
function service(host: DockerHost, name: string, number = 1): Promise<Container> {
  return host.container({
    name: `shop-${name}-${number}`,
    networks: [{ name: "shop_default", aliases: [name, `shop-${name}-${number}`] }],
    options: ["--label=com.docker.compose.project=shop", `--label=com.docker.compose.service=${name}`],
    start: false,
  });
}

async function recordsOf(pontoon: Pontoon): Promise<string> {
  return (await pontoon.get("/v1/dns/records")).body;
}
