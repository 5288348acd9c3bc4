// What may be chosen for a publication. This table is the one place where an option is written down: the types, what
// pontoon-proxy takes, what the control API takes, what is remembered, and the flags of `pontoon publish` are made from it.
import { amount, listOf, oneOf, text, type Shape } from "../../common/shape.js";

/** How `pontoon publish` takes an option. One without can be set by the daemon only. */
export interface PublishFlag {
  /** As commander has it: `--drain <seconds>`. */
  readonly flag: string;
  readonly help: string;
}

interface Common {
  /** Why it is of no use for UDP: what is for TCP only. */
  readonly tcpOnly?: string;
  readonly publish?: PublishFlag;
}

/** A time in ms (`pontoon publish` takes seconds), or a whole number. */
export interface NumberOption extends Common {
  readonly kind: "time" | "count";
  readonly default: number;
  readonly mayBeZero: boolean;
}

/** One of a few words. The default is what one has without asking. */
export interface ChoiceOption extends Common {
  readonly kind: "choice";
  readonly choices: readonly string[];
  readonly default: string;
  /** Whether the default can be asked for all the same. */
  readonly asksDefault?: true;
}

/** Networks: `10.0.0.0/8`, `fd00::/8`, single addresses. */
export interface NetworksOption extends Common {
  readonly kind: "networks";
  readonly default: readonly string[];
}

export type OptionKind = NumberOption | ChoiceOption | NetworksOption;

/** Flags are shown in this order. */
export const publicationOptions = {
  /** Version of the PROXY protocol the container is told its clients' addresses with. */
  proxyProtocol: {
    kind: "choice",
    choices: ["none", "v1", "v2"],
    default: "none",
    tcpOnly: "the PROXY protocol",
    publish: {
      flag: "--proxy-protocol <version>",
      help: "tell the container its clients' addresses with the PROXY protocol",
    },
  },
  /** Networks whose connections begin with a PROXY protocol header. */
  acceptProxyProtocolFrom: {
    kind: "networks",
    default: [],
    tcpOnly: "the PROXY protocol",
    publish: {
      flag: "--accept-proxy-protocol <network>",
      help: "expect the PROXY protocol from these clients (repeatable)",
    },
  },
  /** Until a connection from one of those that brought no whole header is ended. */
  proxyHeaderMs: { kind: "time", default: 5_000, mayBeZero: false },
  /** Networks whose clients are served; empty: all. */
  allowFrom: {
    kind: "networks",
    default: [],
    publish: { flag: "--allow <network>", help: "serve only clients of these networks (repeatable)" },
  },
  /** Connections at a time; more wait in the kernel's queue. 0: as many as a publication's share of the descriptors allows. */
  maxConnections: {
    kind: "count",
    default: 0,
    mayBeZero: true,
    publish: { flag: "--max-connections <number>", help: "connections at a time; 0 for as many as can be" },
  },
  /** How long connections may go on after the publication was closed. */
  drainMs: {
    kind: "time",
    default: 10_000,
    mayBeZero: true,
    publish: { flag: "--drain <seconds>", help: "how long connections may go on once it is published no more" },
  },
  /** Until a container that does not answer counts as one that refused. */
  connectTimeoutMs: {
    kind: "time",
    // Longer than the kernel tries (net.ipv4.tcp_syn_retries: 127 s), as with Docker: a container whose queue is full may yet take it.
    default: 130_000,
    mayBeZero: false,
    publish: {
      flag: "--connect-timeout <seconds>",
      help: "how long the container may take to accept a connection",
    },
  },
  /** Until a connection that is closed in one direction and silent in the other is ended. */
  halfClosedIdleMs: {
    kind: "time",
    // Long: a client that is really gone is found by keepalive within two minutes.
    default: 3_600_000,
    mayBeZero: false,
  },
  /** Until a UDP flow without a datagram in either direction is forgotten. */
  udpIdleMs: {
    kind: "time",
    // What a port that Docker's NAT serves has (net.netfilter.nf_conntrack_udp_timeout_stream); docker-proxy has 90 s.
    default: 120_000,
    mayBeZero: false,
    publish: {
      flag: "--udp-idle <seconds>",
      help: "until a UDP client that is silent in both directions is forgotten",
    },
  },
  /** UDP flows at a time; beyond that the one that was idle longest goes. */
  udpFlows: { kind: "count", default: 4096, mayBeZero: false },
  /**
   * By which way clients get to the container: through pontoon-proxy, or forwarded by the kernel, where it is told to by the daemon.
   * The socket is pontoon-proxy's in any case.
   */
  path: {
    kind: "choice",
    choices: ["auto", "kernel", "proxy"],
    default: "auto",
    asksDefault: true,
    publish: {
      flag: "--path <path>",
      help: "how clients get there; auto is kernel for sandboxes and proxy for containers",
    },
  },
} as const satisfies Record<string, OptionKind>;

type Table = typeof publicationOptions;
export type OptionName = keyof Table;

type ValueOf<Kind> = Kind extends { readonly kind: "choice"; readonly choices: readonly (infer Choice)[] }
  ? Choice
  : Kind extends { readonly kind: "networks" }
    ? readonly string[]
    : number;

/** What was chosen for a publication; what is left out has the value of {@link defaults}. */
export type PublicationOptions = { readonly [Name in keyof Table]?: ValueOf<Table[Name]> };

/** Those that `pontoon publish` can ask for. */
export type PublishOptionName = {
  [Name in OptionName]: Table[Name] extends { readonly publish: PublishFlag } ? Name : never;
}[OptionName];

/** What `pontoon publish` has asked for. */
export type PublishOptions = {
  readonly [Name in PublishOptionName]?: Table[Name] extends { readonly asksDefault: true }
    ? ValueOf<Table[Name]>
    : Table[Name] extends { readonly kind: "choice"; readonly default: infer Default }
      ? Exclude<ValueOf<Table[Name]>, Default>
      : ValueOf<Table[Name]>;
};

/** @returns for each option what is made of it */
export function ofEachOption<Made>(make: (option: OptionKind) => Made): Record<OptionName, Made> {
  return ofEach(optionNames, make);
}

/** The same for each that `pontoon publish` can ask for. */
export function ofEachPublishOption<Made>(make: (option: OptionKind) => Made): Record<PublishOptionName, Made> {
  return ofEach(publishOptionNames, make);
}

function ofEach<Name extends OptionName, Made>(
  names: readonly Name[],
  make: (option: OptionKind) => Made,
): Record<Name, Made> {
  return Object.fromEntries(names.map((name) => [name, make(publicationOptions[name])])) as Record<Name, Made>;
}

export const optionNames = Object.keys(publicationOptions) as OptionName[];
export const publishOptionNames = optionNames.filter(
  (name): name is PublishOptionName => "publish" in publicationOptions[name],
);

/** Every option with its default. Times in ms. */
export const defaults = ofEachOption((option): unknown => option.default) as Required<PublicationOptions>;

/** What `pontoon publish` may ask for of a choice. */
export function choicesToAsk({ choices, default: unasked, asksDefault }: ChoiceOption): string[] {
  return choices.filter((choice) => asksDefault === true || choice !== unasked);
}

/** What a value of the option must look like between processes. `checkPublication` looks closer. */
export function shapeOfOption(option: OptionKind): Shape {
  switch (option.kind) {
    case "time":
    case "count":
      return amount;
    case "choice":
      return oneOf(...option.choices);
    case "networks":
      return listOf(text(64), 10_000);
  }
}
