import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parseDockerAddress, type DockerAddress } from "./address.js";
import { sshArguments } from "./connection.js";
import { reasonOf } from "./unreachable.js";

const plain = (host: string, port: number): DockerAddress => ({ kind: "tcp", host, port, tls: undefined });

t.test("what DOCKER_HOST may hold", (t) => {
  const ssh = (given: object) => ({ kind: "ssh", user: undefined, port: undefined, socket: undefined, ...given });
  const cases: [string, unknown][] = [
    ["unix:///var/run/docker.sock", { kind: "unix", path: "/var/run/docker.sock" }],
    ["/run/docker.sock", { kind: "unix", path: "/run/docker.sock" }],
    ["tcp://10.0.0.1:2375", plain("10.0.0.1", 2375)],
    ["tcp://docker.example", plain("docker.example", 2375)],
    ["tcp://:4000", plain("127.0.0.1", 4000)],
    ["tcp://[fd00::1]:4000/", plain("fd00::1", 4000)],
    ["localhost:2375", plain("localhost", 2375)],
    ["http://h:80", plain("h", 80)],
    ["ssh://host", ssh({ host: "host" })],
    ["ssh://me@host:2222", ssh({ user: "me", host: "host", port: 2222 })],
    ["ssh://host/run/user/1000/docker.sock", ssh({ host: "host", socket: "/run/user/1000/docker.sock" })],
  ];
  for (const [text, expected] of cases) t.same(parseDockerAddress(text, {}), expected, text);
  t.end();
});

t.test("what it may not hold says why, and what to write", (t) => {
  const cases: [string, RegExp][] = [
    ["ftp://x", /not an address of a dockerd; write unix:\/\//],
    ["docker", /not an address/],
    ["", /not an address/],
    ["unix://docker.sock", /full path/],
    ["tcp://h:0", /0 is not a port/],
    ["tcp://h:70000", /70000 is not a port/],
    ["tcp://a b:1", /not a host and a port/],
    ["tcp://fd00::1:2375", /in brackets/],
    ["tcp://h:1/base", /a path \(\/base\) is not supported/],
    ["ssh://", /names no host/],
    ["ssh://me:secret@h", /a password cannot be given/],
    ["ssh://-oProxyCommand=x@h", /is not a user/],
    ["ssh://h?x=1", /more than a user/],
    ["npipe:////./pipe/docker_engine", /Windows/],
    ["fd://", /where dockerd listens/],
  ];
  for (const [text, message] of cases)
    t.throws(() => parseDockerAddress(text, {}), { code: "DOCKER_HOST_INVALID", subject: text, message }, text);
  t.end();
});

t.test("TLS as the docker command's variables say", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-certificates-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const parse = (text: string, environment = {}) =>
    parseDockerAddress(text, { DOCKER_CERT_PATH: folder, ...environment });
  const verify = { DOCKER_TLS_VERIFY: "1" };
  t.same(parse("tcp://h"), plain("h", 2375), "certificates alone turn nothing on");
  t.same(parse("tcp://h", { DOCKER_TLS_VERIFY: "" }), plain("h", 2375));
  t.match(parse("tcp://h", { DOCKER_TLS: "1" }), { port: 2376, tls: { verify: false, ca: undefined } });
  t.match(parse("https://h"), { port: 2376, tls: { verify: true } }, "with the system's authorities");
  t.throws(() => parse("tcp://h", verify), { code: "DOCKER_CERTIFICATES", message: /ca\.pem is not there; copy/ });
  writeFileSync(join(folder, "ca.pem"), "CA");
  t.match(parse("tcp://h", verify), { port: 2376, tls: { verify: true, ca: "CA", cert: undefined } });
  writeFileSync(join(folder, "cert.pem"), "CERT");
  t.throws(() => parse("tcp://h", verify), {
    code: "DOCKER_CERTIFICATES",
    message: /key\.pem is not there, but its other half is/,
  });
  writeFileSync(join(folder, "key.pem"), "KEY");
  t.match(parse("tcp://h:1", verify), { port: 1, tls: { folder, cert: "CERT", key: "KEY" } });
  t.throws(() => parse("tcp://h", { ...verify, DOCKER_CERT_PATH: "/dev/null" }), {
    code: "DOCKER_CERTIFICATES",
    message: /cannot be read \(ENOTDIR\)/,
  });
  t.end();
});

t.test("ssh is called as the docker command does, and never asks", (t) => {
  t.same(sshArguments({ kind: "ssh", user: "me", host: "h", port: 22, socket: "/s" }).slice(1), [
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=20",
    "-l",
    "me",
    "-p",
    "22",
    "--",
    "h",
    "docker",
    "--host",
    "unix:///s",
    "system",
    "dial-stdio",
  ]);
  t.end();
});

t.test("a reason without a known remedy stands alone", (t) => {
  t.equal(reasonOf(new Error("connect ECONNREFUSED"), plain("h", 1)), "connect ECONNREFUSED");
  t.equal(reasonOf(new Error("x"), { kind: "unix", path: "/x" }), "x");
  t.end();
});
