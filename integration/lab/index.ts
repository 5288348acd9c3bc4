// Test hosts, as tests import them.
export { BareHost, type BareHostOptions } from "./bare-host.js";
export { Client, service, sockets, type DatagramReply, type Tally } from "./client.js";
export { Clone } from "./clone.js";
export { CommandError, type CommandOptions, type CommandResult } from "./command.js";
export { Container, type ContainerState, type EndpointState } from "./container.js";
export { encodeQuery, type DnsRecord, type DnsResponse, type Edns } from "./dns-message.js";
export {
  DockerHost,
  type ContainerOptions,
  type DockerHostOptions,
  type ExecOptions,
  type TestOwner,
} from "./docker-host.js";
export { EngineError } from "./engine.js";
export { Flow, lostWithRoom, type FlowOptions } from "./flow.js";
export { type FlowTally } from "./flow-child.js";
export { EtcdCluster, type UnderlayEtcdOptions } from "./etcd.js";
export { type Link, type LinkOptions } from "./link.js";
export { Network, type JoinOptions, type NetworkOptions } from "./network.js";
export { Outside, type OutsideOptions } from "./outside.js";
export { Podman, withoutCni } from "./podman.js";
export { Pontoon, type PontoonOptions, type Status } from "./pontoon.js";
export { Probe, type DigOptions, type QueryTally, type SendOptions, type TallyOptions } from "./probe.js";
export { FakeDriver, type FakeCall } from "./fake-driver.js";
export { Underlay, uplinkInterface, type Uplink } from "./underlay.js";
export { until, type UntilOptions } from "./until.js";
export { Upstream } from "./upstream.js";
export { Visitor, type StormTally, type Visit } from "./visitor.js";
export { forgedAddress, type Forgery, type SeenQuery } from "./upstream-script.js";
