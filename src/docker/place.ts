/** Where a dockerd runs, as seen from here. */
export type DockerdPlace =
  /** At an address of another machine. */
  | { readonly kind: "remote" }
  /** At the other end of its socket is a process that cannot be seen from here. */
  | { readonly kind: "unseen" }
  /** On this machine, but it cannot be told which process it is: there is a proxy in front, and several dockerds run. */
  | { readonly kind: "untold" }
  | {
      readonly kind: "seen";
      readonly pid: number;
      /** Whether it lives in the same namespaces as we do. */
      readonly shares: { readonly pid: boolean; readonly net: boolean; readonly mnt: boolean };
    };

/**
 * Why pontoon does not serve the dockerd found at `host`, in one sentence with the remedy; undefined when it does.
 * @param isRootless as its API tells; it then lives in a network namespace of its own, and needs nothing else
 */
export function refusalOf(host: string, place: DockerdPlace, isRootless: boolean): string | undefined {
  switch (place.kind) {
    case "remote":
      return `the dockerd at ${host} is on another machine; run pontoon where its containers are`;
    case "unseen":
      return `the process behind ${host} cannot be seen from here; if pontoon runs in a container, run that container with --pid host`;
    case "untold":
      return undefined;
    case "seen":
      if (!place.shares.pid)
        return `the dockerd at ${host} runs in another container, with process ids of its own; run pontoon inside that container`;
      if (!place.shares.net && !isRootless)
        return `the dockerd at ${host} lives in another network namespace; if pontoon runs in a container, run that container with --network host`;
      return undefined;
  }
}

/** The root directory through which dockerd's files are opened; empty when it is ours. */
export function rootOf(place: DockerdPlace): string {
  return place.kind === "seen" && !place.shares.mnt ? `/proc/${place.pid}/root` : "";
}

/**
 * The root directory whose /etc/resolv.conf describes the network upstreams are asked from: dockerd's. For a rootless
 * dockerd, whose own network is another, it is ours.
 */
export function resolvConfRootOf(place: DockerdPlace): string {
  return place.kind === "seen" && !place.shares.net ? "" : rootOf(place);
}
