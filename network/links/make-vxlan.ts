import { errorCode, PontoonError } from "../../common/errors.js";
import { changeLink, linkNamed } from "../../linux/netlink/rtnetlink/links.js";
import type { Rtnetlink } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { makeQuietPort, newVxlan } from "../../linux/netlink/rtnetlink/vxlan.js";
import { setIPv6 } from "../../linux/network-settings.js";
import type { Step } from "../plan/steps.js";
import { isOurTunnel } from "../plan/tunnel-plan.js";
import { aliasOf, overlayGroup, tunnelLink, type WantedNetwork, type WantedOverlay } from "../wanted.js";

/**
 * Makes the link of an overlay network, or sets it right. What it sends before it is a quiet port goes nowhere: it knows no host.
 * @param host rtnetlink of the host's namespace. Throws VNI_TAKEN, LINK_NAME_TAKEN, KIND_UNSUPPORTED, or what the kernel says.
 */
export function makeVxlan(
  host: Rtnetlink,
  { kind, network, overlay }: Step & { readonly kind: "make-vxlan" | "set-vxlan" },
): void {
  const { link: name } = overlay;
  try {
    if (kind === "make-vxlan") return make(host, network, overlay);
    setIPv6(name, false); // as of every port of a bridge
    const master = linkNamed(host, network.bridge)?.index;
    if (master === undefined)
      throw new PontoonError("NO_LINK", network.bridge, `there is no link ${network.bridge} on this host`);
    const alias = aliasOf.overlay(network);
    host.request(changeLink(name, { alias, mtu: network.mtu, master, group: overlayGroup(network) }));
    host.request(makeQuietPort(name), changeLink(name, { isUp: true }));
  } catch (error) {
    throw explained(host, error, overlay);
  }
}

/** One of an encrypted network is bound to the tunnel, or not made at all. */
function make(
  host: Rtnetlink,
  { mtu }: WantedNetwork,
  { link: name, vni, local, port, isEncrypted }: WantedOverlay,
): void {
  const settings = { vni, local, port };
  if (!isEncrypted) return host.request(newVxlan(settings, { name, mtu }));
  const tunnel = linkNamed(host, tunnelLink);
  if (!tunnel || !isOurTunnel(tunnel)) throw withoutTunnel(name);
  host.request(newVxlan({ ...settings, by: tunnel.index }, { name, mtu }));
}

function withoutTunnel(name: string): PontoonError {
  return new PontoonError(
    "ENCRYPTION_MISSING",
    name,
    "an encrypted network leads to no other host from here: this host has no WireGuard now, and nothing is sent in plain; see wireguard.use " +
      "in the configuration",
  );
}

function explained(host: Rtnetlink, error: unknown, { link, vni, port }: WantedOverlay): unknown {
  const options = { cause: error };
  switch (errorCode(error)) {
    case "EEXIST":
      if (linkNamed(host, link))
        return new PontoonError(
          "LINK_NAME_TAKEN",
          link,
          `there is a link ${link} on this host already, which somebody else has made; remove it`,
          options,
        );
      return new PontoonError(
        "VNI_TAKEN",
        String(vni),
        `another VXLAN link of this host has the number ${vni} at UDP port ${port}: of Docker's swarm or another overlay; ` +
          "remove it, or make the network with another number or port",
        options,
      );
    case "EADDRINUSE":
      return new PontoonError(
        "VNI_TAKEN",
        String(port),
        `UDP port ${port} of this host, to which the overlay network's packets come, is in use; free it, or use another on all hosts`,
        options,
      );
    case "ENOTSUP":
      return new PontoonError(
        "KIND_UNSUPPORTED",
        "vxlan",
        "this kernel has no vxlan links; load its module vxlan, or use a kernel that has it",
        options,
      );
    default:
      return error;
  }
}
