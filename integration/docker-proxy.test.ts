// The contract between dockerd and its docker-proxy, played from dockerd's side: as dockerd 20.10 does, and as 28 and later do.
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { copyFileSync, existsSync, linkSync, closeSync, mkdirSync, openSync, readFileSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import t from "tap";
import { SO_REUSEADDR, SOL_SOCKET } from "../src/linux/constants.js";
import { bindSocket, closeDescriptor, listenSocket, localAddress, setOption, tcpSocket, udpSocket } from "../src/linux/socket.js";
import { hostEnvironment } from "./host/command.js";
import { ShimServer } from "./host/shims.js";
import { until } from "./host/until.js";
import { arguments20, connected, dockerProxyIsFixed, echoServer, fakeDockerProxy, folderOf, freePort, listenOn, loopback, openFiles, privateMemory,
  program, Proxy, readAll, talk, verdictPipe, type Owner } from "./docker-proxy-player.js";

async function served(t: Owner, keepTime?: number): Promise<{ folder: string; server: ShimServer }> {
  const folder = folderOf(t);
  const server = await ShimServer.start(folder, keepTime === undefined ? {} : { keepTime });
  t.teardown(() => server.kill());
  return { folder, server };
}

/** A socket as dockerd 28 passes it. */
function listenerOf28(ip = loopback): { descriptor: number; port: number } {
  const descriptor = tcpSocket(ip.includes(":") ? "ipv6" : "ipv4");
  setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
  bindSocket(descriptor, { ip, port: 0 });
  listenSocket(descriptor, 4096);
  return { descriptor, port: localAddress(descriptor).port };
}

t.test("the command line is read as Go reads it", async (t) => {
  const folder = folderOf(t);
  for (const [args, problem] of [
    [["-no-such"], "flag provided but not defined: -no-such\nUsage of "],
    [["--proto=udp", "--colour", "red"], "flag provided but not defined: -colour\nUsage of "],
    [["-proto"], "flag needs an argument: -proto\nUsage of "],
    [["-host-port", "http"], 'invalid value "http" for flag -host-port: parse error\nUsage of '],
    [["-host-port=99999999999999999999"], 'invalid value "99999999999999999999" for flag -host-port: value out of range\nUsage of '],
    [["-use-listen-fd=perhaps"], 'invalid boolean value "perhaps" for -use-listen-fd: parse error\nUsage of '],
    [["---proto"], "bad flag syntax: ---proto\nUsage of "],
  ] as const) {
    const proxy = new Proxy(t, { args, folder });
    t.equal(await proxy.end(), 2, args.join(" "));
    t.same(await proxy.writes(), [], "nothing on descriptor 3");
    await until(() => proxy.stderr.includes("-use-listen-fd"), { what: "the usage is printed" });
    t.ok(proxy.stderr.startsWith(problem), proxy.stderr);
  }
  for (const flag of ["-v", "--version", "-v=true"]) {
    const child = spawn(program, [flag], { stdio: ["ignore", "pipe", "inherit"] });
    const exit = once(child, "exit");
    t.match(await readAll(child.stdout as never), /^docker-proxy \(commit \S+\) version \S+\n$/);
    t.same(await exit, [0, null]);
  }
});

t.test("a TCP port, as dockerd 20.10 asks for it", async (t) => {
  const { folder, server } = await served(t);
  const [container, port] = [await echoServer(t), await freePort()];
  const proxy = new Proxy(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
  t.same(await proxy.writes(), ["0\n"], "one write, then the end");
  t.equal(await talk(loopback, port, "world"), "hello world");
  await t.test("half-open connections stay so", async (t) => {
    const socket = await connected(loopback, port);
    socket.end("late");
    t.equal(await readAll(socket), "hello late");
  });
  t.equal(proxy.executable, program);
  // Beside another, so that what they share is not counted as anybody's own.
  await new Proxy(t, { folder, args: arguments20("tcp", [loopback, await freePort()], [loopback, container]) }).verdict();
  t.ok(privateMemory(proxy.pid) <= 64, `${privateMemory(proxy.pid)} kB of its own`);
  t.equal(await proxy.kill("SIGINT"), 0);
  const again = createServer();
  t.equal(await listenOn(again, loopback, port), port, "the port is free the moment the process has ended");
  again.close();
  await server.says(/^close /);
});

t.test("flags as name=value, and in hexadecimal", async (t) => {
  const { folder } = await served(t);
  const [container, port] = [await echoServer(t), await freePort()];
  const args = ["--proto=tcp", `-host-ip=${loopback}`, `--host-port=0x${port.toString(16)}`, `-container-ip=::ffff:${loopback}`, `-container-port=${container}`];
  t.equal(await new Proxy(t, { folder, args }).verdict(), "0\n");
  t.equal(await talk(loopback, port, "x"), "hello x");
});

t.test("many ports start and stop in a row, and none is still held", async (t) => {
  const { folder } = await served(t);
  const [container, port] = [await echoServer(t), await freePort()];
  for (const protocol of ["tcp", "udp", "tcp", "udp", "tcp", "udp"]) {
    const proxy = new Proxy(t, { folder, args: arguments20(protocol, [loopback, port], [loopback, container]) });
    t.same(await proxy.writes(), ["0\n"]);
    t.equal(proxy.executable, program);
    t.equal(await proxy.kill("SIGINT"), 0);
  }
});

t.test("a UDP port", async (t) => {
  const { folder } = await served(t);
  const container = createSocket("udp4").on("message", (bytes, from) => container.send(`hello ${bytes.toString()}`, from.port, from.address));
  container.bind(0, loopback);
  await once(container, "listening");
  t.teardown(() => container.close());
  const port = await freePort();
  const proxy = new Proxy(t, { folder, args: arguments20("udp", [loopback, port], [loopback, container.address().port]) });
  t.same(await proxy.writes(), ["0\n"]);
  const client = createSocket("udp4");
  t.teardown(() => client.close());
  client.send("world", port, loopback);
  const [reply] = (await once(client, "message")) as [Buffer];
  t.equal(reply.toString(), "hello world");
  spawn("kill", ["-TERM", String(proxy.pid)]);
  t.equal(await proxy.end(), 0, "SIGTERM from anybody but its parent ends it too");
});

t.test("the same port of IPv4 and IPv6", async (t) => {
  const { folder } = await served(t);
  const [container, port] = [await echoServer(t), await freePort("::")];
  for (const ip of ["0.0.0.0", "::"])
    t.same(await new Proxy(t, { folder, args: arguments20("tcp", [ip, port], [loopback, container]) }).writes(), ["0\n"], ip);
  t.equal(await talk("127.0.0.1", port, "four"), "hello four");
  t.equal(await talk("::1", port, "six"), "hello six");
});

t.test("a socket of dockerd's own, as 28 and later pass it", async (t) => {
  const { folder } = await served(t);
  const container = await echoServer(t);
  const { descriptor, port } = listenerOf28();
  const args = [...arguments20("tcp", [loopback, port], [loopback, container]), "-use-listen-fd"];
  const proxy = new Proxy(t, { folder, args, descriptors: [descriptor] });
  t.same(await proxy.writes(), ["0\n"]);
  closeDescriptor(descriptor);
  t.equal(await talk(loopback, port, "world"), "hello world");
  t.equal(await proxy.kill("SIGINT"), 0);
  await t.rejects(connected(loopback, port), { code: "ECONNREFUSED" });
});

t.test("a UDP socket of dockerd's own", async (t) => {
  const { folder, server } = await served(t);
  const descriptor = udpSocket();
  bindSocket(descriptor, { ip: loopback, port: 0 });
  const { port } = localAddress(descriptor);
  const proxy = new Proxy(t, { folder, args: [...arguments20("udp", [loopback, port], [loopback, 9]), "-use-listen-fd"], descriptors: [descriptor] });
  t.same(await proxy.writes(), ["0\n"]);
  await server.says(`open udp ${loopback} ${port} ${loopback} 9`);
  closeDescriptor(descriptor);
});

t.test("a descriptor 4 of the wrong kind is refused", async (t) => {
  const { folder } = await served(t);
  const unbound = tcpSocket();
  const { descriptor, port } = listenerOf28("::1");
  const udp = udpSocket();
  const file = openSync("/dev/null", "r");
  for (const [fd, protocol] of [[unbound, "tcp"], [udp, "tcp"], [descriptor, "tcp"], [file, "tcp"], [descriptor, "udp"]] as const) {
    const proxy = new Proxy(t, { folder, args: [...arguments20(protocol, [loopback, port], [loopback, 9]), "-use-listen-fd"], descriptors: [fd] });
    t.equal(await proxy.verdict(), `1\ndescriptor 4 is not a ${protocol === "tcp" ? "listening TCP" : "UDP"} socket of IPv4`);
    t.equal(await proxy.end(), 1);
  }
  const without = new Proxy(t, { folder, args: [...arguments20("tcp", [loopback, port], [loopback, 9]), "-use-listen-fd"] });
  t.match(await without.verdict(), /^1\ndescriptor 4 is not/);
  [unbound, descriptor, udp].forEach(closeDescriptor);
  closeSync(file);
});

t.test("what cannot be published is refused in words", async (t) => {
  const { folder } = await served(t);
  const container = await echoServer(t);
  const taken = createServer();
  const port = await listenOn(taken, loopback);
  t.teardown(() => taken.close());
  const refusal = async (args: string[]) => {
    const proxy = new Proxy(t, { folder, args });
    const [verdict] = await proxy.writes();
    t.equal(await proxy.end(), 1);
    return verdict;
  };
  const held = await refusal(arguments20("tcp", [loopback, port], [loopback, container]));
  t.match(held, new RegExp(`^1\nlisten tcp4 ${loopback}:${port}: bind: address already in use \\(held by \\S+, pid ${process.pid}\\)$`));
  t.match(await refusal(arguments20("tcp", ["0.0.0.0", port], [loopback, container])), `pid ${process.pid})`);

  const free = await freePort();
  for (const protocol of ["tcp", "udp"]) {
    const first = new Proxy(t, { folder, args: arguments20(protocol, [loopback, free], [loopback, container]) });
    t.equal(await first.verdict(), "0\n");
    t.equal(await refusal(arguments20(protocol, [loopback, free], ["172.31.255.1", 81])),
      `1\nlisten ${protocol}4 ${loopback}:${free}: bind: address already in use (held by pontoon-docker-proxy, pid ${first.pid}, which publishes ${loopback}:${container} there)`);
  }
  t.equal(await refusal(arguments20("tcp", ["192.0.2.77", 80], [loopback, container])), "1\nlisten tcp4 192.0.2.77:80: bind: cannot assign requested address");
  t.equal(await refusal(arguments20("tcp", ["2001:db8::77", 80], [loopback, container])), "1\nlisten tcp6 [2001:db8::77]:80: bind: cannot assign requested address");
  t.equal(await refusal(arguments20("tcp", ["nonsense", 80], [loopback, container])), "1\ninvalid IP address: nonsense");
  t.equal(await refusal([]), "1\nlisten tcp: address -1: invalid port");
  t.equal(await refusal(arguments20("dccp", [loopback, 80], [loopback, 80])), "1\nunsupported protocol dccp");
});

t.test("descriptors that came along by accident are closed", async (t) => {
  const { folder } = await served(t);
  const extra = openSync("/etc/passwd", "r");
  const port = await freePort();
  const proxy = new Proxy(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, 9]), descriptors: [extra, extra, extra, extra, extra, extra, extra] });
  t.equal(await proxy.verdict(), "0\n");
  t.notOk([...openFiles(proxy.pid).values()].includes("/etc/passwd"));
  closeSync(extra);
});

