// The docker-proxy of a host on which the shim could not be compiled: the same contract and the same conversation with
// pontoon-proxy as `shim/pontoon-docker-proxy.c`, at the price of a Node process for each port.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SocketAddress } from "../../common/address.js";
import { becomeDockerProxy } from "./exec-docker-proxy.js";
import { parseAddress, parseFlags, usage } from "./flags.js";
import { Shim } from "./shim.js";
import { fail } from "./verdict.js";

function readEndpoint(ip: string, port: bigint, protocol: string): SocketAddress {
  const address = parseAddress(ip);
  if (address === undefined) fail(`invalid IP address: ${ip}`);
  if (port < 0n || port > 65535n) fail(`listen ${protocol}: address ${port}: invalid port`);
  return { ip: address, port: Number(port) };
}

function main(): void {
  const parsed = parseFlags(process.argv.slice(2));
  if (parsed.kind === "usage") {
    process.stderr.write(`${parsed.problem}Usage of docker-proxy:\n${usage}`);
    process.exit(parsed.exitCode);
  }
  const { flags } = parsed;
  if (flags.v || flags.version) {
    const description = join(dirname(fileURLToPath(import.meta.url)), "../../../package.json");
    const { version } = JSON.parse(readFileSync(description, "utf8")) as { version: string };
    process.stdout.write(`docker-proxy (commit pontoon) version ${version}\n`);
    return;
  }
  const { proto } = flags;
  if (proto === "sctp") {
    becomeDockerProxy(flags["use-listen-fd"]);
    fail(
      "unsupported protocol sctp: pontoon leaves SCTP to Docker's own docker-proxy, which was not found; install it",
    );
  }
  if (proto !== "tcp" && proto !== "udp") fail(`unsupported protocol ${proto}`);
  const host = readEndpoint(flags["host-ip"], flags["host-port"], proto);
  new Shim(
    proto,
    host,
    readEndpoint(flags["container-ip"], flags["container-port"], proto),
    flags["use-listen-fd"],
  ).start();
}

main();
