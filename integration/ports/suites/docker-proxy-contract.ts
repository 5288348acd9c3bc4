// What dockerd may expect of its docker-proxy, played from dockerd's side: as dockerd 20.10 does, and as 28 and later do.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { execa } from "execa";
import type { Test } from "tap";
import { IPPROTO_IPV6, IPV6_V6ONLY, SO_RCVBUF, SO_REUSEADDR, SOL_SOCKET } from "../../../linux/constants.js";
import { udpBuffer } from "../../../linux/listener.js";
import { receivePacket, sendPacket } from "../../../linux/packet-connection.js";
import {
  acceptSocket,
  bindSocket,
  bindUnix,
  closeDescriptor,
  getOption,
  listenSocket,
  localAddress,
  packetSocket,
  setOption,
  tcpSocket,
  udpSocket,
  WOULD_BLOCK,
} from "../../../linux/socket.js";
import { hostEnvironment } from "../../lab/command.js";
import { until } from "../../lab/until.js";
import {
  arguments20,
  connected,
  dockerProxyIsFixed,
  echoDatagrams,
  echoServer,
  fakeDockerProxy,
  folderOf,
  freePort,
  listenOn,
  loopback,
  PontoonProxy,
  Proxy,
  readAll,
  talk,
  talkInDatagrams,
  verdictPipe,
  type Owner,
  type StartOptions,
} from "./docker-proxy-player.js";

const notOnPathAlone = { skip: dockerProxyIsFixed() && "Docker's docker-proxy is not on PATH alone" };