t.test("while pontoon-proxy is dead connections wait, and none is refused", async (t) => {
  const { folder, server } = await served(t);
  const [container, port] = [await echoServer(t), await freePort()];
  const proxy = new Proxy(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
  t.equal(await proxy.verdict(), "0\n");
  let refused = 0;
  let answered = 0;
  let stopped = false;
  const client = async () => {
    while (!stopped) {
      try {
        const socket = await connected(loopback, port);
        socket.on("error", () => undefined);
        socket.end("x");
        // A connection that the dead process had accepted ends early; one that waits is answered in the end.
        if ((await readAll(socket).catch(() => "")) === "hello x") answered++;
      } catch {
        refused++;
      }
    }
  };
  const clients = Array.from({ length: 8 }, client);
  let before = server;
  for (let round = 0; round < 3; round++) {
    await until(() => answered > round * 20, { what: "clients are answered", timeoutMs: 20_000 });
    await before.kill();
    const waiting = await connected(loopback, port);
    waiting.end("waited");
    before = await ShimServer.start(folder);
    t.equal(await readAll(waiting), "hello waited");
  }
  t.teardown(() => before.kill());
  stopped = true;
  await Promise.all(clients);
  t.equal(refused, 0);
  t.equal(proxy.executable, program);
  await before.kill();
  t.equal(await proxy.kill("SIGINT"), 0, "and it can be stopped while nobody is there");
});

t.test("with nobody there it is Docker's own docker-proxy", async (t) => {
  const folder = folderOf(t);
  const [container, port] = [await echoServer(t), await freePort()];
  const proxy = new Proxy(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
  t.equal(await proxy.verdict(), "0\n");
  t.match(proxy.executable, /\/docker-proxy$/);
  t.equal(await talk(loopback, port, "world"), "hello world");
  t.equal(await proxy.kill("SIGINT"), 0, "no signal is blocked in it");
});

t.test("a pontoon-proxy that hangs is waited for only so long", async (t) => {
  const { folder, server } = await served(t);
  const [container, port] = [await echoServer(t), await freePort()];
  await server.signal("SIGSTOP");
  const proxy = new Proxy(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, container]), patienceMs: 100 });
  t.equal(await proxy.verdict(), "0\n");
  t.match(proxy.executable, /\/docker-proxy$/);
  t.equal(await talk(loopback, port, "world"), "hello world");
  await server.signal("SIGCONT");
});

