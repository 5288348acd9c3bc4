import { bracketed } from "../../common/address.js";
import type {
  ContainerFacts,
  DaemonFacts,
  DockerFacts,
  Facts,
  FolderFacts,
  HostFacts,
  LeftoverFacts,
} from "./facts.js";
import type { Holder } from "../../linux/listening-sockets.js";

/** `problem`: pontoon cannot work. `warning`: it can, but somebody should know. */
export type Level = "ok" | "warning" | "problem";

/** One thing `pontoon check` has to say. */
export interface Finding {
  readonly level: Level;
  /** What it is about, one or two words. */
  readonly subject: string;
  readonly text: string;
  /** What to do about it; undefined when there is nothing to do. */
  readonly remedy: string | undefined;
}

const namedAtMost = 5;
const needsRoot = "run pontoon check with sudo";
const resolver = "127.0.0.11";

/** What the facts mean, in the order in which they are read. */
export function findingsOf(facts: Facts): Finding[] {
  return [
    ...aboutKernel(facts),
    ...(facts.config === undefined ? [] : [problem("configuration", facts.config)]),
    ...facts.folders.flatMap(aboutFolder),
    aboutDocker(facts.docker),
    ...aboutDaemon(facts.daemon, facts.docker),
    ...aboutContainers(facts),
    ...aboutPort53(facts),
    ...aboutLeftovers(facts.leftovers, facts.daemon),
  ];
}

/** Whether nothing stops pontoon from working. */
export function isWell(findings: readonly Finding[]): boolean {
  return findings.every(({ level }) => level !== "problem");
}

function ok(subject: string, text: string): Finding {
  return { level: "ok", subject, text, remedy: undefined };
}

function warning(subject: string, text: string, remedy?: string): Finding {
  return { level: "warning", subject, text, remedy };
}

function problem(subject: string, text: string, remedy?: string): Finding {
  return { level: "problem", subject, text, remedy };
}

function aboutKernel({ features, isRoot }: Facts): Finding[] {
  const present = features.filter((feature) => feature.problem === undefined).map(({ name }) => name);
  const absent = features.flatMap((feature) =>
    feature.problem === undefined ? [] : [problem("kernel", feature.problem)],
  );
  const unseen = isRoot
    ? []
    : [warning("kernel", "whether nftables takes pontoon's table could not be tried", needsRoot)];
  return [...(present.length > 0 ? [ok("kernel", present.join(", "))] : []), ...absent, ...unseen];
}

function aboutFolder({ option, path, fault }: FolderFacts): Finding[] {
  if (fault === undefined) return [];
  const text = `${path} is ${fault.what}`;
  if (option === "--state-dir")
    return [
      warning(
        "state folder",
        `${text}: what is published cannot be remembered, so nothing more can be published`,
        "permit writing there or make room, or give another --state-dir",
      ),
    ];
  if (fault.code === "ENOSPC") return [warning("run folder", `${text}: servers may not start`, "make room")];
  return [problem("run folder", `${text}: no daemon can start`, "permit writing there, or give another --run-dir")];
}

function aboutDocker(docker: DockerFacts): Finding {
  switch (docker.kind) {
    case "reachable":
      return ok("docker", describeDockerd(docker));
    case "refused":
      return problem("docker", docker.reason);
    case "unreachable":
      return problem("docker", `no dockerd answers at ${docker.host} (${docker.reason})`, "start it, or give --docker");
    case "none":
      return ok("docker", "none is followed (docker: none)");
    case "not-allowed":
      return warning("docker", `${docker.host} may not be opened by this user`, needsRoot);
  }
}

function describeDockerd({
  version,
  host,
  pid,
  liveRestore,
  usernsRemap,
  rootless,
  iptables,
  userlandProxy,
}: DockerFacts & { kind: "reachable" }): string {
  const options = [
    liveRestore ? "live-restore" : "",
    usernsRemap ? "userns-remap" : "",
    rootless ? "rootless" : "",
    iptables ? "" : "iptables off",
    userlandProxy ? "" : "userland proxy off",
  ];
  const unusual = options.filter((option) => option !== "");
  const process = pid === undefined ? "" : `, pid ${pid}`;
  return `Docker ${version} at ${host}${process}${unusual.length > 0 ? ` (${unusual.join(", ")})` : ""}`;
}

