import type { HelperProcess } from "../../integration/lab/helper-process.js";
import type { Bulk } from "../network/loads.js";
import type { ConnectReply, ConnectRequest } from "./connect-child.js";
import type { NameReply, NameRequest } from "./name-child.js";
import type { peer } from "./names.js";

/** Two hosts and three members of etcd on an underlay of their own, and a network over both hosts. */
export interface Side {
  readonly name: "pontoon" | typeof peer;
  readonly backend: ConnectRequest["backend"];
  /** On the first host. */
  readonly connecting: HelperProcess<ConnectRequest, ConnectReply>;
  /** In an endpoint of the second host. */
  readonly asking: HelperProcess<NameRequest, NameReply>;
  /** From an endpoint of the second host to one of the first. */
  readonly bulk: Bulk;
}