t.test("arguments and descriptor 4 reach Docker's own docker-proxy as they are", { skip: dockerProxyIsFixed() && "Docker's docker-proxy is not on PATH alone" }, async (t) => {
  const folder = folderOf(t);
  const env = { PATH: `${fakeDockerProxy(folder)}:/usr/bin:/bin` };
  const { descriptor, port } = listenerOf28();
  const args = [...arguments20("tcp", [loopback, port], [loopback, 80]), "-use-listen-fd"];
  t.equal(await new Proxy(t, { folder, args, env, descriptors: [descriptor] }).verdict(), `1\nfake ${args.join(" ")}; descriptor 4 open`);
  closeDescriptor(descriptor);
  const sctp = arguments20("sctp", [loopback, 80], [loopback, 80]);
  t.equal(await new Proxy(t, { folder, args: sctp, env }).verdict(), `1\nfake ${sctp.join(" ")}; descriptor 4 closed`);
});

t.test("it never takes itself for Docker's own", { skip: dockerProxyIsFixed() && "Docker's docker-proxy is not on PATH alone" }, async (t) => {
  const folder = folderOf(t);
  const folders = ["link", "hard", "copy", "other-copy", "real"].map((name) => join(folder, name));
  folders.forEach((name) => mkdirSync(name));
  const [link, hard, copy, otherCopy, real] = folders.map((name) => join(name, "docker-proxy"));
  symlinkSync(program, link!);
  try {
    linkSync(program, hard!);
  } catch {
    symlinkSync(program, hard!); // the clone is on another file system
  }
  copyFileSync(program, copy!);
  copyFileSync(program, otherCopy!);
  const args = arguments20("tcp", [loopback, 80], [loopback, 80]);
  const refused = new Proxy(t, { folder, args, env: { PATH: folders.join(":") } });
  t.match(await refused.verdict(), /^1\npontoon-proxy does not answer at .*proxy\.sock, and Docker's own docker-proxy was not found; start pontoon/);
  t.equal(await refused.end(), 1);
  fakeDockerProxy(folders[4]!);
  t.ok(existsSync(real!));
  t.match(await new Proxy(t, { folder, args, env: { PATH: `${folders.join(":")}:/usr/bin:/bin` } }).verdict(), /^1\nfake /);
  const sctp = new Proxy(t, { folder, args: arguments20("sctp", [loopback, 80], [loopback, 80]), env: { PATH: link! } });
  t.match(await sctp.verdict(), /^1\nunsupported protocol sctp: pontoon leaves SCTP to Docker's own docker-proxy, which was not found/);
});

t.test("a port in another network namespace is Docker's", async (t) => {
  const { folder, server } = await served(t);
  const proxy = new Proxy(t, { folder, args: arguments20("tcp", ["0.0.0.0", 80], ["127.0.0.1", 80]), wrapper: ["unshare", "--net"] });
  t.equal(await proxy.verdict(), "0\n");
  t.match(proxy.executable, /\/docker-proxy$/);
  await server.says("no the port is in another network namespace");
});

t.test("a pontoon that leaves for good gives its ports to Docker's own docker-proxy", async (t) => {
  const { folder, server } = await served(t);
  const [container, port] = [await echoServer(t), await freePort()];
  const proxy = new Proxy(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
  t.equal(await proxy.verdict(), "0\n");
  await server.signal("SIGUSR2");
  await until(() => proxy.executable.endsWith("/docker-proxy"), { what: "Docker's own docker-proxy takes over" });
  await until(async () => (await talk(loopback, port, "world")) === "hello world", { what: "it serves" });
  t.equal(await proxy.kill("SIGINT"), 0);
});

/** Starts two commands from a thread of its own, with the kernel's promise of SIGTERM when that thread ends. */
async function startFromThread(commands: string[][], env: Record<string, string>, verdict: number): Promise<{ pids: number[]; endThread: () => Promise<unknown> }> {
  const worker = new Worker(
    `const { parentPort, workerData: { commands, env, verdict } } = require("node:worker_threads");
     const { spawn } = require("node:child_process");
     const start = (command) => spawn("setpriv", ["--pdeathsig", "TERM", ...command], { env, stdio: ["ignore", "ignore", "ignore", verdict] });
     parentPort.postMessage(commands.map((command) => start(command).pid));
     setInterval(() => {}, 1000);`,
    { eval: true, workerData: { commands, env: { ...hostEnvironment, ...env }, verdict } },
  );
  const [pids] = (await once(worker, "message")) as [number[]];
  return { pids, endThread: () => worker.terminate() };
}

t.test("the end of the thread that started it is not the end of dockerd", async (t) => {
  const { folder } = await served(t);
  const [container, port] = [await echoServer(t), await freePort()];
  const { read, write } = verdictPipe(folder);
  const commands = [[program, ...arguments20("tcp", [loopback, port], [loopback, container])], ["sleep", "1000"]];
  const { pids, endThread } = await startFromThread(commands, { PONTOON_RUN_DIR: folder, PONTOON_PATIENCE_MS: "20000" }, write);
  const [proxy, other] = pids as [number, number];
  closeDescriptor(write);
  t.teardown(() => process.kill(proxy, "SIGKILL"));
  await until(async () => (await talk(loopback, port, "x")) === "hello x", { what: "the port is served", timeoutMs: 20_000 });
  await until(() => readFileSync(`/proc/${other}/comm`, "utf8") === "sleep\n", { what: "the other process runs" });
  await endThread();
  await until(() => hasEnded(other), { what: "SIGTERM ends the other process of that thread", timeoutMs: 20_000 });
  await until(() => !isPending(proxy, 15), { what: "the signal is read" });
  t.equal(await talk(loopback, port, "still"), "hello still");
  closeDescriptor(read);
});

/** A dockerd that can be killed: a shell with a docker-proxy that gets SIGTERM at its end. */
async function killableParent(t: Owner, folder: string, args: string[], descriptors: number[] = []): Promise<{ kill: () => Promise<void>; proxy: number }> {
  const { read, write } = verdictPipe(folder);
  const parent = spawn("sh", ["-c", 'setpriv --pdeathsig TERM "$@" & echo $!; wait', "sh", program, ...args], {
    env: { ...hostEnvironment, PONTOON_RUN_DIR: folder, PONTOON_PATIENCE_MS: "20000" },
    stdio: ["ignore", "pipe", "inherit", write, ...descriptors],
  });
  closeDescriptor(write);
  t.teardown(() => {
    closeDescriptor(read);
    parent.kill("SIGKILL");
  });
  const [line] = (await once(parent.stdout!, "data")) as [Buffer];
  const proxy = Number(line.toString());
  const kill = async () => {
    const exit = once(parent, "exit");
    parent.kill("SIGKILL");
    await exit;
    await until(() => hasEnded(proxy), { what: "the docker-proxy ends with its dockerd", timeoutMs: 20_000 });
  };
  return { kill, proxy };
}

t.test("when dockerd dies its listener is kept for the one that returns", async (t) => {
  const { folder, server } = await served(t);
  const [container, port] = [await echoServer(t), await freePort()];
  const args = arguments20("tcp", [loopback, port], [loopback, container]);
  const parent = await killableParent(t, folder, args);
  await server.says(`open tcp ${loopback} ${port} ${loopback} ${container}`);
  const established = await connected(loopback, port);
  await parent.kill();
  t.equal(await talk(loopback, port, "meanwhile"), "hello meanwhile");
  const returned = new Proxy(t, { folder, args });
  t.same(await returned.writes(), ["0\n"]);
  established.end("survived");
  t.equal(await readAll(established), "hello survived");
  t.equal(await talk(loopback, port, "again"), "hello again");
  t.equal(server.lines.filter((line) => line.startsWith("open")).length, 1, "the listener has been served all the time");
  await t.test("and goes with the new one", async (t) => {
    t.equal(await returned.kill("SIGINT"), 0);
    await t.rejects(connected(loopback, port), { code: "ECONNREFUSED" });
  });
});

t.test("a kept listener makes way for another container, and ends after a time", async (t) => {
  const { folder, server } = await served(t, 300);
  const [container, other, port] = [await echoServer(t), await echoServer(t), await freePort()];
  await (await startAndKill(t, folder, server, port, container))();
  const replaced = new Proxy(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, other]) });
  t.equal(await replaced.verdict(), "0\n");
  t.equal(await replaced.kill("SIGINT"), 0);
  await (await startAndKill(t, folder, server, port, container))();
  await server.says(/^close /, 3);
  await t.rejects(connected(loopback, port), { code: "ECONNREFUSED" });
});

