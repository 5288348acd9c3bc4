import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import t from "tap";
import { DockerHost } from "../lab/index.js";

t.test("files that others have put where pontoon reads or writes", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const path = (file: string) => host.path(file);
  await host.exec(["mkfifo", "/opt/fifo"]);
  const web = await host.container({ name: "web", networks: ["n1"] });
  const odd = await host.container({ name: "odd", networks: ["n1"], options: ["--volume=/opt/fifo:/etc/resolv.conf"] });
  const endless = await host.container({
    name: "endless",
    networks: ["n1"],
    options: ["--volume=/dev/zero:/etc/resolv.conf"],
  });
  const hostile = `${"#".repeat(65_000)}\rx`;
  writeFileSync(path(`/var/lib/docker/containers/${web.id}/resolv.conf`), hostile);

  const names = ["dns.log", "dns.pid", "dns.pid.new", "proxy.log", "proxy.pid", "proxy.pid.new", "control.sock"];
  const planted = [
    ...names.map((name) => `/run/pontoon/${name}`),
    "/var/lib/pontoon/store.mdb.new",
    "/var/lib/pontoon/store.mdb-lock",
  ];
  mkdirSync(path("/run/pontoon"), { recursive: true });
  mkdirSync(path("/var/lib/pontoon"), { recursive: true });
  writeFileSync(path("/etc/precious"), "precious", { mode: 0o644 });
  for (const file of planted) symlinkSync("/etc/precious", path(file));

  const pontoon = await host.pontoon(); // neither waits for a fifo nor reads without end
  await pontoon.answersIn(web, odd, endless);
  t.match(pontoon.logs.join("\n"), /opt\/fifo.*is a fifo, not a regular file/);

  await t.test("links in the run and state directories are not followed", async (t) => {
    t.equal((await pontoon.cli("publish", "web", "8080:80")).exitCode, 0);
    t.equal(readFileSync(path("/etc/precious"), "utf8"), "precious");
    t.match(readFileSync(path("/run/pontoon/dns.pid"), "utf8"), /^\d+\n$/);
    for (const file of planted.filter((file) => !/\.(new|tmp)$/.test(file)))
      t.throws(() => readlinkSync(path(file)), { code: "EINVAL" }, file);
    await pontoon.cli("unpublish", "web");
  });

  await t.test("a folder that others may write is refused", async (t) => {
    await pontoon.stop();
    const folder = path("/opt/shared");
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o777);
    mkdirSync(path("/opt/home/run"), { recursive: true });
    chownSync(path("/opt/home"), 1000, 1000);
    symlinkSync("/opt/home", path("/opt/link"));
    const cases: [args: string[], says: RegExp][] = [
      [
        ["--run-dir=/opt/shared"],
        /^pontoon: --run-dir \/opt\/shared: others than its owner may write in \/opt\/shared \(mode 777\); choose [^\n]*\n$/,
      ],
      [["--run-dir=/opt/shared/new"], /may write in \/opt\/shared/],
      [["--run-dir=/opt/home/run"], /\/opt\/home belongs to user 1000; choose/],
      [["--run-dir=/opt/link/run"], /\/opt\/home belongs to user 1000; choose/],
      [
        ["--state-dir=/opt/home/run"],
        /^pontoon: --state-dir \/opt\/home\/run: \/opt\/home belongs to user 1000; choose [^\n]*\n$/,
      ],
    ];
    for (const [args, says] of cases) {
      const { exitCode, stderr } = await pontoon.cli("daemon", ...args);
      t.equal(exitCode, 1, args.join());
      t.match(stderr, says);
    }
    rmSync(path("/opt/link"));
    const linked = await host.pontoon({ args: ["--run-dir=/var/run/pontoon"] });
    t.pass("a link of root's on the way is as good as the folder");
    await linked.stop();
  });
});
