import t from "tap";
import { DockerHost, type Container, type DnsResponse } from "../lab/index.js";

/** Neither Docker's TTL (600 s) nor that of an answer passed on from Docker's resolver (5 s): tells whose records answered. */
const ownTtl = 7;
const upstreamAddress = "10.77.0.2";

const transports = [
  { transport: "UDP", tcp: false },
  { transport: "TCP", tcp: true },
];

t.test("containers on a user-defined network find each other by name", async (t) => {
  const host = await DockerHost.start(t, { resolvConf: `nameserver ${upstreamAddress}\n` });
  const upstream = await (await host.outside()).dns();
  await host.exec(["sh", "-ec", "ip link add lan0 type veth peer name lan1; ip link set lan0 up; ip link set lan1 up"]);
  await host.network("blue", { subnet: "172.30.0.0/24" });
  await host.network("lan", { driver: "macvlan", subnet: "172.31.0.0/24", options: { parent: "lan0" } });

  const before = await Promise.all([neighbours(host, "blue", "blue-"), neighbours(host, "lan", "lan-")]);
  const pontoon = await host.pontoon({ config: `dns:\n  ttl: ${ownTtl}\n` });
  const after = await neighbours(host, "blue", "later-");
  await pontoon.answersIn(...after.all);

  const scenes = [
    ["on a bridge network", before[0]],
    ["on a macvlan network", before[1]],
    ["on a bridge network, started after the daemon", after],
  ] as const;

  for (const [where, { network, client, web, unnamed, twins, prefix }] of scenes)
    for (const { transport, tcp } of transports)
      await t.test(`${where}, over ${transport}`, async (t) => {
        const finds = async (name: string, container: Container, message: string) => {
          const answer = await client.dig(name, "A", { tcp });
          t.match(
            told(answer),
            { rcode: "NOERROR", addresses: { length: 1, 0: await container.ip(network) } },
            message,
          );
          t.ok(isOwn(answer), `${message}: from pontoon's own records`);
          return answer;
        };
        const shortId = (container: Container) => container.id.slice(0, 12);

        await finds(`${prefix}web`, web, "by container name");
        await finds(await unnamed.name(), unnamed, "by a name Docker made up");
        await finds(shortId(web), web, "by short id");
        await finds(shortId(unnamed), unnamed, "by short id, without a name of its own");
        await finds(`${prefix}host`, web, "by hostname");
        await finds(`${prefix}host.example.test`, unnamed, "by a hostname with dots");
        await finds(`${prefix}shop`, web, "by an alias");
        await finds(`${prefix}Second.alias`, web, "by another alias, with a dot and a capital");
        await finds(`${prefix}client`, client, "a container finds itself");
        for (const name of [`${prefix}web`, shortId(web), `${prefix}host`, `${prefix}shop`, `${prefix}second.alias`])
          await finds(`${name}.${network}`, web, "by name.network");

        for (const spelling of [
          `${prefix}WEB`,
          `${prefix}sHoP`,
          `${prefix}Web.${network.toUpperCase()}`,
          shortId(web).toUpperCase(),
        ]) {
          const answer = await finds(spelling, web, "whatever the letter case");
          t.equal(answer.questionName, spelling, "the question is echoed as spelled");
          t.equal(answer.answers[0]?.name, spelling, "the answer's owner is spelled as asked");
        }

        const addresses = await Promise.all(twins.map((twin) => twin.ip(network)));
        const answers = await Promise.all(Array.from({ length: 16 }, () => client.dig(`${prefix}twin`, "A", { tcp })));
        const sets = new Set(answers.map((answer) => [...answer.addresses].sort().join()));
        t.same([...sets], [[...addresses].sort().join()], "an alias of several containers has all their addresses");
        t.ok(answers.every(isOwn), "from pontoon's own records");
        t.equal(
          new Set(answers.map((answer) => answer.addresses[0])).size,
          twins.length,
          "each address comes first at times",
        );
      });

  await t.test("what is answered here is never asked of an upstream", async (t) => {
    const local = [...before, after].flatMap(({ prefix }) =>
      ["web", "shop", "host", "twin"].map((name) => prefix + name),
    );
    const asked = (await upstream.queries()).map(({ name }) => name.toLowerCase());
    t.same(
      asked.filter((name) => local.some((ours) => name.startsWith(ours))),
      [],
    );
  });

  await t.test("names that nobody has do not exist", async (t) => {
    const { client } = after;
    for (const name of ["nobody", "web.nonetwork", "web.blue.blue", "nobody.later-web.blue", "web.lan"])
      t.equal((await client.dig(name)).rcode, "NXDOMAIN", name);
  });

  await t.test("the container's own tools resolve too", async (t) => {
    const { client, web } = after;
    const ip = await web.ip("blue");
    t.match((await client.exec(["nslookup", "later-shop"])).stdout, ip);
    t.match((await client.exec(["ping", "-c1", "-W5", "later-web"])).stdout, `(${ip})`);
    t.match((await client.digCommand("+short", "+tcp", "later-web.blue")).stdout, ip);
    t.match(await host.docker("exec", client.id, "nslookup", "later-host"), ip);
  });
});

