import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { DockerHost, until, type Container, type PontoonOptions } from "./index.js";
import { repositoryRoot } from "./root.js";

interface Seen {
  readonly docker: { readonly state: string; readonly detail: string };
  readonly containers: readonly { readonly name: string; readonly resolver: string; readonly reason: string }[];
}

const ttlOf = async (container: Container) => (await container.dig("web")).answers[0]?.ttl;

/** Starts the daemon with an address that dockerd here answers on, and checks that it takes over. */
async function serves(t: Test, host: DockerHost, web: Container, what: string, options: PontoonOptions): Promise<void> {
  const pontoon = await host.pontoon(options);
  await until(async () => (await ttlOf(web)) === 5, { what: `pontoon answers with ${what}` });
  t.equal(((await pontoon.status()) as unknown as Seen).docker.state, "following", what);
  await pontoon.stop();
  t.equal(await ttlOf(web), 600, "and lets go");
}

/** Starts the daemon with an address at which it cannot follow dockerd, and checks what it says. */
async function waits(t: Test, host: DockerHost, options: PontoonOptions, says: RegExp): Promise<void> {
  const pontoon = await host.pontoon({ ...options, args: ["--observe", ...(options.args ?? [])] });
  const { docker } = (await pontoon.status()) as unknown as Seen;
  t.equal(docker.state, "waiting");
  t.match(docker.detail, says);
  const said = () => pontoon.logs.filter((line) => /waiting for it|is not followed/.test(line)).length;
  await until(() => said() > 0, { what: "it is said" }); // the status may be there before the log
  await pontoon.stop();
  t.equal(said(), 1, "once");
}