/** A socket as dockerd 28 passes it. */
function listenerOf28(protocol: "tcp" | "udp", ip = loopback, port = 0): { descriptor: number; port: number } {
  const family = ip.includes(":") ? "ipv6" : "ipv4";
  const descriptor = protocol === "tcp" ? tcpSocket(family) : udpSocket(family);
  if (protocol === "tcp") setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
  if (family === "ipv6") setOption(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
  bindSocket(descriptor, { ip, port });
  if (protocol === "tcp") listenSocket(descriptor, 4096);
  return { descriptor, port: localAddress(descriptor).port };
}

/** The socket of the dockerd that returns; the last thread of the docker-proxy before may still be ending. */
function listenerOfNext(protocol: "tcp" | "udp", port: number): Promise<{ descriptor: number; port: number }> {
  return until(() => listenerOf28(protocol, loopback, port), { what: `${protocol} port ${port} can be bound again` });
}

/** The tests that every docker-proxy of ours has to pass. @param command starts it */
export function testContract(t: Test, command: readonly string[]): void {
  const start = (t: Owner, options: StartOptions) => new Proxy(t, { command, ...options });

  async function served(t: Owner): Promise<{ folder: string; server: PontoonProxy }> {
    const folder = folderOf(t);
    return { folder, server: await PontoonProxy.start(t, folder) };
  }

  t.test("the command line is read as Go reads it", async (t) => {
    const folder = folderOf(t);
    for (const [args, problem] of [
      [["-no-such"], "flag provided but not defined: -no-such\nUsage of "],
      [["--proto=udp", "--colour", "red"], "flag provided but not defined: -colour\nUsage of "],
      [["-proto"], "flag needs an argument: -proto\nUsage of "],
      [["-host-port", "http"], 'invalid value "http" for flag -host-port: parse error\nUsage of '],
      [
        ["-host-port=99999999999999999999"],
        'invalid value "99999999999999999999" for flag -host-port: value out of range\nUsage of ',
      ],
      [["-use-listen-fd=perhaps"], 'invalid boolean value "perhaps" for -use-listen-fd: parse error\nUsage of '],
      [["---proto"], "bad flag syntax: ---proto\nUsage of "],
    ] as const) {
      const proxy = start(t, { args, folder });
      t.equal(await proxy.end(), 2, args.join(" "));
      t.same(await proxy.writes(), [], "nothing on descriptor 3");
      await until(() => proxy.stderr.includes("-use-listen-fd"), { what: "the usage is printed" });
      t.ok(proxy.stderr.startsWith(problem), proxy.stderr);
    }
    for (const flag of ["-v", "--version", "-v=true"]) {
      const [file, ...rest] = command;
      const { stdout } = await execa(file!, [...rest, flag], {
        stdin: "ignore",
        stderr: "inherit",
        stripFinalNewline: false,
      });
      t.match(stdout, /^docker-proxy \(commit \S+\) version \S+\n$/);
    }
  });

  t.test("a TCP port, as dockerd 20.10 asks for it", async (t) => {
    const { folder, server } = await served(t);
    const [container, port] = [await echoServer(t), await freePort()];
    const proxy = start(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
    t.same(await proxy.writes(), ["0\n"], "one write, then the end");
    const socket = await connected(loopback, port);
    socket.end("late");
    t.equal(await readAll(socket), "hello late", "half-open connections stay so");
    t.same(await server.serves(1), [`tcp ${loopback} ${port} ${loopback} ${container}`]);
    t.equal(await proxy.kill("SIGINT"), 0);
    const again = createServer();
    t.equal(await listenOn(again, loopback, port), port, "the port is free the moment the process has ended");
    again.close();
    await server.serves(0);
  });

  t.test("a container that does not take connections: they begin, and end at once", async (t) => {
    const { folder } = await served(t);
    const [nobody, port] = [await freePort(), await freePort()];
    t.equal(
      await start(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, nobody]) }).verdict(),
      "0\n",
    );
    // The reset may be there before the client has seen that its connection began.
    const end = connected(loopback, port)
      .then(readAll)
      .catch((error: NodeJS.ErrnoException) => error.code);
    t.equal(await end, "ECONNRESET");
  });

  t.test("flags as name=value, in hexadecimal, and left out", async (t) => {
    const { folder, server } = await served(t);
    const [container, port] = [await echoServer(t), await freePort("0.0.0.0")];
    const args = [
      "--proto=tcp",
      `-host-ip=${loopback}`,
      `--host-port=0x${port.toString(16)}`,
      `-container-ip=::ffff:${loopback}`,
      `-container-port=${container}`,
    ];
    const proxy = start(t, { folder, args });
    t.equal(await proxy.verdict(), "0\n");
    t.equal(await talk(loopback, port, "x"), "hello x");
    t.equal(await proxy.kill("SIGINT"), 0);
    for (const hostIp of [[], ["-host-ip", ""]]) {
      const proxy = start(t, {
        folder,
        args: [
          "-host-port",
          String(port),
          "-container-ip",
          loopback,
          "-container-port",
          String(container),
          "-use-listen-fd=false",
          ...hostIp,
          "end",
          "-no-flag",
        ],
      });
      t.equal(await proxy.verdict(), "0\n");
      t.same(await server.serves(1), [`tcp 0.0.0.0 ${port} ${loopback} ${container}`], "TCP on every address of IPv4");
      t.equal(await proxy.kill("SIGINT"), 0);
    }
  });

  t.test("many ports start and stop in a row, and none is still held", async (t) => {
    const { folder, server } = await served(t);
    const [container, port] = [await echoServer(t), await freePort()];
    for (const protocol of ["tcp", "udp", "tcp", "udp", "tcp", "udp"]) {
      const proxy = start(t, { folder, args: arguments20(protocol, [loopback, port], [loopback, container]) });
      t.same(await proxy.writes(), ["0\n"]);
      await server.serves(1);
      t.equal(await proxy.kill("SIGINT"), 0);
    }
  });

  t.test("a UDP port", async (t) => {
    const { folder } = await served(t);
    const [container, port] = [await echoDatagrams(t), await freePort()];
    const proxy = start(t, { folder, args: arguments20("udp", [loopback, port], [loopback, container]) });
    t.same(await proxy.writes(), ["0\n"]);
    t.equal(await talkInDatagrams(t, loopback, port, "world"), "hello world");
    t.match(
      execFileSync("ss", ["-Huamn", `sport = :${port}`], { encoding: "latin1" }),
      new RegExp(`rb${2 * udpBuffer}\\b`),
      "a burst finds room",
    );
    t.equal(await proxy.kill("SIGINT"), 0);
  });

  for (const protocol of ["tcp", "udp"] as const)
    t.test(`the same ${protocol} port of IPv4 and IPv6, before an IPv4-only container`, async (t) => {
      const { folder } = await served(t);
      const [container, port] = [await (protocol === "tcp" ? echoServer(t) : echoDatagrams(t)), await freePort("::")];
      const say = (ip: string, text: string) =>
        protocol === "tcp" ? talk(ip, port, text) : talkInDatagrams(t, ip, port, text);
      for (const ip of ["0.0.0.0", "::"])
        t.same(
          await start(t, { folder, args: arguments20(protocol, [ip, port], [loopback, container]) }).writes(),
          ["0\n"],
          ip,
        );
      t.equal(await say("127.0.0.1", "four"), "hello four");
      t.equal(await say("::1", "six"), "hello six");
    });

  for (const [protocol, ip] of [
    ["tcp", loopback],
    ["udp", loopback],
    ["tcp", "::1"],
    ["udp", "::1"],
  ] as const)
    t.test(
      `a ${protocol} socket of dockerd's own at ${ip.includes(":") ? "::1" : "an IPv4 address"}, as 28 and later pass it`,
      async (t) => {
        const { folder, server } = await served(t);
        const container = await (protocol === "tcp" ? echoServer(t) : echoDatagrams(t));
        const { descriptor, port } = listenerOf28(protocol, ip);
        const args = [...arguments20(protocol, [ip, port], [loopback, container]), "-use-listen-fd"];
        const proxy = start(t, { folder, args, descriptors: [descriptor] });
        t.same(await proxy.writes(), ["0\n"]);
        if (protocol === "udp") t.equal(getOption(descriptor, SOL_SOCKET, SO_RCVBUF, ""), 2 * udpBuffer);
        closeDescriptor(descriptor);
        t.same(await server.serves(1), [`${protocol} ${ip} ${port} ${loopback} ${container}`]);
        t.equal(
          await (protocol === "tcp" ? talk(ip, port, "world") : talkInDatagrams(t, ip, port, "world")),
          "hello world",
        );
        t.equal(await proxy.kill("SIGINT"), 0);
        const again =
          protocol === "tcp" ? tcpSocket(ip === "::1" ? "ipv6" : "ipv4") : udpSocket(ip === "::1" ? "ipv6" : "ipv4");
        if (protocol === "tcp") setOption(again, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
        t.doesNotThrow(() => bindSocket(again, { ip, port }), "the port is free");
        closeDescriptor(again);
      },
    );

  t.test("a descriptor 4 of the wrong kind is refused", async (t) => {
    const { folder } = await served(t);
    const unbound = tcpSocket();
    const { descriptor, port } = listenerOf28("tcp", "::1");
    const udp = udpSocket();
    const file = openSync("/dev/null", "r");
    for (const [fd, protocol] of [
      [unbound, "tcp"],
      [udp, "tcp"],
      [descriptor, "tcp"],
      [file, "tcp"],
      [descriptor, "udp"],
    ] as const) {
      const proxy = start(t, {
        folder,
        args: [...arguments20(protocol, [loopback, port], [loopback, 9]), "-use-listen-fd"],
        descriptors: [fd],
      });
      t.equal(
        await proxy.verdict(),
        `1\ndescriptor 4 is not a ${protocol === "tcp" ? "listening TCP" : "UDP"} socket of IPv4`,
      );
      t.equal(await proxy.end(), 1);
    }
    const without = start(t, {
      folder,
      args: [...arguments20("tcp", [loopback, port], [loopback, 9]), "-use-listen-fd"],
    });
    t.match(await without.verdict(), /^1\ndescriptor 4 is not/);
    [unbound, descriptor, udp].forEach(closeDescriptor);
    closeSync(file);
  });

  t.test(
    "for whom pontoon has the port is asked, and whatever is answered, or not, the port is refused in the same words",
    async (t) => {
      const taken = createServer();
      const port = await listenOn(taken, loopback);
      t.teardown(() => taken.close());
      for (const [answer, added] of [
        ["held `pontoon publish` opened it for web", ": `pontoon publish` opened it for web"],
        ["held x\x1b[2J\n\u00e9", ": x?[2J?"],
        ["nobody", ""],
        ["no the message is of no known kind", ""], // as earlier versions say
        ["?", ""],
        [undefined, ""],
      ] as const) {
        const folder = folderOf(t);
        const server = packetSocket();
        bindUnix(server, join(folder, "proxy.sock"));
        listenSocket(server, 4);
        const asked: string[] = [];
        const connections: number[] = [];
        const serving = setInterval(() => {
          const connection = acceptSocket(server);
          if (connection !== WOULD_BLOCK) connections.push(connection);
          for (const fd of connections) {
            const packet = receivePacket(fd);
            if (packet === undefined || packet === "closed") continue;
            asked.push(packet.bytes.toString().split(" ")[1]!);
            const said = asked.at(-1) === "ask" ? "ready" : answer;
            if (said !== undefined) sendPacket(fd, Buffer.from(said));
          }
        }, 5);
        t.teardown(() => clearInterval(serving));
        const proxy = start(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, 80]) });
        const [verdict = ""] = await proxy.writes();
        t.equal(await proxy.end(), 1);
        clearInterval(serving);
        [server, ...connections].forEach(closeDescriptor);
        t.same(asked, ["ask", "who"]);
        t.match(
          verdict,
          new RegExp(
            `^1\nlisten tcp4 ${loopback}:${port}: bind: address already in use \\(held by \\S+, pid ${process.pid}\\)[ -~]*$`,
          ),
        );
        t.ok(added === "" ? verdict.endsWith(`pid ${process.pid})`) : verdict.includes(`)${added}`), verdict);
      }
    },
  );

  t.test("what cannot be published is refused in words", async (t) => {
    const { folder } = await served(t);
    const container = await echoServer(t);
    const taken = createServer();
    const port = await listenOn(taken, loopback);
    t.teardown(() => taken.close());
    const refusal = async (args: string[]) => {
      const proxy = start(t, { folder, args });
      const [verdict] = await proxy.writes();
      t.equal(await proxy.end(), 1);
      return verdict;
    };
    const held = await refusal(arguments20("tcp", [loopback, port], [loopback, container]));
    t.match(
      held,
      new RegExp(
        `^1\nlisten tcp4 ${loopback}:${port}: bind: address already in use \\(held by \\S+, pid ${process.pid}\\)$`,
      ),
    );
    t.match(await refusal(arguments20("tcp", ["0.0.0.0", port], [loopback, container])), `pid ${process.pid})`);

    const odd = spawn(
      process.execPath,
      [
        "--eval",
        'process.title = "x\\x1b[2J\\u009b\\u202e\\ny"; require("net").createServer()' +
          ".listen(0, process.argv[1], function () { console.log(this.address().port); })",
        loopback,
      ],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    t.teardown(() => odd.kill("SIGKILL"));
    const [oddPort] = (await once(odd.stdout, "data")) as [Buffer];
    t.match(
      await refusal(arguments20("tcp", [loopback, Number(oddPort.toString())], [loopback, container])),
      new RegExp(`^1\nlisten [ -~]* \\(held by x\\?\\[2J[?y]+, pid ${odd.pid}\\)$`),
      "a process with a name that a terminal obeys",
    );

    const free = await freePort();
    for (const protocol of ["tcp", "udp"]) {
      const first = start(t, { folder, args: arguments20(protocol, [loopback, free], [loopback, container]) });
      t.equal(await first.verdict(), "0\n");
      const words = (await refusal(arguments20(protocol, [loopback, free], ["172.31.255.1", 81])))!;
      t.ok(
        words.startsWith(`1\nlisten ${protocol}4 ${loopback}:${free}: bind: address already in use (held by `),
        words,
      );
      t.ok(words.endsWith(`, pid ${first.pid}, which publishes ${loopback}:${container} there)`), words);
    }
    t.equal(
      await refusal(arguments20("tcp", ["192.0.2.77", 80], [loopback, container])),
      "1\nlisten tcp4 192.0.2.77:80: bind: cannot assign requested address",
    );
    t.equal(
      await refusal(arguments20("tcp", ["2001:db8::77", 80], [loopback, container])),
      "1\nlisten tcp6 [2001:db8::77]:80: bind: cannot assign requested address",
    );
    t.equal(
      await refusal(arguments20("tcp", ["nonsense", 80], [loopback, container])),
      "1\ninvalid IP address: nonsense",
    );
    t.equal(await refusal([]), "1\nlisten tcp: address -1: invalid port");
    t.equal(await refusal(arguments20("dccp", [loopback, 80], [loopback, 80])), "1\nunsupported protocol dccp");
  });

  t.test("while pontoon-proxy is dead connections wait, and none is refused", async (t) => {
    const { folder, server } = await served(t);
    const [container, port] = [await echoServer(t), await freePort()];
    const proxy = start(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
    t.equal(await proxy.verdict(), "0\n");
    let [refused, answered, stopped] = [0, 0, false];
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
    let current = server;
    for (let round = 0; round < 3; round++) {
      await until(() => answered > round * 20, { what: "clients are answered", timeoutMs: 20_000 });
      await current.kill();
      const waiting = await connected(loopback, port);
      waiting.end("waited");
      current = await PontoonProxy.start(t, folder);
      t.equal(await readAll(waiting), "hello waited");
    }
    stopped = true;
    await Promise.all(clients);
    t.equal(refused, 0);
    t.notMatch(proxy.executable, /\/docker-proxy$/);
    await current.kill();
    t.equal(await proxy.kill("SIGINT"), 0, "and it can be stopped while nobody is there");
  });

  t.test("with nobody there it is Docker's own docker-proxy", async (t) => {
    const folder = folderOf(t);
    const [container, port] = [await echoServer(t), await freePort()];
    const proxy = start(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
    t.equal(await proxy.verdict(), "0\n");
    t.match(proxy.executable, /\/docker-proxy$/);
    t.equal(await talk(loopback, port, "world"), "hello world");
    t.equal(await proxy.kill("SIGINT"), 0, "no signal is blocked in it");
  });

  t.test("a pontoon-proxy that has died is waited for while there is a daemon to start another", async (t) => {
    const { folder, server } = await served(t);
    const [container, port] = [await echoServer(t), await freePort()];
    await server.kill();
    const args = arguments20("tcp", [loopback, port], [loopback, container]);
    const alone = start(t, { folder, args, patienceMs: 1_000_000 });
    t.equal(await alone.verdict(), "0\n");
    t.match(alone.executable, /\/docker-proxy$/);
    t.equal(await alone.kill("SIGINT"), 0);
    const daemon = createServer().listen(join(folder, "control.sock"));
    t.teardown(() => daemon.close());
    const proxy = start(t, { folder, args, patienceMs: 1_000_000 });
    const verdict = proxy.verdict();
    await (await PontoonProxy.start(t, folder)).serves(1);
    t.equal(await verdict, "0\n");
    t.equal(await talk(loopback, port, "world"), "hello world");
  });

  t.test("a pontoon-proxy that hangs is waited for only so long, and holds up no end", async (t) => {
    const { folder, server } = await served(t);
    const [container, port, other] = [await echoServer(t), await freePort(), await freePort()];
    const before = start(t, { folder, args: arguments20("tcp", [loopback, other], [loopback, container]) });
    t.equal(await before.verdict(), "0\n");
    server.signal("SIGSTOP");
    const proxy = start(t, {
      folder,
      args: arguments20("tcp", [loopback, port], [loopback, container]),
      patienceMs: 100,
    });
    t.equal(await proxy.verdict(), "0\n");
    t.match(proxy.executable, /\/docker-proxy$/);
    t.equal(await talk(loopback, port, "world"), "hello world");
    const asked = connectionsTo(folder);
    const patient = start(t, {
      folder,
      args: arguments20("tcp", [loopback, await freePort()], [loopback, container]),
      patienceMs: 1_000_000,
    });
    await until(() => connectionsTo(folder) > asked, { what: "it has asked", timeoutMs: 20_000 });
    t.equal(await patient.kill("SIGINT"), 0, "one that waits for an answer");
    t.equal(await before.kill("SIGINT"), 0, "one that was served");
    const again = createServer();
    t.equal(await listenOn(again, loopback, other), other, "and its port is free");
    again.close();
    server.signal("SIGCONT");
  });

  for (const protocol of ["tcp", "udp"] as const)
    t.test(`when pontoon-proxy does not return a ${protocol} port is Docker's own docker-proxy's`, async (t) => {
      const { folder, server } = await served(t);
      const [container, port] = [await (protocol === "tcp" ? echoServer(t) : echoDatagrams(t)), await freePort()];
      const say = (text: string) =>
        protocol === "tcp" ? talk(loopback, port, text) : talkInDatagrams(t, loopback, port, text);
      const proxy = start(t, {
        folder,
        args: arguments20(protocol, [loopback, port], [loopback, container]),
        returnMs: 300,
      });
      t.equal(await proxy.verdict(), "0\n");
      await server.serves(1);
      const { pid } = proxy;
      await server.kill();
      await proxy.executableIs(/\/docker-proxy$/);
      await until(async () => (await say("own")) === "hello own", { what: "it serves", timeoutMs: 20_000 });
      t.equal(proxy.pid, pid);
      t.equal(await proxy.kill("SIGINT"), 0);
    });

  t.test("one that returns late finds those that could not become Docker's own", notOnPathAlone, async (t) => {
    const { folder, server } = await served(t);
    const [container, port] = [await echoServer(t), await freePort()];
    const proxy = start(t, {
      folder,
      args: arguments20("tcp", [loopback, port], [loopback, container]),
      returnMs: 1,
      env: { PATH: folder },
    });
    t.equal(await proxy.verdict(), "0\n");
    await server.kill();
    const waiting = await until(() => connected(loopback, port), { what: "the port is kept" });
    waiting.on("error", () => undefined).end(); // it may have been there before the port was bound once more
    const second = await PontoonProxy.start(t, folder);
    await second.serves(1);
    t.equal(await talk(loopback, port, "late"), "hello late");
    t.equal(await proxy.kill("SIGINT"), 0);
  });

  t.test(
    "a socket of dockerd's own goes to Docker's own docker-proxy when pontoon-proxy does not return",
    notOnPathAlone,
    async (t) => {
      const { folder, server } = await served(t);
      const { descriptor, port } = listenerOf28("tcp");
      const env = {
        PATH: `${fakeDockerProxy(folder, `echo "$*" >${folder}/executed; exec sleep 1000`)}:/usr/bin:/bin`,
      };
      const args = [...arguments20("tcp", [loopback, port], [loopback, 80]), "-use-listen-fd"];
      const proxy = start(t, { folder, args, env, descriptors: [descriptor], returnMs: 1 });
      t.equal(await proxy.verdict(), "0\n");
      closeDescriptor(descriptor);
      await server.kill();
      await until(() => readFileSync(join(folder, "executed"), "utf8") === `${args.join(" ")}\n`, {
        what: "it is executed",
        timeoutMs: 20_000,
      });
      const waiting = await connected(loopback, port);
      waiting.destroy();
    },
  );

  t.test("arguments and descriptor 4 reach Docker's own docker-proxy as they are", notOnPathAlone, async (t) => {
    const folder = folderOf(t);
    const env = { PATH: `${fakeDockerProxy(folder)}:/usr/bin:/bin` };
    const { descriptor, port } = listenerOf28("tcp");
    for (const protocol of ["tcp", "sctp"]) {
      const args = arguments20(protocol, [loopback, port], [loopback, 80]);
      const with28 = [...args, "-use-listen-fd"];
      t.equal(
        await start(t, { folder, args: with28, env, descriptors: [descriptor] }).verdict(),
        `1\nfake ${with28.join(" ")}; descriptor 4 open`,
      );
      t.equal(
        await start(t, { folder, args, env, descriptors: [descriptor] }).verdict(),
        `1\nfake ${args.join(" ")}; descriptor 4 closed`,
      );
    }
    closeDescriptor(descriptor);
  });

  t.test("without Docker's own docker-proxy there are clear words", notOnPathAlone, async (t) => {
    const folder = folderOf(t);
    const env = { PATH: folder };
    const nobody = start(t, { folder, args: arguments20("tcp", [loopback, 80], [loopback, 80]), env });
    t.match(
      await nobody.verdict(),
      /^1\npontoon-proxy does not answer at .*proxy\.sock, and Docker's own docker-proxy was not found; start pontoon/,
    );
    t.equal(await nobody.end(), 1);
    const sctp = start(t, { folder, args: arguments20("sctp", [loopback, 80], [loopback, 80]), env });
    t.same(await sctp.writes(), [
      "1\nunsupported protocol sctp: pontoon leaves SCTP to Docker's own docker-proxy, which was not found; install it",
    ]);
    t.equal(await sctp.end(), 1);
  });

  t.test("a port in another network namespace is Docker's", async (t) => {
    const { folder, server } = await served(t);
    const proxy = start(t, {
      folder,
      args: arguments20("tcp", ["0.0.0.0", 80], ["127.0.0.1", 80]),
      wrapper: ["unshare", "--net"],
    });
    t.equal(await proxy.verdict(), "0\n");
    t.match(proxy.executable, /\/docker-proxy$/);
    t.equal(await server.declined(), "the port is in another network namespace");
  });

  t.test("a pontoon that leaves for good gives its ports to Docker's own docker-proxy", async (t) => {
    const { folder, server } = await served(t);
    const [container, port] = [await echoServer(t), await freePort()];
    const proxy = start(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, container]) });
    t.equal(await proxy.verdict(), "0\n");
    server.signal("SIGTERM");
    await proxy.executableIs(/\/docker-proxy$/);
    await until(async () => (await talk(loopback, port, "world")) === "hello world", { what: "it serves" });
    t.equal(await proxy.kill("SIGINT"), 0);
  });

  t.test("the end of the thread that started it is not the end of dockerd", async (t) => {
    const { folder } = await served(t);
    const [container, port] = [await echoServer(t), await freePort()];
    const { read, write } = verdictPipe(folder);
    const commands = [
      [...command, ...arguments20("tcp", [loopback, port], [loopback, container])],
      ["sleep", "1000"],
    ];
    const { pids, endThread } = await startFromThread(
      commands,
      { PONTOON_RUN_DIR: folder, PONTOON_PATIENCE_MS: "20000" },
      write,
    );
    const [proxy, other] = pids as [number, number];
    closeDescriptor(write);
    t.teardown(() => process.kill(proxy, "SIGKILL"));
    await until(async () => (await talk(loopback, port, "x")) === "hello x", {
      what: "the port is served",
      timeoutMs: 20_000,
    });
    await until(() => readFileSync(`/proc/${other}/comm`, "utf8") === "sleep\n", { what: "the other process runs" });
    await endThread();
    await until(() => hasEnded(other), { what: "SIGTERM ends the other process of that thread", timeoutMs: 20_000 });
    await until(() => !isPending(proxy, 15), { what: "the signal is read" });
    t.equal(await talk(loopback, port, "still"), "hello still");
    closeDescriptor(read);
  });

  t.test("when dockerd dies its listener is kept for the one that returns", async (t) => {
    const { folder, server } = await served(t);
    const [container, port] = [await echoServer(t), await freePort()];
    const args = arguments20("tcp", [loopback, port], [loopback, container]);
    const parent = await killableParent(t, folder, [...command, ...args]);
    await server.serves(1);
    const established = await connected(loopback, port);
    await parent.kill();
    t.equal(await talk(loopback, port, "meanwhile"), "hello meanwhile");
    const returned = start(t, { folder, args });
    t.same(await returned.writes(), ["0\n"]);
    established.end("survived");
    t.equal(await readAll(established), "hello survived");
    t.equal(await talk(loopback, port, "again"), "hello again");
    t.equal(await server.accepted(), 3, "the listener has been served all the time");
    await t.test("and goes with the new one", async (t) => {
      t.equal(await returned.kill("SIGINT"), 0);
      await t.rejects(connected(loopback, port), { code: "ECONNREFUSED" });
    });
  });

  t.test("a kept listener makes way for another container", async (t) => {
    const { folder, server } = await served(t);
    const [container, other, port] = [await echoServer(t), await echoServer(t), await freePort()];
    const parent = await killableParent(t, folder, [
      ...command,
      ...arguments20("tcp", [loopback, port], [loopback, container]),
    ]);
    await server.serves(1);
    await parent.kill();
    t.same(await server.serves(1), [`tcp ${loopback} ${port} ${loopback} ${container}`]);
    const replaced = start(t, { folder, args: arguments20("tcp", [loopback, port], [loopback, other]) });
    t.equal(await replaced.verdict(), "0\n");
    t.same(await server.serves(1), [`tcp ${loopback} ${port} ${loopback} ${other}`]);
    t.equal(await replaced.kill("SIGINT"), 0);
  });

  t.test(
    "when a dockerd dies that binds ports itself, the next one can at once, and connections live on",
    async (t) => {
      const { folder, server } = await served(t);
      await server.set({ drainMs: 1 });
      const container = await echoServer(t);
      const { descriptor, port } = listenerOf28("tcp");
      const args = [...arguments20("tcp", [loopback, port], [loopback, container]), "-use-listen-fd"];
      const parent = await killableParent(t, folder, [...command, ...args], [descriptor]);
      await server.serves(1);
      closeDescriptor(descriptor);
      const established = await connected(loopback, port);
      await parent.kill();
      // The shim has yet to learn of it, and to say so.
      await until(() => isRefused(loopback, port), { what: "new ones are refused meanwhile" });
      const next = await listenerOfNext("tcp", port);
      const returned = start(t, { folder, args, descriptors: [next.descriptor] });
      t.same(await returned.writes(), ["0\n"]);
      closeDescriptor(next.descriptor);
      t.equal(await talk(loopback, port, "again"), "hello again");
      established.end("survived");
      t.equal(await readAll(established), "hello survived");
      t.equal(await returned.kill("SIGINT"), 0);
    },
  );

  t.test("a UDP port that was dockerd's own is free at once when dockerd dies", async (t) => {
    const { folder, server } = await served(t);
    const { descriptor, port } = listenerOf28("udp");
    const args = [...arguments20("udp", [loopback, port], [loopback, await echoDatagrams(t)]), "-use-listen-fd"];
    const parent = await killableParent(t, folder, [...command, ...args], [descriptor]);
    await server.serves(1);
    closeDescriptor(descriptor);
    t.equal(await talkInDatagrams(t, loopback, port, "before"), "hello before");
    await parent.kill();
    closeDescriptor((await listenerOfNext("udp", port)).descriptor);
  });
}

