import { argumentsOf, commandOf, processes } from "../../../linux/proc.js";
import { atOnce } from "../../../linux/pieces.js";
import { eachHolder } from "../../../linux/proc-sockets.js";
import type { ListeningSocket } from "../../../linux/netlink/sock-diag.js";
import type { Container } from "../../inventory/types.js";
import { KernelPlace } from "./kernel-place.js";
import type { Known } from "./sources.js";
import type { Place, SocketHolder, World } from "./world.js";

/** What is known, with the kernel's own word for the rest. Each namespace is entered once, when it is first asked for. */
export class LiveWorld implements World {
  readonly host: Place;
  readonly #places = new Map<string, Place | undefined>();
  readonly #holders = new Map<number, SocketHolder | undefined>();

  constructor(private readonly known: Known) {
    this.host = new KernelPlace("host", undefined);
  }

  get containers() {
    return this.known.containers;
  }

  get networks() {
    return this.known.networks;
  }

  get ports() {
    return this.known.ports;
  }

  get daemon() {
    return this.known.daemon;
  }

  placeOf(container: Container): Place | undefined {
    const owner = this.#ownerOf(container);
    if (owner.networkMode.kind === "host") return this.host;
    if (!this.#places.has(owner.id)) this.#places.set(owner.id, open(owner));
    return this.#places.get(owner.id);
  }

  holderOf({ inode }: ListeningSocket): SocketHolder | undefined {
    if (!this.#holders.has(inode)) this.#holders.set(inode, findHolder(inode));
    return this.#holders.get(inode);
  }

  #ownerOf(container: Container): Container {
    const { networkMode } = container;
    if (networkMode.kind !== "container") return container;
    return this.containers.find(({ id, name }) => id === networkMode.of || name === networkMode.of) ?? container;
  }
}

function open({ name, sandbox }: Container): Place | undefined {
  if (!sandbox) return undefined;
  try {
    return new KernelPlace(name, sandbox.kind === "process" ? `/proc/${sandbox.pid}/ns/net` : sandbox.path);
  } catch {
    return undefined; // it has just ended, or dockerd runs elsewhere
  }
}

/** The youngest process that holds it: one that was handed over is served by the later one. */
function findHolder(inode: number): SocketHolder | undefined {
  const pids = atOnce(processes()).sort((one, other) => other - one);
  let holder: number | undefined;
  atOnce(
    eachHolder(pids, new Set([inode]), (_, pid) => {
      holder = pid;
      return true;
    }),
  );
  return holder === undefined
    ? undefined
    : { pid: holder, command: commandOf(holder) ?? "a program", args: argumentsOf(holder, 4096) };
}
