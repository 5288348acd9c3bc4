import { hasExpired, leaseOf, type Lease } from "./lease.js";
import { macBytes } from "../../linux/link-socket.js";
import type { Incoming, Outgoing } from "./message.js";
import { option } from "./options.js";
import { decline, discover, requestKept, requestOffer, requestRenewal } from "./requests.js";
import type { Addressee, Exchange, Identity } from "./requests.js";

// What a client does when (RFC 2131 section 4.4). No I/O: each event makes a new state, and effects for somebody else to carry out.

/** Times are milliseconds since 1970; `at` is when the next event is due by itself. */
export type State =
  /** Waits before it begins anew. */
  | { readonly kind: "init"; readonly at: number; readonly last: string | undefined; readonly failures: number }
  | (Asking & { readonly kind: "selecting"; readonly last: string | undefined; readonly failures: number })
  | (Asking & { readonly kind: "requesting"; readonly offer: Lease; readonly failures: number })
  /** Whether nobody has the address is found out; that is told. */
  | { readonly kind: "probing"; readonly at: null; readonly lease: Lease; readonly failures: number }
  | { readonly kind: "bound"; readonly at: number | null; readonly lease: Lease }
  | (Asking & { readonly kind: "renewing" | "rebinding" | "rebooting"; readonly lease: Lease });

interface Asking extends Exchange {
  /** Messages that were sent. */
  readonly tries: number;
  readonly at: number;
}

export type Event =
  | { readonly kind: "due" }
  /** @param from MAC address of the sender */
  | { readonly kind: "message"; readonly message: Incoming; readonly from: string }
  | { readonly kind: "probed"; readonly isTaken: boolean };

export type Effect =
  | { readonly kind: "send"; readonly message: Outgoing; readonly to: Addressee; readonly lease?: Lease }
  | { readonly kind: "probe"; readonly ip: string }
  /** There is a lease, or it counts for longer. */
  | { readonly kind: "leased"; readonly lease: Lease }
  /** There is none any more. */
  | { readonly kind: "lost"; readonly reason: string };