function aboutDaemon(daemon: DaemonFacts, docker: DockerFacts): Finding[] {
  switch (daemon.kind) {
    case "none":
      return [
        warning(
          "daemon",
          `no pontoon daemon runs with ${daemon.runDir}: Docker's resolver answers`,
          "start one with sudo npm start, or give --run-dir",
        ),
      ];
    case "not-allowed":
      return [warning("daemon", "its control socket may be opened by root only", needsRoot)];
    case "silent":
      return [problem("daemon", `it does not answer: ${daemon.reason}`, "see its log; restart it")];
    case "running":
      return [
        ok("daemon", `pontoon ${daemon.version}, pid ${daemon.pid}${daemon.observe ? ", only observing" : ""}`),
        ...aboutServer(daemon),
        ...aboutPorts(daemon),
        ...aboutNetworks(daemon),
        ...aboutFollowing(daemon, docker),
      ];
  }
}

function aboutServer({ dns, observe }: DaemonFacts & { kind: "running" }): Finding[] {
  if (observe) return [];
  if (dns.state === "running") return [ok("pontoon-dns", `running, pid ${dns.pid ?? "unknown"}`)];
  if (dns.state === "starting") return [warning("pontoon-dns", "it is just starting")];
  return [
    problem("pontoon-dns", `${dns.state}: ${dns.detail}`, "see the daemon's log; it is tried again every minute"),
  ];
}

/** Where ports are off because that is wanted there is nothing to say. */
function aboutPorts({ ports }: DaemonFacts & { kind: "running" }): Finding[] {
  if (ports.state !== "off" || ports.detail === "") return [];
  return [warning("ports", `off: ${ports.detail}`)];
}

function aboutNetworks({ backend, observe }: DaemonFacts & { kind: "running" }): Finding[] {
  if (!backend || observe) return [];
  const { networks, sandboxes, gone, off } = backend;
  if (off !== undefined) return [problem("networks", `off: ${off}`, "then restart the daemon")];
  if (gone.length > 0)
    return [
      warning(
        "networks",
        `sandboxes whose network namespace is gone: ${list(gone)}`,
        "remove them with pontoon sandbox rm, or bring it back",
      ),
    ];
  return networks === 0 ? [] : [ok("networks", `${networks} of pontoon's own, with ${sandboxes} sandboxes`)];
}

function aboutFollowing(daemon: DaemonFacts & { kind: "running" }, docker: DockerFacts): Finding[] {
  const { host, state, detail } = daemon.docker;
  const findings: Finding[] = [];
  if (state !== "following" && state !== "none")
    findings.push(warning("daemon", `it is ${state} for dockerd at ${host}${detail === "" ? "" : ` (${detail})`}`));
  if (host !== docker.host)
    findings.push(
      warning(
        "daemon",
        state === "none" ? "it runs without Docker" : `it follows ${host}, not ${docker.host}`,
        `give --docker ${host}, or start a daemon for the other with a --run-dir of its own`,
      ),
    );
  return findings;
}

function aboutContainers({ containers, daemon, docker }: Facts): Finding[] {
  if (containers.kind === "unseen")
    return docker.kind !== "not-allowed"
      ? []
      : [warning("containers", `could not be looked at: ${containers.reason}`, needsRoot)];
  const findings: Finding[] = [];
  const served = containers.value.filter((container) => container.resolver.kind === "pontoon");
  if (served.length > 0) findings.push(ok("containers", `${served.length} answered by pontoon`));
  const isObserving = daemon.kind === "running" && daemon.observe;
  for (const [reason, names] of byReason(containers.value, "waiting"))
    findings.push((isObserving || daemon.kind !== "running" ? ok : warning)("containers", `${reason}: ${list(names)}`));
  for (const [reason, names] of byReason(containers.value, "left"))
    findings.push(ok("containers", `left to Docker (${reason}): ${list(names)}`));
  for (const { name, resolver: found } of containers.value)
    if (found.kind === "failed") findings.push(aboutFailure(name, found));
  return findings.length > 0 ? findings : [ok("containers", "none is running")];
}

function aboutFailure(name: string, { code, reason }: ContainerFacts["resolver"] & { kind: "failed" }): Finding {
  if (code === "FOREIGN_DNS_RULES")
    return warning("containers", `${name}: ${reason}`, "the label pontoon.dns=off says so openly");
  if (code === "CONTAINER_TOO_LARGE")
    return warning("containers", `${name}: ${reason}; left to Docker`, "see docs/operations.md");
  return problem("containers", `${name} is not taken over (${code}): ${reason}`, "see docs/errors.md");
}

function byReason(containers: readonly ContainerFacts[], kind: "left" | "waiting"): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const container of containers)
    if (container.resolver.kind === kind)
      names.set(container.resolver.reason, [...(names.get(container.resolver.reason) ?? []), container.name]);
  return names;
}

