// Labels, aliases and a hung daemon: what one container has keeps nobody else from being answered. How long the daemon's loop was
// held is told, not judged.
import t from "tap";
import { DockerHost, until, type Container, type Pontoon } from "../lab/index.js";
import { helperProgram } from "../lab/root.js";

interface Told {
  readonly containers: readonly { name: string; resolver: string; code?: string; reason: string }[];
  readonly loopDelay: { readonly max: number };
  readonly dns: { readonly pid: number };
}

const told = async (pontoon: Pontoon) => (await pontoon.status()) as unknown as Told;
const watched = { env: { PONTOON_WATCH_LOOP: "1" } };

t.jobs = 2;

t.test("a label that asks for hundreds of ports that another process has", { buffered: true }, async (t) => {
  const host = await DockerHost.start(t);
  const [first, count] = [21_000, 300];
  const squatter = host.helper<{ first: number; count: number }, { ports: number }>(helperProgram("squatter-child.js"));
  t.equal((await squatter.call({ first, count })).ports, count);
  await host.network("front");
  const bystander = await host.container({ name: "bystander", networks: ["front"] });
  const pontoon = await host.pontoon(watched);
  const before = (await told(pontoon)).loopDelay.max;
  await host.container({
    name: "web",
    networks: ["front"],
    options: [`--label=pontoon.publish=${first}-${first + count - 1}:${first}-${first + count - 1}`],
  });
  const rows = async () => JSON.parse((await pontoon.get("/v1/ports")).body) as { state: string; reason?: string }[];
  await until(async () => (await rows()).filter(({ reason }) => reason?.includes("held by ")).length === count, {
    what: "each port says who has it",
    timeoutMs: 120_000,
  });
  // Tried again meanwhile, and again.
  const retried = performance.now() + 11_000;
  await until(
    async () => {
      t.equal((await bystander.dig("bystander")).rcode, "NOERROR");
      return performance.now() > retried;
    },
    { what: "it was tried again", timeoutMs: 30_000 },
  );
  const { max } = (await told(pontoon)).loopDelay;
  t.comment(`the loop was held for ${max.toFixed(0)} ms at most (${before.toFixed(0)} ms before)`);
  await squatter.release();
  await until(async () => (await rows()).filter(({ state }) => state === "open").length === 2 * count, {
    what: "they are published when they are free",
    timeoutMs: 60_000,
  });
  await pontoon.stop();
});

/** Starts a container made through the API, which takes more than a command line does. */
async function withAliases(
  host: DockerHost,
  name: string,
  network: string,
  aliases: readonly string[],
): Promise<string> {
  const body = {
    Image: "busybox",
    Cmd: ["sleep", "1000000"],
    StopSignal: "KILL",
    HostConfig: { NetworkMode: network },
    NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: aliases } } },
  };
  const { Id } = (await host.engine.post(`/containers/create?name=${name}`, body)) as { Id: string };
  await host.engine.post(`/containers/${Id}/start`);
  return Id;
}

for (const [what, count] of [
  ["thousands of aliases", 5000],
  ["hundreds of thousands of aliases", 320_000],
] as const)
  t.test(`a container with ${what} is left to Docker, and nobody else notices`, { buffered: true }, async (t) => {
    const host = await DockerHost.start(t);
    await host.network("front");
    await host.network("back");
    const [neighbour, other] = [
      await host.container({ name: "neighbour", networks: ["front"] }),
      await host.container({ name: "other", networks: ["back"] }),
    ];
    const pontoon = await host.pontoon(watched);
    await pontoon.answersIn(neighbour, other);
    const { dns } = await told(pontoon);
    const aliases = Array.from({ length: count }, (_, index) => `alias-${index}`.padEnd(100, "x"));
    await withAliases(
      host,
      "large",
      "front",
      aliases.map((alias) => alias.slice(0, 60)),
    );
    const status = await pontoon.waitUntil(
      (status) =>
        (status as unknown as Told).containers.some(
          ({ name, code }) => name === "large" && code === "CONTAINER_TOO_LARGE",
        ),
      { timeoutMs: 60_000 },
    );
    t.match(
      (status as unknown as Told).containers.filter(({ name }) => name !== "large"),
      { length: 2, 0: { resolver: "pontoon" }, 1: { resolver: "pontoon" } },
    );
    for (const name of ["large", aliases[0]!.slice(0, 60), aliases.at(-1)!.slice(0, 60), "neighbour"])
      await until(async () => (await neighbour.dig(name, "A", { timeoutMs: 5000 })).answers.length === 1, {
        what: `${name} resolves, of whomever it is known`,
        timeoutMs: 20_000,
      });
    t.equal((await neighbour.dig("nobody", "A", { timeoutMs: 5000 })).answers.length, 0);
    t.equal((await other.dig("other")).answers.length, 1);
    const { loopDelay, dns: after } = await told(pontoon);
    t.equal(after.pid, dns.pid, "pontoon-dns is the same process");
    t.comment(`the loop was held for ${loopDelay.max.toFixed(0)} ms at most`);
    t.match(
      (await pontoon.cli("check")).stdout,
      /warning +containers +large: .*pontoon (keeps|reads)[^\n]*left to Docker/,
    );
    await host.engine.delete("/containers/large?force=true");
    await until(async () => (await neighbour.dig("large", "A", { timeoutMs: 5000 })).answers.length === 0, {
      what: "it is gone",
      timeoutMs: 20_000,
    });
    await pontoon.stop();
  });

t.test("a daemon that hangs counts as gone, until it goes on", { buffered: true }, async (t) => {
  const host = await DockerHost.start(t);
  await host.network("front");
  const neighbour = await host.container({ name: "neighbour", networks: ["front"] });
  const pontoon = await host.pontoon();
  await pontoon.answersIn(neighbour);
  const { dns } = await told(pontoon);
  const resolves = (name: string, what: string, from: Container = neighbour) =>
    until(async () => (await from.dig(name, "A", { timeoutMs: 3000 })).answers.length === 1, {
      what,
      timeoutMs: 20_000,
    });
  await host.signal("SIGSTOP", pontoon.pid);
  await host.container({ name: "newcomer", networks: ["front"] });
  await resolves("newcomer", "the newcomer's name resolves while the daemon hangs");
  await resolves("neighbour", "a known name goes on resolving");
  await host.container({ name: "second", networks: ["front"] });
  await host.signal("SIGCONT", pontoon.pid);
  await resolves("second", "and one that came meanwhile");
  const status = await pontoon.waitUntil(
    (status) =>
      status["ready"] === true &&
      (status as unknown as Told).containers.filter(({ resolver }) => resolver === "pontoon").length === 3,
    { timeoutMs: 30_000 },
  );
  t.equal((status as unknown as Told).dns.pid, dns.pid, "pontoon-dns is the same process");
  // With the gap closed nobody but pontoon is asked.
  await until(async () => (await neighbour.dig("second", "A")).answers[0]?.ttl === 5, {
    what: "pontoon answers by itself",
  });
  await pontoon.stop();
});
