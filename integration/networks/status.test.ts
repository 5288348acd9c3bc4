// What `pontoon status` and `pontoon check` say of networks.
import t from "tap";
import { BareHost, until } from "../lab/index.js";
import { run } from "./host.js";

t.test("status and check count networks, name sandboxes that are gone, and say why networks are off", async (t) => {
  const host = await BareHost.start(t);
  let pontoon = await host.pontoon();
  const status = () => run(pontoon, "status");
  const check = async () => (await pontoon.cli("check")).stdout;
  t.notMatch(await status(), /^networks /m, "nothing of what is not used");
  await run(pontoon, "sandbox create web");
  await run(pontoon, "sandbox create db");
  t.match(await status(), /^networks +1 network of pontoon's own, 2 sandboxes$/m);
  t.match(await check(), /^ok +networks +1 of pontoon's own, with 2 sandboxes$/m);
  await host.exec(["ip", "netns", "delete", "web"]);
  await until(async () => /, 2 sandboxes; gone: web$/m.test(await status()), { what: "web is gone" });
  t.match(await check(), /^warning +networks +.*gone: web; /m);
  t.equal(await pontoon.stop(), 0);

  host.writeFile("/var/lib/pontoon/store.mdb", "garbage");
  pontoon = await host.pontoon();
  t.match(await status(), /^networks +off \(.*store/m);
  t.match(await status(), /^pontoon-proxy +off \(.*store/m);
  t.match(await check(), /^problem +networks +off: .*store/m);
  t.match(await check(), /^warning +ports +off: .*store/m);
  t.equal(await pontoon.stop(), 0);
});

t.test("the second daemon of a host says that another has the networks", async (t) => {
  const host = await BareHost.start(t);
  const first = await host.pontoon();
  await run(first, "sandbox create web");
  const second = await host.pontoon({ args: ["--run-dir=/run/second", "--state-dir=/var/lib/second"] });
  await until(
    async () => {
      const { stdout } = await first.cli("status", "--run-dir=/run/second");
      return /^networks +off \(another pontoon daemon has the networks/m.test(stdout);
    },
    { what: "the second tells" },
  );
  t.equal(await second.stop(), 0);
  t.equal(await first.stop(), 0);
});
