import { bracketed, familyOf, isLoopback, isUnspecified } from "../../../common/address.js";
import type { ListeningSocket } from "../../../linux/netlink/sock-diag.js";
import type { Place, Transport, World } from "../facts/world.js";

/** The socket that a packet to an address and port reaches; the one bound most closely counts. */
export function listenerAt(
  place: Place,
  transport: "tcp" | "udp",
  ip: string,
  port: number,
): ListeningSocket | undefined {
  const here = place.listeners(transport).filter((socket) => socket.port === port && takes(socket, ip));
  return here.find((socket) => socket.ip === ip) ?? here[0];
}

function takes(socket: ListeningSocket, ip: string): boolean {
  if (socket.ip === ip) return true;
  if (!isUnspecified(socket.ip)) return false;
  return familyOf(socket.ip) === familyOf(ip) || (socket.ip === "::" && !socket.isV6Only);
}

/** Who listens where, for people: `nginx (pid 7) at 0.0.0.0:80`. */
export function listenerWords(world: World, socket: ListeningSocket): string {
  const holder = world.holderOf(socket);
  const who = holder ? `${holder.command} (pid ${holder.pid})` : "a program";
  const only = socket.isV6Only && socket.ip === "::" ? ", for IPv6 only" : "";
  return `${who} listens at ${bracketed(socket.ip)}:${socket.port}${only}`;
}

/** Why nobody listens where a packet arrives, and what to change. */
export function whyNobody(
  world: World,
  place: Place,
  transport: "tcp" | "udp",
  ip: string,
  port: number,
): { why: string; remedy: string } {
  const sockets = place.listeners(transport);
  const [here] = sockets.filter((socket) => socket.port === port);
  const everywhere = `have it listen at ${familyOf(ip) === "ipv4" ? "0.0.0.0" : "[::]"}:${port}`;
  if (here) {
    const words = listenerWords(world, here);
    if (isLoopback(here.ip))
      return { why: `${words}, which is reached from inside ${place.name} only, and not at ${ip}`, remedy: everywhere };
    if (familyOf(here.ip) !== familyOf(ip)) return { why: `${words}, and not at ${bracketed(ip)}`, remedy: everywhere };
    return { why: `${words} only, and not at ${bracketed(ip)}`, remedy: everywhere };
  }
  const other: Transport = transport === "tcp" ? "udp" : "tcp";
  const otherwise = place.listeners(other).find((socket) => socket.port === port);
  if (otherwise)
    return {
      why: `nobody listens at port ${port}/${transport}; over ${other} ${listenerWords(world, otherwise)}`,
      remedy: `ask for port ${port}/${other}`,
    };
  const ports = [...new Set(sockets.filter((socket) => !isLoopback(socket.ip)).map((socket) => socket.port))];
  const instead = ports.length === 0 ? "nor at any other" : `but at ${ports.slice(0, 5).join(", ")}`;
  return {
    why: `nobody listens at port ${port}/${transport} in ${place.name}, ${instead}`,
    remedy:
      ports.length === 0
        ? `start the program in ${place.name}, and let it listen at 0.0.0.0:${port}`
        : `ask for port ${ports[0]!}`,
  };
}
