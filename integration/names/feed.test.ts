import t from "tap";
import {
  DockerHost,
  until,
  type Container,
  type DockerHostOptions,
  type Pontoon,
  type TestOwner,
  type Upstream,
} from "../lab/index.js";

/** Neither Docker's TTL (600 s) nor that of an answer passed on from Docker's resolver (5 s): tells whose records answered. */
const ownTtl = 7;
const config = `dns:\n  ttl: ${ownTtl}\n`;
const upstreamAddress = "10.77.0.2";

t.test("a dockerd that is slow, stopped, killed or not there yet", async (t) => {
  const { host, upstream } = await hostWithUpstream(t, { liveRestore: true });
  await upstream.answer("example.test", "A", "192.0.2.1");
  const blue = await host.network("blue");
  const named = (name: string) => host.container({ name, networks: [{ name: "blue", aliases: [`${name}-alias`] }] });
  const [client, web, doomed, victim] = await Promise.all([
    named("client"),
    named("web"),
    named("doomed"),
    named("victim"),
  ]);
  const [webAddress, victimPid] = [await web.ip("blue"), await victim.pid()];

  await host.stopDockerd();
  const pontoon = await host.pontoon({ config });
  await t.test("a daemon that starts first waits, says so once, and takes dockerd up when it comes", async (t) => {
    await until(async () => (await dockerOf(pontoon)).state === "waiting", { what: "the status says that it waits" });
    const began = performance.now();
    await until(() => performance.now() - began > 800, { what: "it has tried several times" });
    t.equal(outages(pontoon), 1);
    t.match((await pontoon.cli("status")).stdout, /waiting/);
    await host.startDockerd();
    await pontoon.answersIn(client, web, doomed, victim);
    t.equal((await dockerOf(pontoon)).state, "following");
    t.equal(outages(pontoon), 1);
    t.same(await found(client, "web"), [await web.ip("blue")]);
  });

  await t.test("a dockerd that hangs stops no answer, and what it then does is seen", async (t) => {
    const probe = await client.probe();
    const stop = [
      probe.digSteadily("web-alias"),
      probe.digSteadily("example.test"),
      probe.digSteadily("web-alias", { type: "TXT", tcp: true }),
    ];
    const { pid } = host.dockerd;
    await host.signal("SIGSTOP", pid);
    const began = performance.now();
    const renamed = web.rename("slow");
    await until(() => performance.now() - began > 1_000, { what: "it hangs for a second" });
    await host.signal("SIGCONT", pid);
    for (const { sent, rcodes, errors } of await Promise.all(stop.map((end) => end())))
      t.same([rcodes, errors], [{ NOERROR: sent }, []]);
    await renamed;
    await until(async () => (await found(client, "slow")).length > 0, { what: "the new name resolves" });
    t.equal((await client.dig("web")).rcode, "NXDOMAIN");
    await web.rename("web");
    await until(async () => (await found(client, "web")).length > 0, { what: "the old name is back" });
    t.equal(outages(pontoon), 1, "nobody took it for gone");
  });

  for (const signal of ["SIGTERM", "SIGKILL"] as const)
    await t.test(`while dockerd is gone (${signal}), names are answered, and it is taken up again`, async (t) => {
      const before = outages(pontoon);
      const stop = (await client.probe()).digSteadily("web-alias");
      await host.stopDockerd({ signal });
      await until(async () => (await dockerOf(pontoon)).state === "waiting", { what: "the status says that it waits" });
      t.same(await found(client, "web"), [webAddress]);
      t.same((await client.dig("example.test")).addresses, ["192.0.2.1"], "other names are forwarded");
      await upstream.clear();
      for (const type of ["A", "TXT", "ANY", "UNKNOWN_65"]) await client.dig("web", type);
      t.same(await upstream.queries(), [], "local names are not");
      if (signal === "SIGKILL") await host.signal("SIGKILL", victimPid);

      await host.startDockerd();
      await until(async () => (await dockerOf(pontoon)).state === "following", { what: "dockerd is followed again" });
      const { sent, rcodes, errors } = await stop();
      t.same([rcodes, errors], [{ NOERROR: sent }, []], "names were answered all the while");
      t.equal(outages(pontoon), before + 1, "said once");
      const fresh = await named(`fresh-${signal.toLowerCase()}`);
      await pontoon.answersIn(fresh);
      t.same(await found(fresh, "client"), [await client.ip("blue")]);
      t.same(await found(client, await fresh.name()), [await fresh.ip("blue")]);
    });

  await t.test("a container that ended while dockerd was gone is forgotten", async () => {
    await until(async () => (await client.dig("victim")).rcode === "NXDOMAIN", {
      timeoutMs: 2_000,
      what: "its name is gone",
    });
  });

  await t.test("networks that changed while the daemon was not there", async (t) => {
    t.equal(await pontoon.stop(), 0);
    await doomed.remove();
    await blue.disconnect(web);
    await web.rename("moved");
    await blue.connect(web, { aliases: ["elsewhere"] });
    const again = await host.pontoon({ config });
    await again.answersIn(client, web);
    t.same(await found(client, "elsewhere"), [await web.ip("blue")]);
    t.same(await found(client, "moved"), [await web.ip("blue")]);
    for (const name of ["web", "web-alias", "doomed"]) t.equal((await client.dig(name)).rcode, "NXDOMAIN", name);
  });
});

