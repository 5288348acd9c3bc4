import { networkRecord } from "../../testing/records.js";
import type { DockerNetworkRecord } from "../records.js";

/** Network N of Docker's, with the subnet of `networkRecord(N)`. */
export function dockerNetworkRecord(number: number, changes: Partial<DockerNetworkRecord> = {}): DockerNetworkRecord {
  return {
    ...networkRecord(number),
    publishing: "pontoon",
    publishInternal: false,
    linkPrefix: "eth",
    routers: {},
    lentGateways: [],
    isListed: false,
    ...changes,
  };
}