/** Whether nobody listens at a port. */
function isRefused(ip: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port }, () => socket.resetAndDestroy());
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
    socket.on("close", () => resolve(false));
  });
}

/** Connections to `proxy.sock`, also those that nobody has accepted. */
function connectionsTo(folder: string): number {
  return readFileSync("/proc/net/unix", "utf8").split(`${folder}/proxy.sock\n`).length;
}

/** Starts commands from a thread of its own, with the kernel's promise of SIGTERM when that thread ends. */
async function startFromThread(
  commands: string[][],
  env: Record<string, string>,
  verdict: number,
): Promise<{ pids: number[]; endThread: () => Promise<unknown> }> {
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

/** A dockerd that can be killed: a shell with a docker-proxy that gets SIGTERM at its end. */
async function killableParent(
  t: Owner,
  folder: string,
  command: string[],
  descriptors: number[] = [],
): Promise<{ kill: () => Promise<void> }> {
  const { read, write } = verdictPipe(folder);
  const parent = spawn("sh", ["-c", 'setpriv --pdeathsig TERM "$@" & echo $!; wait', "sh", ...command], {
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
  return { kill };
}

/** Whether a signal waits to be read by a process. */
function isPending(pid: number, signal: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return [...status.matchAll(/^(?:ShdPnd|SigPnd):\s+([0-9a-f]+)$/gm)].some(
    ([, mask]) => (BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n,
  );
}

/** Whether a process is gone, or waits only for its parent to take note. */
function hasEnded(pid: number): boolean {
  return !existsSync(`/proc/${pid}/stat`) || / Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}
