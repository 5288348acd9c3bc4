import { formatBridgePort, formatInfo, formatVxlan } from "netlink/dist/rt/ifla.js";
import { encodeIP, familyOf } from "../../../common/address.js";
import { bytesOf } from "./encode.js";
import type { VxlanSettings } from "./link-list.js";
import { encoded, request, RTM_NEWLINK, type LinkSettings } from "./links.js";
import { MAKE, type RtRequest } from "./rtnetlink.js";

const [off, on] = [Buffer.of(0), Buffer.of(1)];

/**
 * A VXLAN link (RFC 7348) that learns nothing and knows no other host but those it is told of. EEXIST for a name that is there,
 * and where another link has this VNI at this port.
 */
export function newVxlan(
  { vni, local, port, by }: VxlanSettings,
  settings: LinkSettings & { readonly name: string },
): RtRequest {
  const { header, attributes } = encoded(settings);
  const number = Buffer.alloc(2);
  number.writeUInt16BE(port);
  const address = familyOf(local) === "ipv4" ? { local: encodeIP(local) } : { local6: encodeIP(local) };
  const data = bytesOf(
    formatVxlan({ id: vni, learning: 0, port: number, ...address, ...(by !== undefined && { link: by }) }),
  );
  const linkinfo = bytesOf(formatInfo({ kind: "vxlan", data }));
  return request(RTM_NEWLINK, MAKE.only, header, { ...attributes, linkinfo }, ["add vxlan", settings.name]);
}

/**
 * Has a bridge answer ARP and neighbour solicitations that would leave by this port of it, as far as it knows the neighbour, and
 * send nothing by it but what is for a MAC address that is known to be there.
 */
export function makeQuietPort(name: string): RtRequest {
  const slaveData = bytesOf(
    formatBridgePort({ learning: 0, unicastFlood: 0, mcastFlood: off, bcastFlood: off, neighSuppress: on }),
  );
  const linkinfo = bytesOf(formatInfo({ slaveKind: "bridge", slaveData }));
  return request(RTM_NEWLINK, 0, {}, { ifname: name, linkinfo }, ["change port", name]);
}
