import type { Logger } from "pino";
import type { Family } from "../../../common/address.js";
import type { ToDaemon, ToServer } from "../../../dns/protocol.js";
import {
  closeTakeover,
  disarmTakeover,
  insideTakeover,
  openForwardingSockets,
  openServerSockets,
  openTakeover,
  removeTakeover,
  repairTakeover,
  requireTakeable,
  takeoverOf,
  type Takeover,
} from "./takeover.js";
import { describeError, errorCode } from "../../../common/errors.js";
import { EPOLLIN } from "../../../linux/constants.js";
import type { Poller, Watch } from "../../../linux/poller.js";
import { closeDescriptor } from "../../../linux/socket.js";
import type { HeldSandbox } from "../program.js";
import { RuleLooks } from "./rule-looks.js";
import { RuleWatch } from "./rule-watch.js";

const forwardingUdp = 2;
const forwardingTcp = 1;
/** What a server may hold in one namespace; its own limits are lower. One that asks for more is at fault. */
const socketsAtMost = 256;
/** A table is looked at again no sooner, ms, whatever the server says: it says so every six seconds at most. */
const repairEvery = 2000;
const releaseTime = 6000; // ms; longer than a forwarded question may take
const releasingTime = 500; // ms until a server that does not acknowledge counts as gone
/**
 * Takeovers under way. Each occupies a thread of libuv's pool while the kernel works, for seconds where somebody in the
 * namespace draws that out: there are four, and files are read with them too.
 */
const atOnce = 2;

/** Why a sandbox is not taken over although it should be. */
export interface Failure {
  readonly code: string;
  readonly reason: string;
  /** How often that was tried in a row. */
  readonly tries: number;
  /** When it is to be tried again, as performance.now() has it. */
  readonly againAt: number;
  /** No sooner than then, even if what is in the way has changed. */
  readonly notBefore: number;
}

const againAfter = 1000; // ms, doubled with each failure in a row
const againAtMost = 60_000;
/** Who has rules of its own in the way is tried again when they change, but no sooner than this after the last time, ms. */
const againAfterChange = 2000;
/** Who was given back to its own rules counts as new after this, ms. */
const givenBackFor = 600_000;
/** Times in a row that one is given back and soon tried again; then later each time. */
const timesAtOnce = 3;
/** Looks in a row at rules that changed meanwhile, until a container is given back for that. */
const changingAtMost = 3;

/** What is in the way, and may go when the rules change. */
const ownRules = "FOREIGN_DNS_RULES";
const notTakeable: readonly (string | undefined)[] = [ownRules, "RULES_TOO_MANY", "RULES_CHANGING"];

/** A namespace whose rules are watched: it is held, or its own rules keep us from it. */
interface Watched {
  readonly rules: RuleWatch;
  /** Looks in a row at rules that changed meanwhile. */
  changing: number;
  /** How often in a row it was given back to its own rules, and when that was last. */
  timesGivenBack: number;
  givenBackAt: number;
  /** It is to be held, if its rules allow it. */
  isWanted: boolean;
}

/** A container's first process, as its dockerd says. */
interface Wanted {
  readonly pid: number;
  /** Full id. */
  readonly container: string;
}

/** A takeover under way. */
interface Opening {
  /** Whether it is still to be held when it is done. */
  wanted: boolean;
  done: Promise<void>;
}

interface Held {
  readonly takeover: Takeover;
  readonly watch: Watch;
  /** Sockets the present server was given to forward from. */
  handedOut: number;
  /** Its table is being loaded once more. */
  repair: Promise<void> | undefined;
  /** When its table may be looked at again, ms of the process. */
  repairableAt: number;
  /** Set while letting go; called for each step the server acknowledges. */
  onAcknowledged: ((step: "releasing" | "released") => void) | undefined;
}

/** How the server is reached; undefined while there is none. */
export type SendToServer = ((message: ToServer, descriptors?: readonly number[]) => void) | undefined;

/**
 * The namespaces taken over, with the daemon's duplicates of every descriptor in them: a server that dies loses no
 * packet, and nothing here outlives a container's first process.
 */
