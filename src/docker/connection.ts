import { spawn } from "node:child_process";
import { Agent } from "node:http";
import { connect, isIP } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { inspect } from "node:util";
import type { DockerAddress, TlsFiles } from "./address.js";

/** Connections through ssh at once: by default sshd refuses more than ten that have not logged in yet. */
const sshAtOnce = 8;
/** A connection that has not been used for this time is closed, ms. */
const idleTime = 5000;
const sshConnectTime = 20; // s
const lastWordsAtMost = 4096;

/** Makes connections to a dockerd for HTTP requests. The owner destroys it. */
export function agentFor(address: DockerAddress): Agent {
  // As with Node's own agent, which is not used because it chooses the connection by itself.
  const agent = new Agent({
    keepAlive: true,
    timeout: idleTime,
    scheduling: "lifo",
    ...(address.kind === "ssh" && { maxSockets: sshAtOnce }),
  });
  const made = { createConnection: () => connectionTo(address) };
  // docker-modem renders all it sends for its debug output, printed or not: with each of the agent's sockets, 60 ms a request.
  const rendered = { [inspect.custom]: () => `Agent of ${address.kind}` };
  return Object.assign(agent, made, rendered);
}

/** Makes one connection to a dockerd. */
export function connectionTo(address: DockerAddress): Duplex {
  switch (address.kind) {
    case "unix":
      return connect(address.path);
    case "tcp":
      return address.tls ? tlsConnection(address.host, address.port, address.tls) : connect(address.port, address.host);
    case "ssh":
      return new SshStream(sshArguments(address));
  }
}

function tlsConnection(host: string, port: number, { ca, cert, key, verify }: TlsFiles): Duplex {
  return connectTls({
    host,
    port,
    rejectUnauthorized: verify,
    ...(isIP(host) === 0 && { servername: host }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  });
}

/** As the docker command runs it, but never asking for a password: nobody is there to give one. */
export function sshArguments({ user, host, port, socket }: DockerAddress & { kind: "ssh" }): string[] {
  return [
    ...["-T", "-o", "BatchMode=yes", "-o", `ConnectTimeout=${sshConnectTime}`],
    ...(user === undefined ? [] : ["-l", user]),
    ...(port === undefined ? [] : ["-p", String(port)]),
    ...["--", host, "docker", ...(socket === undefined ? [] : ["--host", `unix://${socket}`]), "system", "dial-stdio"],
  ];
}

/** A connection that is the standard input and output of an ssh process, which ends with it. */
class SshStream extends Duplex {
  readonly #child;
  #words = "";

  constructor(args: readonly string[]) {
    super();
    const child = spawn("ssh", args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    child.stdout.on("data", (chunk: Buffer) => this.push(chunk) || child.stdout.pause());
    child.stderr.on(
      "data",
      (chunk: Buffer) => (this.#words = (this.#words + chunk.toString()).slice(-lastWordsAtMost)),
    );
    child.stdin.on("error", () => {}); // ssh has ended: its last words say why, and come with its close
    child.on("error", (error) => this.destroy(error));
    child.on("close", (code) =>
      code === 0
        ? this.push(null)
        : this.destroy(new Error(`ssh: ${this.#lastLine() || `ended with exit code ${code}`}`)),
    );
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#child.stdin.write(chunk, (error) => (error ? undefined : done()));
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.kill();
    done(error);
  }

  // What HTTP wants of a socket, and a pipe does not have.
  setKeepAlive(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  #lastLine(): string {
    return this.#words.trim().split("\n").at(-1) ?? "";
  }
}