function aboutPort53({ host, containers, isRoot }: Facts): Finding[] {
  const findings = aboutHost(host, isRoot);
  const seen = containers.kind === "seen" ? containers.value : [];
  for (const { name, holders } of seen)
    if (holders.kind === "seen") findings.push(...holders.value.map((holder) => aboutHolder(name, holder)));
  const unseen = seen.filter(({ holders }) => holders.kind === "unseen").map(({ name }) => name);
  if (unseen.length > 0)
    findings.push(warning("port 53", `could not look into ${list(unseen)}`, isRoot ? undefined : needsRoot));
  return findings;
}

function aboutHost({ holders, redirect }: HostFacts, isRoot: boolean): Finding[] {
  const findings = holders.map((holder) =>
    ok("port 53", `the host: ${describeHolder(holder)}; pontoon does not need it`),
  );
  if (holders.length === 0) findings.push(ok("port 53", "the host: nobody"));
  if (redirect.kind === "unseen")
    findings.push(
      warning("port 53", `the host's rules could not be read: ${redirect.reason}`, isRoot ? undefined : needsRoot),
    );
  else if (redirect.value !== undefined)
    findings.push(
      warning(
        "port 53",
        `a rule of the host redirects DNS (${redirect.value})`,
        "what containers ask of upstream servers goes where that rule says; make sure it should",
      ),
    );
  return findings;
}

/** Docker's rules and ours both go before a program that listens at the resolver's own address. */
function aboutHolder(container: string, holder: Holder): Finding {
  const text = `${container}: ${describeHolder(holder)}`;
  if (holder.listeners.some(({ ip }) => ip === resolver))
    return warning(
      "port 53",
      `${text}; no question reaches it at ${resolver}, with pontoon or without`,
      "let it listen at another address",
    );
  return ok("port 53", `${text}; ${resolver} is not affected`);
}

function describeHolder({ pid, command, listeners }: Holder): string {
  const who = pid === undefined ? "a program that could not be seen" : `${command ?? "a program"} (pid ${pid})`;
  const transportsAt = (ip: string) => [
    ...new Set(listeners.filter((listener) => listener.ip === ip).map(({ transport }) => transport)),
  ];
  const places = [...new Set(listeners.map(({ ip }) => ip))].map(
    (ip) => `${transportsAt(ip).join("+")} ${bracketed(ip)}`,
  );
  return `${who} listens at ${places.join(", ")}`;
}

function aboutLeftovers({ tables, files, servers }: LeftoverFacts, daemon: DaemonFacts): Finding[] {
  const findings: Finding[] = [];
  const isRunning = daemon.kind === "running" && !daemon.observe;
  const remedy = isRunning
    ? "pontoon check --repair removes it"
    : "the next daemon replaces what is left, pontoon check --repair removes it";
  for (const pid of servers) {
    const what = isRunning
      ? "belongs to another daemon, or to none"
      : "goes on without a daemon for a while, then gives everything back to Docker and ends";
    findings.push(
      warning(
        "leftovers",
        `pontoon-dns (pid ${pid}) ${what}`,
        isRunning ? undefined : `start a daemon${daemon.kind === "running" ? " without --observe" : ""}: it adopts it`,
      ),
    );
  }
  if (tables.kind === "unseen")
    findings.push(warning("leftovers", `pontoon's tables could not be looked for: ${tables.reason}`, needsRoot));
  else
    for (const { container, pid, armed } of tables.value.found) {
      const effect = armed ? "still in effect: it lapses within 6 s, then Docker's resolver answers" : "without effect";
      findings.push(
        warning(
          "leftovers",
          `table pontoon in ${container ?? `the network namespace of process ${pid}`}, ${effect}`,
          remedy,
        ),
      );
    }
  if (tables.kind === "seen" && tables.value.unread.length > 0) {
    const { unread } = tables.value;
    const places = list(unread.map(({ container, pid }) => container ?? `the network namespace of process ${pid}`));
    findings.push(warning("leftovers", `pontoon's tables could not be looked for in ${places}: ${unread[0]!.reason}`));
  }
  if (files.length > 0)
    findings.push(warning("leftovers", `files of a daemon that has ended: ${files.join(", ")}`, remedy));
  return findings.length > 0 ? findings : [ok("leftovers", "none")];
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, namedAtMost).join(", ");
  return names.length > namedAtMost ? `${shown} and ${names.length - namedAtMost} more` : shown;
}