export class Takeovers {
  readonly failures = new Map<string, Failure>();
  readonly #held = new Map<string, Held>();
  readonly #queue = new Map<string, Wanted>();
  readonly #opening = new Map<string, Opening>();
  readonly #repairs = new Set<string>();
  readonly #watched = new Map<string, Watched>();
  readonly #looks = new RuleLooks((sandbox) => this.#lookAtRules(sandbox));
  #repairing = false;
  #lookingForSilent = false;
  #send: SendToServer;
  #working = false;

  constructor(
    private readonly poller: Poller,
    private readonly log: Logger,
    private readonly onEnded: (sandbox: string) => void,
    /** The server has asked for what none of ours asks. */
    private readonly onMisuse: (what: string) => void,
    /** A namespace that is held redirects DNS itself by now: {@link giveBack} is to follow. */
    private readonly onOwnRules: (sandbox: string, error: unknown) => void = (sandbox, error) =>
      void this.giveBack(sandbox, error),
  ) {}

  has(sandbox: string): boolean {
    return this.#held.has(sandbox);
  }

  get sandboxes(): string[] {
    return [...this.#held.keys()];
  }

  /** Takes over a namespace soon, unless it is already. One in a turn of the event loop: each needs about 2 ms of this thread. */
  want(sandbox: string, process: Wanted): void {
    const opening = this.#opening.get(sandbox);
    const watched = this.#watched.get(sandbox);
    if (watched) watched.isWanted = true;
    if (opening) opening.wanted = true;
    if (opening || this.#held.has(sandbox) || this.#queue.has(sandbox)) return;
    this.#queue.set(sandbox, process);
    this.#work();
  }

  /** Gives a namespace back to Docker: no query is lost, and what is being asked is finished first. */
  async letGo(sandbox: string): Promise<void> {
    const watched = this.#watched.get(sandbox);
    if (watched) watched.isWanted = false;
    await this.#letGo(sandbox);
    if (watched?.isWanted === false) this.#unwatch(sandbox, watched);
  }

  async #letGo(sandbox: string): Promise<void> {
    this.#queue.delete(sandbox);
    this.failures.delete(sandbox);
    await this.#forgetOpening(sandbox);
    const held = this.#held.get(sandbox);
    if (!held || held.onAcknowledged) return;
    if (this.#send) await this.#acknowledged(held, "releasing", releasingTime, { kind: "release", sandbox });
    await held.repair;
    await this.#inNamespace(sandbox, () => disarmTakeover(held.takeover));
    if (this.#send) await this.#acknowledged(held, "released", releaseTime, { kind: "close", sandbox });
    await this.#inNamespace(sandbox, () => removeTakeover(held.takeover));
    this.#drop(sandbox, held);
  }

  /**
   * Gives a namespace back as {@link letGo} does, because of its own rules. It may be wanted again when these have changed, or after a
   * while: later each time, if it goes on like that.
   */
  async giveBack(sandbox: string, error: unknown): Promise<void> {
    await this.#letGo(sandbox);
    const watched = this.#watched.get(sandbox);
    if (!watched) return; // it has ended
    if (!watched.isWanted) return this.#unwatch(sandbox, watched);
    watched.rules.listen();
    watched.timesGivenBack = performance.now() - watched.givenBackAt < givenBackFor ? watched.timesGivenBack + 1 : 1;
    watched.givenBackAt = performance.now();
    const againAt =
      watched.givenBackAt + Math.min(againAfter * 2 ** Math.max(0, watched.timesGivenBack - timesAtOnce), againAtMost);
    this.failures.set(sandbox, {
      code: errorCode(error) ?? "UNKNOWN",
      reason: describeError(error),
      tries: 1,
      againAt,
      notBefore: againAt,
    });
  }

  /** Gives everything back at once, without a server: the first queries after this go to Docker. */
  async abandonAll(): Promise<void> {
    this.#queue.clear();
    await Promise.all([...this.#opening.keys()].map((sandbox) => this.#forgetOpening(sandbox)));
    const abandon = async ([sandbox, held]: [string, Held]) => {
      await held.repair;
      await this.#inNamespace(sandbox, () => removeTakeover(held.takeover));
      this.#drop(sandbox, held);
    };
    await Promise.all([...this.#held].map(abandon));
    for (const sandbox of [...this.#watched.keys()]) this.#unwatch(sandbox);
  }

  /** What is under way is finished, and given back. */
  async #forgetOpening(sandbox: string): Promise<void> {
    const opening = this.#opening.get(sandbox);
    if (!opening) return;
    opening.wanted = false;
    await opening.done;
  }

  /** Keeps what a server held for an earlier daemon; what is not wanted any more is given back to Docker at once. */
  adopt(held: readonly HeldSandbox[], isWanted: (sandbox: string, pid: number) => boolean): void {
    for (const { sandbox, port, descriptors } of held) {
      const takeover = this.#held.has(sandbox) ? undefined : takeoverOf(port, descriptors);
      if (takeover && isWanted(sandbox, takeover.pid)) {
        this.#hold(sandbox, takeover);
        this.#repairSoon(sandbox); // its rules may be those of another version
        continue;
      }
      if (takeover) void this.#inNamespace(sandbox, () => removeTakeover(takeover));
      descriptors.forEach(closeDescriptor);
    }
  }

  /** Sends the server its sockets: all but those of `known`, which it has. */
  connect(send: SendToServer & {}, known: ReadonlySet<string>): void {
    this.#send = send;
    for (const [sandbox, { takeover }] of this.#held) if (!known.has(sandbox)) this.#sendSockets(sandbox, takeover);
  }

  disconnect(): void {
    this.#send = undefined;
    for (const held of this.#held.values()) {
      held.handedOut = 0;
      held.onAcknowledged?.("released");
    }
  }

  onMessage(message: ToDaemon): void {
    if (message.kind === "releasing" || message.kind === "released")
      this.#held.get(message.sandbox)?.onAcknowledged?.(message.kind);
    else if (message.kind === "want-sockets")
      this.#sendMoreSockets(message.sandbox, message.family ?? "ipv4", message.udp, message.tcp);
    else if (message.kind === "answering" && !message.answering) this.#repairSoon(message.sandbox);
  }

  #work(): void {
    if (this.#working) return;
    this.#working = true;
    setImmediate(() => {
      this.#working = false;
      const [next] = this.#queue;
      if (this.#opening.size >= atOnce) return;
      const [broken] = this.#repairs;
      if (next) {
        const [sandbox, process] = next;
        this.#queue.delete(sandbox);
        if (!this.#held.has(sandbox)) this.#open(sandbox, process);
      } else if (broken !== undefined && !this.#repairing) {
        this.#repairs.delete(broken);
        this.#repairing = true;
        void this.#repair(broken).finally(() => {
          this.#repairing = false;
          this.#work();
        });
        return;
      } else return;
      this.#work();
    });
  }

  #open(sandbox: string, process: Wanted): void {
    const opening: Opening = { wanted: true, done: Promise.resolve() };
    this.#opening.set(sandbox, opening);
    opening.done = this.#takeOver(sandbox, process, opening).finally(() => {
      this.#opening.delete(sandbox);
      this.#work();
    });
  }

  async #takeOver(sandbox: string, { pid, container }: Wanted, opening: Opening): Promise<void> {
    try {
      const takeover = await openTakeover(pid, container, () => this.#watchRules(sandbox, pid));
      this.failures.delete(sandbox);
      if (!opening.wanted) {
        this.#unwatch(sandbox);
        closeTakeover(takeover);
        return await this.#inNamespace(sandbox, () => removeTakeover(takeover));
      }
      this.#hold(sandbox, takeover);
      this.#sendSockets(sandbox, takeover);
      this.#watched.get(sandbox)?.rules.listen();
    } catch (error) {
      const code = errorCode(error) ?? "UNKNOWN";
      if (opening.wanted && code === ownRules) this.#watched.get(sandbox)?.rules.listen();
      else this.#unwatch(sandbox);
      if (!opening.wanted) return;
      if (code === "ESRCH" || code === "ENOENT") {
        // The container has just ended, and dockerd is about to say so; or it has never been here.
        this.#fail(
          sandbox,
          "CONTAINER_ELSEWHERE",
          `there is no process ${pid} on this machine; if the container runs, its dockerd is elsewhere`,
        );
        return;
      }
      const reason = describeError(error);
      if (this.failures.get(sandbox)?.reason !== reason)
        this.log.warn({ sandbox: sandbox.slice(0, 12), code, reason }, "a container is left to Docker's resolver");
      this.#fail(sandbox, code, reason);
    }
  }

  #fail(sandbox: string, code: string, reason: string): void {
    const tries = (this.failures.get(sandbox)?.tries ?? 0) + 1;
    const now = performance.now();
    this.failures.set(sandbox, {
      code,
      reason,
      tries,
      againAt: now + Math.min(againAfter * 2 ** (tries - 1), againAtMost),
      notBefore: now + againAfterChange,
    });
  }

  #hold(sandbox: string, takeover: Takeover): void {
    const watch = this.poller.watch(takeover.pidfd, EPOLLIN, () => {
      this.#drop(sandbox, held);
      this.#unwatch(sandbox);
      this.onEnded(sandbox);
    });
    const held: Held = { takeover, watch, handedOut: 0, repair: undefined, repairableAt: 0, onAcknowledged: undefined };
    this.#held.set(sandbox, held);
  }

  /** Closes every descriptor of ours in a namespace, unless that has been done meanwhile. */
  #drop(sandbox: string, held: Held): void {
    if (this.#held.get(sandbox) !== held) return;
    this.#held.delete(sandbox);
    held.watch.close();
    closeTakeover(held.takeover);
    held.onAcknowledged?.("released");
  }

  #sendSockets(sandbox: string, takeover: Takeover): void {
    const send = this.#send;
    if (!send) return;
    void this.#inNamespace(sandbox, () => {
      const { dockerResolver: dockerResolver, udp, tcp } = openServerSockets(takeover, forwardingUdp, forwardingTcp);
      const { pidfd, port } = takeover;
      sendingAway([dockerResolver, ...udp, ...tcp], (opened) =>
        send({ kind: "sockets", sandbox, port, udp: udp.length, tcp: tcp.length }, [
          pidfd,
          takeover.udp,
          takeover.tcp,
          ...opened,
        ]),
      );
    });
  }