t.test("containers with odd data, and such as vanish at once", async (t) => {
  const { host } = await hostWithUpstream(t, {});
  await host.network("blue");
  const client = await host.container({ name: "client", networks: ["blue"] });
  const early = await Promise.all([labelled(host, "early-labels"), aliased(host, "early-aliases")]);
  const pontoon = await host.pontoon({ config });
  await pontoon.answersIn(client, ...early);

  for (const [when, containers] of [
    ["before", () => Promise.resolve(early)],
    ["after", () => Promise.all([labelled(host, "late-labels"), aliased(host, "late-aliases")])],
  ] as const)
    await t.test(`started ${when} the daemon`, async (t) => {
      const [labels, aliases] = await containers();
      await pontoon.answersIn(labels, aliases);

      await t.test("labels that are called like what events tell", async (t) => {
        const name = await labels.name();
        t.same(await found(client, name), [await labels.ip("blue")]);
        await labels.rename(`${name}-renamed`);
        await until(async () => (await found(client, `${name}-renamed`)).length > 0, { what: "a rename is seen" });
        for (const label of ["evil", "other", "nobody"]) t.equal((await client.dig(label)).rcode, "NXDOMAIN", label);
        await labels.stop();
        await until(async () => (await client.dig(`${name}-renamed`)).rcode === "NXDOMAIN", { what: "a stop is seen" });
        t.same(await found(client, "client"), [await client.ip("blue")], "neighbours are as before");
      });

      await t.test("aliases that are hardly names", async (t) => {
        const name = await aliases.name();
        const ip = await aliases.ip("blue");
        for (const alias of [
          name,
          `${name}.blue`,
          `${name} two words`,
          `${name}-ünïcodé`,
          `${name}.with.dots`,
          `${name}_under`,
          `-${name}`,
          `*.${name}`,
          `${name}-dotted`,
          `${name.toUpperCase()}-SHOUTED`,
        ])
          t.same(await found(client, alias), [ip], alias);
        t.match((await client.dig(`${ip.split(".").reverse().join(".")}.in-addr.arpa`, "PTR")).answers, {
          length: 1,
          0: { data: `${name}.blue` },
        });
        t.match((await pontoon.get("/v1/dns/records")).body, name);
        t.equal((await pontoon.cli("dns", "records")).exitCode, 0);
        await aliases.remove();
        await until(async () => (await client.dig(`${name}_under`)).rcode === "NXDOMAIN", {
          what: "they go with the container",
        });
      });
    });

  await t.test("containers removed as soon as they are started", async (t) => {
    await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        host.docker(
          "run",
          "--rm",
          "--network=blue",
          `--network-alias=brief${index}`,
          `--name=brief${index}`,
          "busybox",
          "true",
        ),
      ),
    );
    const made = await Promise.all(
      Array.from({ length: 20 }, () =>
        host.engine.post("/containers/create", {
          Image: "busybox",
          Cmd: ["true"],
          HostConfig: { NetworkMode: "blue" },
        }),
      ),
    );
    await Promise.all(made.map((answer) => host.engine.delete(`/containers/${(answer as { Id: string }).Id}`)));
    const after = await host.container({ name: "after", networks: ["blue"] });
    await pontoon.answersIn(after);
    t.same(await found(client, "after"), [await after.ip("blue")]);
    for (let index = 0; index < 8; index++) t.equal((await client.dig(`brief${index}`)).rcode, "NXDOMAIN");
    t.notMatch((await pontoon.get("/v1/dns/records")).body, "brief");
  });

  await t.test("many changes in a row", async (t) => {
    const busy = await host.container({ name: "busy", networks: ["blue"] });
    for (let turn = 0; turn < 60; turn++) await busy.rename(`busy${turn}`);
    await until(async () => (await found(client, "busy59")).length > 0, { what: "the last name resolves" });
    for (const name of ["busy", "busy0", "busy57", "busy58"]) t.equal((await client.dig(name)).rcode, "NXDOMAIN", name);
  });

  t.same(
    pontoon.logs.filter((line) => levelOf(line) >= 40),
    [],
    "none of it is worth a warning",
  );
  t.equal(pontoon.exitCode, undefined);
});