t.test("a container's records live as long as it is told", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("blue");
  const labelled = (ttl: string) => ({
    networks: [{ name: "blue", aliases: ["any"] }],
    options: [`--label=pontoon.dns.ttl=${ttl}`],
  });
  const client = await host.container({ name: "plain", networks: ["blue"] });
  await Promise.all([
    host.container({ name: "long", ...labelled("3600") }),
    host.container({ name: "short", ...labelled("2") }),
    host.container({ name: "none", ...labelled("0"), networks: ["blue"] }),
    ...["odd", "-1", "1.5", "", "999999999999"].map((ttl, index) =>
      host.container({ name: `odd${index}`, ...labelled(ttl), networks: ["blue"] }),
    ),
  ]);
  const ttlsOf = async (name: string) => [...new Set((await client.dig(name)).answers.map(({ ttl }) => ttl))];

  const pontoon = await host.pontoon();
  await pontoon.answersIn(client);
  t.same(await ttlsOf("plain"), [5], "5 s by default");
  t.same(await ttlsOf("long"), [3600], "what the label says");
  t.same(await ttlsOf("short"), [2]);
  t.same(await ttlsOf("none"), [0]);
  t.same(await ttlsOf("any"), [2], "the smallest of those behind one alias (RFC 2181)");
  for (let index = 0; index < 5; index++)
    t.same(await ttlsOf(`odd${index}`), [5], "a label that is no number of seconds is passed over");
  t.equal(await pontoon.stop(), 0);

  const other = await host.pontoon({ config: "dns:\n  ttl: 40\n" });
  await other.answersIn(client);
  t.same(await ttlsOf("plain"), [40], "what the configuration says");
  t.same(await ttlsOf("short"), [2], "the label wins over the configuration");
});

interface Neighbours {
  network: string;
  prefix: string;
  client: Container;
  web: Container;
  unnamed: Container;
  twins: Container[];
  all: Container[];
}

/** Containers with every kind of name on one network. */
async function neighbours(host: DockerHost, network: string, prefix: string): Promise<Neighbours> {
  const twin = () => host.container({ networks: [{ name: network, aliases: [`${prefix}twin`] }] });
  const [client, web, unnamed, ...twins] = await Promise.all([
    host.container({ name: `${prefix}client`, networks: [network] }),
    host.container({
      name: `${prefix}web`,
      networks: [{ name: network, aliases: [`${prefix}shop`, `${prefix}second.Alias`] }],
      options: [`--hostname=${prefix}host`],
    }),
    host.container({ networks: [network], options: [`--hostname=${prefix}host.example.test`] }),
    twin(),
    twin(),
    twin(),
  ]);
  return { network, prefix, client, web, unnamed, twins, all: [client, web, unnamed, ...twins] };
}

function told({ rcode, addresses }: DnsResponse): Pick<DnsResponse, "rcode" | "addresses"> {
  return { rcode, addresses };
}

/** Whether an answer came from pontoon's own records. */
function isOwn({ answers }: DnsResponse): boolean {
  return answers.length > 0 && answers.every(({ ttl }) => ttl === ownTtl);
}