t.test("plain TCP, ssh, and which address counts", async (t) => {
  const host = await DockerHost.start(t, { dockerd: ["--host=tcp://127.0.0.1:2375"] });
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  await serves(t, host, web, "--docker tcp://", { args: ["--docker=tcp://127.0.0.1:2375"] });
  await serves(t, host, web, "DOCKER_HOST", { env: { DOCKER_HOST: "tcp://localhost:2375" } });
  await serves(t, host, web, "--docker before DOCKER_HOST", {
    args: ["--docker=unix:///run/docker.sock"],
    env: { DOCKER_HOST: "tcp://127.0.0.1:1", DOCKER_CERT_PATH: "/nowhere" },
  });
  await serves(t, host, web, "docker in the configuration before DOCKER_HOST", {
    config: "docker: /run/docker.sock\n",
    env: { DOCKER_HOST: "tcp://127.0.0.1:1" },
  });

  await t.test("ssh", async (t) => {
    // Stands in for ssh alone: what it runs at the other end is the real docker command.
    const script = `#!/bin/sh
echo "$@" >>/run/ssh.log
while [ "$1" != -- ]; do shift; done
[ "$2" = localhost ] || { echo "me@$2: Permission denied (publickey)." >&2; exit 255; }
shift 2
exec "$@"
`;
    host.writeFile("/opt/ssh/ssh", script);
    await host.exec(["chmod", "+x", "/opt/ssh/ssh"]);
    const env = { PATH: "/opt/ssh:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin" };
    await serves(t, host, web, "ssh://", { args: ["--docker=ssh://me@localhost"], env });
    const calls = (await host.exec(["cat", "/run/ssh.log"])).stdout.trim().split("\n");
    t.equal(calls[0], "-T -o BatchMode=yes -o ConnectTimeout=20 -l me -- localhost docker system dial-stdio");
    t.equal((await host.exec(["pgrep", "-f", "dial-stdio"], { reject: false })).stdout, "", "no ssh is left");
    await waits(
      t,
      host,
      { args: ["--docker=ssh://elsewhere"], env },
      /^ssh: me@elsewhere: Permission denied \(publickey\)\.; `ssh elsewhere docker version` must work as root without a password$/,
    );
    const few = mkdtempSync(join(tmpdir(), "pontoon-path-"));
    t.teardown(() => rmSync(few, { recursive: true }));
    for (const name of ["nsenter", "sh"]) symlinkSync(`/usr/bin/${name}`, join(few, name));
    await waits(
      t,
      host,
      { args: ["--docker=ssh://h"], env: { PATH: few } },
      /ssh ENOENT; install ssh \(Debian: openssh-client\)/,
    );
  });

  await t.test("one dockerd by two addresses has one daemon", async (t) => {
    const first = await host.pontoon({ args: ["--docker=tcp://127.0.0.1:2375"] });
    await until(async () => (await ttlOf(web)) === 5);
    const { stdout: pid } = await host.exec([
      "sh",
      "-c",
      `"$@" >/run/second.log 2>&1 & echo $!`,
      "sh",
      process.execPath,
      join(repositoryRoot, "bin", "pontoon"),
      "daemon",
      "--run-dir=/run/second",
    ]);
    const log = async () => (await host.exec(["cat", "/run/second.log"])).stdout;
    await until(async () => (await log()).includes("ALREADY_RUNNING"), {
      timeoutMs: 20_000,
      what: "the second says so",
    });
    t.match(await log(), /"code":"ALREADY_RUNNING","reason":"another pontoon daemon follows \S+; stop it first/);
    await first.stop();
    await until(async () => (await ttlOf(web)) === 5, {
      timeoutMs: 20_000,
      what: "the second takes up what the first has left",
    });
    await host.signal("SIGTERM", Number(pid));
    await until(async () => (await ttlOf(web)) === 600, { timeoutMs: 20_000 });
  });

  await t.test("nobody there", async (t) => {
    await waits(t, host, { args: ["--docker=tcp://127.0.0.1:1"] }, /ECONNREFUSED/);
    await waits(t, host, { args: ["--docker=tcp://no.such.host.invalid:2375"] }, /no\.such\.host\.invalid/);
    await waits(
      t,
      host,
      { args: ["--docker=tcp://127.0.0.1:2375"], env: { DOCKER_TLS: "1" } },
      /dockerd speaks without TLS there; unset DOCKER_TLS_VERIFY/,
    );
  });
});

const certificates = `
set -e
mkdir -p /etc/tls/client /etc/tls/stranger /etc/tls/nobody; cd /etc/tls
for ca in ca other; do openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=$ca" -days 2 -keyout $ca.key -out $ca.pem; done
for name in server me; do openssl req -newkey rsa:2048 -nodes -subj "/CN=$name" -keyout $name.key -out $name.csr; done
printf 'subjectAltName=IP:127.0.0.1,DNS:docker.test\\nextendedKeyUsage=serverAuth\\n' >server.ext
printf 'extendedKeyUsage=clientAuth\\n' >me.ext
for name in server me; do openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.pem; done
cp ca.pem client/ca.pem; cp me.pem client/cert.pem; cp me.key client/key.pem
cp other.pem stranger/ca.pem; cp ca.pem nobody/ca.pem
`;

t.test("TCP with TLS", async (t) => {
  const host = await DockerHost.start(t);
  await host.exec(["sh", "-c", certificates]);
  await host.stopDockerd();
  await host.startDockerd([
    "--host=tcp://127.0.0.1:2376",
    "--tlsverify",
    "--tlscacert=/etc/tls/ca.pem",
    "--tlscert=/etc/tls/server.pem",
    "--tlskey=/etc/tls/server.key",
  ]);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const with_ = (folder: string, given: Record<string, string> = { DOCKER_TLS_VERIFY: "1" }) => ({
    DOCKER_CERT_PATH: `/etc/tls/${folder}`,
    ...given,
  });
  await serves(t, host, web, "TLS", { env: { ...with_("client"), DOCKER_HOST: "tcp://127.0.0.1:2376" } });
  await serves(t, host, web, "TLS, dockerd's certificate not checked", {
    args: ["--docker=tcp://localhost:2376"],
    env: with_("client", { DOCKER_TLS: "1" }),
  });
  await waits(
    t,
    host,
    { args: ["--docker=tcp://127.0.0.1:2376"] },
    /HTTP request to an HTTPS server.*; set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH/,
  );
  await waits(
    t,
    host,
    { args: ["--docker=tcp://127.0.0.1:2376"], env: with_("stranger") },
    /was not signed by \/etc\/tls\/stranger\/ca\.pem/,
  );
  await waits(
    t,
    host,
    { args: ["--docker=tcp://127.0.0.1:2376"], env: with_("nobody") },
    /wants a client certificate signed by its CA, in \/etc\/tls\/nobody\/cert\.pem/,
  );
  await waits(
    t,
    host,
    { args: ["--docker=tcp://localhost:2376"], env: with_("client") },
    /use a name or address that dockerd's certificate is for/,
  );
});

t.test("a dockerd elsewhere is not followed, and nothing here is touched", async (t) => {
  const [here, there] = await Promise.all([
    DockerHost.start(t),
    DockerHost.start(t, { dockerd: ["--host=tcp://0.0.0.0:2375"] }),
  ]);
  const { otherAddress } = await here.join(there);
  await there.network("n1");
  // The numbers of processes there are made higher than any here, so that the container's can be taken here.
  await there.exec(["sh", "-c", "i=0; while [ $i -lt 400 ]; do /bin/true; i=$((i+1)); done"]);
  const web = await there.container({ name: "web", networks: ["n1"] });
  const { State } = await web.inspect();
  const number = State.Pid;
  const take =
    "while /bin/true & p=$!; wait $p; [ $p -lt $(($1 - 1)) ]; do :; done; unshare --net sleep 1000000 >/dev/null 2>&1 & echo $!";
  const { stdout: taken } = await here.exec(["sh", "-c", take, "sh", String(number)]);
  t.equal(Number(taken), number, "a process here has the number of the container's there");

  // By an address it is refused at once; a name might be one of this machine.
  here.writeFile("/run/hosts", `${otherAddress} docker.test\n`);
  await here.exec(["mount", "--bind", "/run/hosts", "/etc/hosts"]);
  const pontoon = await here.pontoon({ args: ["--docker=tcp://docker.test:2375"] });
  const { containers } = (await pontoon.status()) as unknown as Seen;
  t.match(containers, {
    length: 1,
    0: {
      name: "web",
      resolver: "docker",
      reason:
        /process \d+ of this machine is not in the container: its dockerd runs on another machine, or in a container; run pontoon beside it/,
    },
  });
  t.equal(
    (await here.exec(["nsenter", `--net=/proc/${number}/ns/net`, "nft", "list", "ruleset"])).stdout,
    "",
    "no rule in the innocent process's namespace",
  );
  await here.signal("SIGKILL", number);
  await there.exec(["docker", "restart", "-t", "0", "web"]);
  await pontoon.waitUntil(
    (status) => /there is no process \d+ on this machine/.test((status as unknown as Seen).containers[0]?.reason ?? ""),
    { timeoutMs: 20_000 },
  );
  t.equal(await ttlOf(web), 600, "and there Docker answers");
  await pontoon.stop();
});

t.test("a dockerd on another kernel is refused as a whole", async (t) => {
  const host = await DockerHost.start(t);
  const program = `require("http").createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.url === "/info") response.end(JSON.stringify({ ID: "x", DockerRootDir: "/var/lib/docker", KernelVersion: "5.4.39-linuxkit" }));
    else response.destroy();
  }).listen("/run/desktop.sock")`;
  const { stdout: pid } = await host.exec([
    "sh",
    "-c",
    '"$@" >/dev/null 2>&1 & echo $!',
    "sh",
    process.execPath,
    "-e",
    program,
  ]);
  t.teardown(() => host.signal("SIGKILL", Number(pid)));
  await until(() => existsSync(host.path("/run/desktop.sock")), { what: "the stand-in for a dockerd listens" });
  await waits(
    t,
    host,
    { args: ["--docker=unix:///run/desktop.sock"] },
    /^dockerd at unix:\/\/\/run\/desktop\.sock runs on another machine \(Linux 5\.4\.39-linuxkit, here [^)]+\); run pontoon there, beside it$/,
  );
});

t.test("values that make no sense end the daemon at once", async (t) => {
  const host = await DockerHost.start(t);
  const refused = async (args: string[], env: string[], says: RegExp) => {
    const { exitCode, stdout, stderr } = await host.exec(
      ["env", ...env, process.execPath, join(repositoryRoot, "bin", "pontoon"), "daemon", ...args],
      { reject: false },
    );
    t.same([exitCode, stdout], [1, ""]);
    t.match(stderr, says);
  };
  await refused(
    ["--docker=npipe:////./pipe/docker_engine"],
    [],
    /^pontoon: --docker npipe:\S+: named pipes exist on Windows only; write unix:/,
  );
  await refused([], ["DOCKER_HOST=tcp://h:99999"], /^pontoon: --docker tcp:\/\/h:99999: 99999 is not a port/);
  await refused(
    [],
    ["DOCKER_HOST=tcp://h", "DOCKER_TLS_VERIFY=1", "DOCKER_CERT_PATH=/nowhere"],
    /^pontoon: \/nowhere\/ca\.pem is not there; copy the certificate/,
  );
  await refused([], ["DOCKER_HOST=ssh://me:secret@h"], /a password cannot be given here/);
});