  #sendMoreSockets(sandbox: string, family: Family, udpCount: number, tcpCount: number): void {
    const held = this.#held.get(sandbox);
    if (!held) return;
    held.handedOut += udpCount + tcpCount;
    if (udpCount + tcpCount === 0 || held.handedOut > socketsAtMost)
      return this.onMisuse(
        `it wants ${udpCount} + ${tcpCount} sockets in a namespace where it was given ${held.handedOut - udpCount - tcpCount}`,
      );
    void this.#inNamespace(sandbox, () => {
      const { udp, tcp } = openForwardingSockets(held.takeover, family, udpCount, tcpCount);
      sendingAway([...udp, ...tcp], (opened) =>
        this.#send?.({ kind: "more-sockets", sandbox, family, udp: udp.length, tcp: tcp.length }, opened),
      );
    });
  }

  /** Heartbeats do not come back: somebody has removed or changed the table. Looked at when nothing is to be taken over. */
  #repairSoon(sandbox: string): void {
    if (!this.#held.has(sandbox)) return;
    this.#repairs.add(sandbox);
    this.#work();
  }

  async #repair(sandbox: string): Promise<void> {
    const held = this.#held.get(sandbox);
    const now = performance.now();
    if (!held || held.onAcknowledged || held.repair || now < held.repairableAt) return;
    held.repairableAt = now + repairEvery;
    held.repair = this.#inNamespace(sandbox, async () => {
      if (!this.#watched.has(sandbox)) this.#watchAdopted(sandbox, held.takeover);
      if (await repairTakeover(held.takeover))
        this.log.warn(
          { sandbox: sandbox.slice(0, 12) },
          "somebody had removed our rules from a container's network namespace; they are back",
        );
    });
    await held.repair;
    held.repair = undefined;
  }

  /** Called inside the namespace, before its rules are read. */
  #watchRules(sandbox: string, pid: number): void {
    const known = this.#watched.get(sandbox);
    if (known) return known.rules.forget();
    const rules = new RuleWatch(
      this.poller,
      pid,
      () => this.#onRulesChanged(sandbox),
      () => this.#unwatch(sandbox),
    );
    this.#watched.set(sandbox, { rules, changing: 0, timesGivenBack: 0, givenBackAt: -Infinity, isWanted: true });
  }

  /** What an earlier daemon took over may redirect DNS itself by now. */
  #watchAdopted(sandbox: string, takeover: Takeover): void {
    insideTakeover(takeover, () => this.#watchRules(sandbox, takeover.pid));
    this.#looks.soon(sandbox);
  }

  #unwatch(sandbox: string, watched = this.#watched.get(sandbox)): void {
    if (!watched || this.#watched.get(sandbox) !== watched) return;
    this.#watched.delete(sandbox);
    this.#looks.forget(sandbox);
    watched.rules.close();
  }

  /** Looks whether rules have changed that the kernel tells nobody of. To be called every few seconds. Never rejects. */
  async lookForSilentChanges(): Promise<void> {
    if (this.#lookingForSilent) return;
    this.#lookingForSilent = true;
    for (const [sandbox, watched] of [...this.#watched]) await this.#lookForSilentChange(sandbox, watched);
    this.#lookingForSilent = false;
  }

  async #lookForSilentChange(sandbox: string, watched: Watched): Promise<void> {
    try {
      const hasChanged = await watched.rules.hasChangedUnheard();
      if (hasChanged && this.#watched.get(sandbox) === watched) this.#onRulesChanged(sandbox);
    } catch (error) {
      this.log.debug(
        { sandbox: sandbox.slice(0, 12), reason: describeError(error) },
        "rules of legacy iptables could not be looked at",
      ); // it has just ended, mostly
    }
  }

  #onRulesChanged(sandbox: string): void {
    if (this.#held.has(sandbox)) return this.#looks.soon(sandbox);
    const failure = this.failures.get(sandbox);
    if (failure)
      this.failures.set(sandbox, {
        ...failure,
        againAt: Math.min(failure.againAt, Math.max(performance.now(), failure.notBefore)),
      });
  }

  async #lookAtRules(sandbox: string): Promise<void> {
    const [held, watched] = [this.#held.get(sandbox), this.#watched.get(sandbox)];
    if (!held || !watched || held.onAcknowledged) return;
    watched.rules.forget();
    try {
      await requireTakeable(held.takeover);
      watched.changing = 0;
    } catch (error) {
      const code = errorCode(error);
      if (code === "RULES_CHANGING" && ++watched.changing < changingAtMost) this.#looks.soon(sandbox);
      else if (notTakeable.includes(code)) {
        if (this.#held.get(sandbox) !== held || held.onAcknowledged) return;
        this.log.warn(
          { sandbox: sandbox.slice(0, 12), code, reason: describeError(error) },
          "a container is given back to Docker's resolver",
        );
        return this.onOwnRules(sandbox, error);
      } else if (code === "RULES_BUSY") this.#looks.soon(sandbox);
      // Else it has just ended.
    }
    if (this.#watched.get(sandbox) === watched) watched.rules.listen();
  }

  /** A namespace may end at any moment: that is no fault, and its pidfd tells. */
  async #inNamespace(sandbox: string, work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const code = errorCode(error);
      if (code === "ENOENT" || code === "ESRCH" || code === "EINVAL") {
        this.log.debug({ sandbox: sandbox.slice(0, 12), code }, "a container's network namespace is gone");
        return;
      }
      this.log.warn(
        { sandbox: sandbox.slice(0, 12), reason: describeError(error) },
        "work in a container's network namespace failed",
      );
    }
  }

  #acknowledged(held: Held, step: "releasing" | "released", time: number, message: ToServer): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        held.onAcknowledged = undefined;
        resolve();
      };
      const timer = setTimeout(finish, time);
      held.onAcknowledged = (reached) => {
        if (reached === step || reached === "released") finish();
      };
      this.#send?.(message);
    });
  }
}

/** Closes what was opened for the server when it has been sent, or cannot be. */
function sendingAway(opened: readonly number[], send: (opened: readonly number[]) => void): void {
  try {
    send(opened);
  } finally {
    opened.forEach(closeDescriptor);
  }
}
