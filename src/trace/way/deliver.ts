import { basename } from "node:path";
import { bracketed, isLoopback } from "../../../common/address.js";
import type { PortRow } from "../../ports/contract.js";
import type { Place, SocketHolder } from "../facts/world.js";
import type { ListeningSocket } from "../../../linux/netlink/sock-diag.js";
import type { Packet } from "../rules/packet.js";
import { checkAnswer } from "./answer.js";
import { tellFlows } from "./flows.js";
import { newPacket, type Journey, type Stage } from "./journey.js";
import { startOf } from "./cross.js";
import { listenerAt, listenerWords, whyNobody } from "./listeners.js";
import { tellMtu } from "./mtu.js";
import { isLoopbackOnly, publishEverywhere, rowAt, rowsAtPort, whereWords } from "./publications.js";
import { shellWord } from "../shell.js";

/** A packet has come to the namespace it is for: who listens there. */
export function deliver(journey: Journey, place: Place, packet: Packet): Stage {
  const { trail, transport } = journey;
  const { to, toPort } = packet;
  tellFlows(journey, packet);
  if (transport === "icmp" || toPort === undefined)
    return answered(journey, place, packet, pinged(journey, place, packet));
  const isHost = place === journey.world.host;
  const row = isHost ? rowAt(journey.world.ports, transport, to, toPort) : undefined;
  const socket = listenerAt(place, transport, to, toPort);
  if (!socket)
    return isHost
      ? nobodyOnHost(journey, packet, transport, toPort, row)
      : nobody(journey, place, packet, transport, toPort);
  const holder = journey.world.holderOf(socket);
  if (row && isProxy(holder)) return proxied(journey, row, socket, holder);
  if (row) return takenByOther(journey, row, socket);
  const words = listenerWords(journey.world, socket);
  trail.passes("listener", place.name, words);
  return answered(journey, place, packet, words);
}

function answered(journey: Journey, place: Place, packet: Packet, words: string): Stage {
  tellMtu(journey);
  checkAnswer(journey, place, packet);
  return { at: "end", end: journey.trail.arrived(place.name, words) };
}

function pinged({ trail }: Journey, place: Place, { family, to }: Packet): string {
  if (family === "ipv4" && place.setting("ipv4/icmp_echo_ignore_all") === "1")
    trail.stops("listener", place.name, `${place.name} answers no ping`, {
      remedy: "sysctl -w net.ipv4.icmp_echo_ignore_all=0",
    });
  const words = `${place.name} answers ping at ${bracketed(to)}`;
  trail.passes("listener", place.name, words);
  return words;
}

function nobody(journey: Journey, place: Place, { to }: Packet, transport: "tcp" | "udp", port: number): never {
  const { why, remedy } = whyNobody(journey.world, place, transport, to, port);
  return journey.trail.stops("listener", place.name, why, { remedy });
}

/** Where something is published there, it ought to be served. */
function nobodyOnHost(
  journey: Journey,
  packet: Packet,
  transport: "tcp" | "udp",
  port: number,
  row: PortRow | undefined,
): never {
  const { world, trail } = journey;
  if (row) return unserved(journey, row);
  const others = rowsAtPort(world.ports, transport, port).filter(({ state }) => state !== "failed");
  const [other] = others;
  if (!other) return nobody(journey, world.host, packet, transport, port);
  const only = others.map(whereWords).join(" and ");
  const why = isLoopbackOnly(others)
    ? `${other.container} is published on the loopback address only, ${only}: nobody else reaches it`
    : `${other.container} is published at ${only} only, and not at ${bracketed(packet.to)}`;
  return trail.stops("port", "host", why, {
    remedy: isLoopbackOnly(others)
      ? publishEverywhere(other)
      : `ask at ${bracketed(other.ip)}:${port}, or ${publishEverywhere(other)}`,
  });
}

/** A published port that nothing serves. */
export function unserved({ world, trail }: Journey, row: PortRow): never {
  const { container, by, state, reason } = row;
  const where = whereWords(row);
  const owner = world.containers.find(({ name }) => name === container);
  if (state === "failed")
    trail.stops("port", "host", `${where} is not published for ${container}: ${reason ?? "it could not be bound"}`, {
      remedy: "free the port, or publish another; then start the container again",
    });
  if (state === "refusing" || owner?.running === false)
    trail.stops("port", "host", `${where} is published for ${container}, which ${reason ?? "does not run"}`, {
      remedy: owner ? startOf(owner) : `docker start ${shellWord(container)}`,
    });
  if (by === "docker")
    trail.stops(
      "proxy",
      "host",
      `${where} is published for ${container}, and neither a rule nor Docker's docker-proxy takes it there`,
      { remedy: `docker restart ${shellWord(container)}` },
    );
  return trail.stops("proxy", "host", `${where} is published for ${container}, and pontoon-proxy does not serve it`, {
    remedy: "systemctl restart pontoon",
  });
}

/** Whether it is Docker's proxy, or a program of pontoon's. */
function isProxy(holder: SocketHolder | undefined): holder is SocketHolder {
  if (!holder) return false;
  const names = [holder.command, ...holder.args.slice(0, 2).map((word) => basename(word))];
  return names.some((name) => name === "docker-proxy" || /^pontoon(-|$)/.test(name));
}

function takenByOther({ world, trail }: Journey, row: PortRow, socket: ListeningSocket): never {
  const holder = world.holderOf(socket);
  return trail.stops(
    "port",
    "host",
    `${listenerWords(world, socket)}, and has ${whereWords(row)}, which ${row.container} is to have`,
    {
      remedy: holder
        ? `kill ${holder.pid} && docker restart ${shellWord(row.container)}`
        : `docker restart ${shellWord(row.container)}`,
    },
  );
}

/** A proxy takes the connection, and makes one of its own to the container. */
function proxied(journey: Journey, row: PortRow, socket: ListeningSocket, holder: SocketHolder): Stage {
  const { world, trail, transport } = journey;
  if (row.by === "pontoon" && world.daemon && world.daemon.ports !== "running")
    trail.stops(
      "proxy",
      "host",
      `pontoon-proxy, which serves ${whereWords(row)} for ${row.container}, is ${world.daemon.ports}: ${world.daemon.portsDetail}`,
      {
        remedy: "systemctl restart pontoon",
      },
    );
  const target = row.target ?? targetIn(holder.args);
  if (target === undefined) return unserved(journey, { ...row, state: row.state === "open" ? "refusing" : row.state });
  trail.passes(
    "proxy",
    "host",
    `${holder.command} (pid ${holder.pid}) has ${bracketed(socket.ip)}:${socket.port} and leads to ${target}`,
  );
  const [, ip = "", port] = /^\[?(.*?)\]?:(\d+)$/.exec(target) ?? [];
  if (isLoopback(ip)) trail.stops("proxy", "host", `${target} is no address of a container`);
  journey.entered = undefined;
  return { at: "send", place: world.host, packet: newPacket(transport, "", ip, Number(port)) };
}

/** What Docker starts its proxy with. */
function targetIn(args: readonly string[]): string | undefined {
  const value = (option: string) => args[args.indexOf(option) + 1];
  if (!args.includes("-container-ip") || !args.includes("-container-port")) return undefined;
  return `${bracketed(value("-container-ip") ?? "")}:${value("-container-port") ?? ""}`;
}