async function startAndKill(t: Owner, folder: string, server: ShimServer, port: number, container: number): Promise<() => Promise<void>> {
  const opened = server.lines.filter((line) => line.startsWith("open")).length;
  const parent = await killableParent(t, folder, arguments20("tcp", [loopback, port], [loopback, container]));
  await server.says(/^open /, opened + 1);
  return parent.kill;
}

t.test("a listener that was dockerd's own is closed at once when dockerd dies", async (t) => {
  const { folder, server } = await served(t);
  const container = await echoServer(t);
  const { descriptor, port } = listenerOf28();
  const parent = await killableParent(t, folder, [...arguments20("tcp", [loopback, port], [loopback, container]), "-use-listen-fd"], [descriptor]);
  await server.says(/^open /);
  closeDescriptor(descriptor);
  await parent.kill();
  const again = createServer();
  t.equal(await listenOn(again, loopback, port), port, "the returning dockerd can bind it at once");
  again.close();
});

/** Whether a signal waits to be read by a process. */
function isPending(pid: number, signal: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return [...status.matchAll(/^(?:ShdPnd|SigPnd):\s+([0-9a-f]+)$/gm)].some(([, mask]) => (BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n);
}

/** Whether a process is gone, or waits only for its parent to take note. */
function hasEnded(pid: number): boolean {
  return !existsSync(`/proc/${pid}/stat`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}