/** A host whose containers forward to a server of the test's. */
async function hostWithUpstream(
  t: TestOwner,
  options: DockerHostOptions,
): Promise<{ host: DockerHost; upstream: Upstream }> {
  const host = await DockerHost.start(t, { resolvConf: `nameserver ${upstreamAddress}\n`, ...options });
  return { host, upstream: await (await host.outside()).dns() };
}

/** A container whose labels have the names of an event's attributes, where they win over them. */
function labelled(host: DockerHost, name: string): Promise<Container> {
  const labels = {
    exitCode: "banana",
    name: "evil",
    oldName: "/other",
    container: "nobody",
    image: "",
    signal: "é\n}",
    long: "x".repeat(100_000),
  };
  return host.container({
    name,
    networks: ["blue"],
    options: Object.entries(labels).map(([key, value]) => `--label=${key}=${value}`),
  });
}

/** A container with aliases that Docker takes. Some cannot be names in DNS at all. */
function aliased(host: DockerHost, name: string): Promise<Container> {
  const able = [
    `${name} two words`,
    `${name}-ünïcodé`,
    `${name}.with.dots`,
    `${name}_under`,
    `-${name}`,
    `*.${name}`,
    `${name}-dotted.`,
    `${name}-Shouted`,
  ];
  const unable = [
    "",
    ".",
    "..",
    `${name}..gap`,
    `.${name}`,
    "x".repeat(70),
    `${"long.".repeat(60)}end`,
    "tab\tnew\nline",
    "\\",
  ];
  return host.container({ name, networks: [{ name: "blue", aliases: [...able, ...unable] }] });
}

/** What a name stands for according to pontoon's own records; nothing when they do not have it. */
async function found(client: Container, name: string): Promise<string[]> {
  const { answers, addresses } = await client.dig(name);
  return answers.every(({ ttl }) => ttl === ownTtl) ? addresses : [];
}

async function dockerOf(pontoon: Pontoon): Promise<{ state: string; detail: string }> {
  return (await pontoon.status())["docker"] as { state: string; detail: string };
}

/** How often the daemon has said that there is no dockerd. */
function outages(pontoon: Pontoon): number {
  return pontoon.logs.filter((line) => /no dockerd/.test(line)).length;
}

/** A log line's level as pino numbers it: 40 is a warning. */
function levelOf(line: string): number {
  return (JSON.parse(line) as { level: number }).level;
}
