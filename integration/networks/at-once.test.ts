import t from "tap";
import { BareHost } from "../lab/index.js";
import { marksOn, run } from "./host.js";

t.test("of several commands at once on the same names one wins, and the others say why not", async (t) => {
  const host = await BareHost.start(t);
  const pontoon = await host.pontoon();
  const before = await marksOn(host);
  const race = async (line: string) => {
    const ends = await Promise.all(Array.from({ length: 10 }, () => pontoon.cli(...line.split(" "))));
    t.equal(ends.filter(({ exitCode }) => exitCode === 0).length, 1, line);
    for (const { exitCode, stderr } of ends)
      if (exitCode !== 0) t.match({ exitCode, stderr }, { exitCode: 1, stderr: /^pontoon: [^\n]+\n$/ });
  };
  await race("network create front");
  await race("sandbox create web --network front");
  await race("network disconnect front web");
  await race("network connect front web");
  t.match(JSON.parse(await run(pontoon, "sandbox inspect web")), [{ networks: { length: 1 } }]);

  const refused = await pontoon.cli("network", "rm", "front");
  t.match(refused, { exitCode: 1, stderr: /in use by sandbox web/ });
  await race("sandbox rm web");
  await race("network rm front");
  t.equal(await marksOn(host), before);
  t.equal(await pontoon.stop(), 0);
});

t.test("sandboxes and networks that come and go at once do not meet", async (t) => {
  const host = await BareHost.start(t);
  const pontoon = await host.pontoon();
  const before = await marksOn(host);
  await run(pontoon, "network create front");
  const numbers = Array.from({ length: 8 }, (_, number) => number);
  await Promise.all(numbers.map((number) => run(pontoon, `sandbox create s${number} --network front`)));
  const made = JSON.parse(await run(pontoon, "sandbox ls --json")) as { networks: [{ ipv4: string }] }[];
  t.equal(new Set(made.map(({ networks }) => networks[0].ipv4)).size, 8);
  await Promise.all([
    ...numbers.slice(0, 4).map((number) => run(pontoon, `sandbox rm s${number}`)),
    ...numbers.slice(0, 4).map((number) => run(pontoon, `sandbox create t${number} --network front`)),
    ...numbers.slice(4).map((number) => run(pontoon, `network disconnect front s${number}`)),
  ]);
  const left = JSON.parse(await run(pontoon, "sandbox ls --json")) as { name: string; networks: unknown[] }[];
  t.same(Object.fromEntries(left.map(({ name, networks }) => [name, networks.length])), {
    s4: 0,
    s5: 0,
    s6: 0,
    s7: 0,
    t0: 1,
    t1: 1,
    t2: 1,
    t3: 1,
  });
  await run(pontoon, `sandbox rm ${left.map(({ name }) => name).join(" ")}`);
  await run(pontoon, "network prune");
  t.equal(await marksOn(host), before);
  t.equal(await pontoon.stop(), 0);
});