export interface Transition {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** What is different at each moment. */
export interface Moment {
  readonly now: number;
  /** From 0 up to 1. */
  readonly random: () => number;
}

// RFC 2131 section 4.1 has 4 s at first, for networks of 10 Mb/s; who waits for a sandbox would rather know sooner.
const firstWait = 2000;
const longestWait = 64_000;
/** After as many requests without an answer the offer is forgotten, or what was kept is believed. */
const triesAtMost = 3;
/** RFC 2131 section 4.4.5. */
const renewalWait = 60_000;
/** RFC 2131 section 3.1, of one that has declined an address before. */
const waitAfterDecline = 10_000;

/** How a client begins. @param kept what was lent to it before @param isSamePlace whether nothing has happened to its link since */
export function begin(kept: Lease | undefined, isSamePlace: boolean, who: Identity, moment: Moment): Transition {
  const { now } = moment;
  if (!kept) return { state: { kind: "init", at: now, last: undefined, failures: 0 }, effects: [] };
  if (hasExpired(kept, now)) return lose(kept, "it has expired", 0, moment);
  if (!isSamePlace) return reboot(kept, who, moment);
  // A clock that was set back would make it longer than it is.
  return { state: { kind: "bound", at: now < kept.obtained ? now : kept.renewal, lease: kept }, effects: [] };
}

export function step(state: State, event: Event, who: Identity, moment: Moment): Transition {
  switch (event.kind) {
    case "due":
      return onDue(state, who, moment);
    case "probed":
      return state.kind === "probing" ? onProbed(state, event.isTaken, who, moment) : same(state);
    case "message":
      return isForUs(state, event.message, who)
        ? onMessage(state, event.message, event.from, who, moment)
        : same(state);
  }
}

function same(state: State): Transition {
  return { state, effects: [] };
}

function onDue(state: State, who: Identity, moment: Moment): Transition {
  const { now } = moment;
  switch (state.kind) {
    case "init": {
      const exchange = newExchange(moment);
      return select({ ...state, ...exchange, kind: "selecting", tries: 0 }, who, moment);
    }
    case "selecting":
      return select(state, who, moment);
    case "requesting":
      if (state.tries >= triesAtMost) return startAgain(state.offer.ip, state.failures + 1, moment);
      return request(state, who, moment);
    case "probing":
      return same(state);
    case "rebooting":
      // Nobody has said no (RFC 2131 section 3.2).
      if (state.tries >= triesAtMost) return bind(state.lease, moment, []);
      return reboot(state.lease, who, moment, state);
    case "bound":
    case "renewing":
    case "rebinding":
      if (hasExpired(state.lease, now)) return lose(state.lease, "no server has answered in time", 0, moment);
      return renew(state.lease, who, moment, state.kind === "bound" ? undefined : state);
  }
}

type Selecting = State & { kind: "selecting" };

function select(state: Selecting, who: Identity, moment: Moment): Transition {
  const { tries, last } = state;
  return {
    state: { ...state, tries: tries + 1, at: moment.now + backoff(tries, moment) },
    effects: [{ kind: "send", message: discover(who, state, moment.now, last), to: "everybody" }],
  };
}

function request(state: State & { kind: "requesting" }, who: Identity, moment: Moment): Transition {
  const { tries, offer } = state;
  return {
    state: { ...state, tries: tries + 1, at: moment.now + backoff(tries, moment) },
    effects: [{ kind: "send", message: requestOffer(who, state, moment.now, offer), to: "everybody" }],
  };
}

function reboot(lease: Lease, who: Identity, moment: Moment, before?: Asking): Transition {
  const { xid, since, tries } = before ?? { ...newExchange(moment), tries: 0 };
  return {
    state: { kind: "rebooting", lease, xid, since, tries: tries + 1, at: moment.now + backoff(tries, moment) },
    effects: [{ kind: "send", message: requestKept(who, { xid, since }, moment.now, lease), to: "everybody" }],
  };
}

/** First the server that has lent, then all. */
function renew(lease: Lease, who: Identity, moment: Moment, before: Asking | undefined): Transition {
  const { now } = moment;
  const { xid, since, tries } = before ?? { ...newExchange(moment), tries: 0 };
  const isLate = lease.rebinding !== null && now >= lease.rebinding;
  const end = (isLate ? lease.expiry : lease.rebinding) ?? Infinity;
  const at = Math.min(end, now + Math.max(renewalWait, (end - now) / 2), now + 0x7fffffff);
  const message = requestRenewal(who, { xid, since }, now, lease);
  return {
    state: { kind: isLate ? "rebinding" : "renewing", lease, xid, since, tries: tries + 1, at },
    effects: [{ kind: "send", message, to: isLate ? "everybody" : "server", lease }],
  };
}

function onProbed(
  { lease, failures }: State & { kind: "probing" },
  isTaken: boolean,
  who: Identity,
  moment: Moment,
): Transition {
  if (!isTaken) return bind(lease, moment, [{ kind: "leased", lease }]);
  const message = decline(who, newExchange(moment), moment.now, lease);
  const wait = failures === 0 ? firstWait : waitAfterDecline;
  return {
    state: { kind: "init", at: moment.now + wait, last: undefined, failures: failures + 1 },
    effects: [{ kind: "send", message, to: "everybody" }],
  };
}

/** Whether a message answers what was asked last. */
function isForUs(state: State, { xid, mac, options }: Incoming, who: Identity): boolean {
  const echoed = options.get(option.clientId); // RFC 6842
  return (
    "xid" in state && state.xid === xid && mac.equals(macBytes(who.mac)) && (!echoed || echoed.equals(who.clientId))
  );
}

function onMessage(state: State, message: Incoming, from: string, who: Identity, moment: Moment): Transition {
  const lease = leaseOf(message, from, moment.now);
  switch (state.kind) {
    case "selecting": {
      if (message.type !== "offer" || !lease) return same(state);
      const { xid, since, failures } = state;
      return request({ kind: "requesting", xid, since, tries: 0, at: 0, offer: lease, failures }, who, moment);
    }
    case "requesting": {
      if (message.type === "nak" && serverOf(message) === state.offer.server)
        return startAgain(undefined, state.failures + 1, moment);
      if (message.type !== "ack" || lease?.server !== state.offer.server) return same(state);
      const { failures } = state;
      return {
        state: { kind: "probing", at: null, lease, failures },
        effects: [{ kind: "probe", ip: lease.ip }],
      };
    }
    case "renewing":
    case "rebinding":
    case "rebooting": {
      const isOfServer = state.kind !== "renewing" || serverOf(message) === state.lease.server;
      if (message.type === "nak" && isOfServer) return lose(undefined, "a server has refused it", 0, moment);
      if (message.type !== "ack" || !lease || !isOfServer) return same(state);
      return bind(lease, moment, [{ kind: "leased", lease }]);
    }
    default:
      return same(state);
  }
}

function serverOf({ options }: Incoming): string | undefined {
  const value = options.get(option.server);
  return value?.length === 4 ? [...value].join(".") : undefined;
}

/** Leases that were made at one time are not renewed at one time. */
function bind(lease: Lease, { now, random }: Moment, effects: readonly Effect[]): Transition {
  const { renewal } = lease;
  const at = renewal === null ? null : renewal - Math.max(0, renewal - now) * 0.05 * random();
  return { state: { kind: "bound", at, lease }, effects };
}

/** @param lease whose address would be had again */
function lose(lease: Lease | undefined, reason: string, failures: number, moment: Moment): Transition {
  const { state } = startAgain(lease?.ip, failures, moment);
  return { state, effects: [{ kind: "lost", reason }] };
}

function startAgain(last: string | undefined, failures: number, moment: Moment): Transition {
  const wait = failures === 0 ? 0 : backoff(failures - 1, moment);
  return { state: { kind: "init", at: moment.now + wait, last, failures }, effects: [] };
}

function newExchange({ now, random }: Moment): Exchange {
  return { xid: Math.floor(random() * 0x100000000), since: now };
}

/** Twice as long each time, and a quarter more or less. */
function backoff(tries: number, { random }: Moment): number {
  return Math.min(longestWait, firstWait * 2 ** tries) * (0.75 + random() * 0.5);
}
