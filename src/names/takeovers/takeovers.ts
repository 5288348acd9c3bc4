import type { Logger } from "pino";
import type { ToDaemon } from "../../../dns/protocol.js";
import { describeError, errorCode } from "../../../common/errors.js";
import type { Poller } from "../../../linux/poller.js";
import { closeDescriptor } from "../../../linux/socket.js";
import type { HeldSandbox } from "../program.js";
import { Failures, type Failure } from "./failures.js";
import { HeldTakeovers, type HeldTakeover } from "./held-takeovers.js";
import { namespaceWork, type NamespaceWork } from "./namespace-work.js";
import { OWN_RULES, RuleGuard } from "./rule-guard.js";
import { ServerSockets, type SendToServer } from "./server-sockets.js";
import type { NamespacePlace } from "../../inventory/types.js";
import { NamespaceEnds } from "./namespace-ends.js";
import { takeoverOf } from "./adopted.js";
import { describePlace } from "./place.js";
import {
  closeTakeover,
  disarmTakeover,
  openTakeover,
  removeTakeover,
  repairTakeover,
  type Takeover,
  type Wanted,
} from "./takeover.js";
import { WorkQueue, type Opening } from "./work-queue.js";

/** A table is looked at again no sooner, ms, whatever the server says: it says so every six seconds at most. */
const repairEvery = 2000;
const releaseTime = 6000; // ms; longer than a forwarded question may take
const releasingTime = 500; // ms until a server that does not acknowledge counts as gone

/**
 * The namespaces taken over, with the daemon's duplicates of every descriptor in them: a server that dies loses no
 * packet, and nothing here outlives a container's first process, or the name of a namespace.
 */
export class Takeovers {
  readonly #failures = new Failures();
  readonly #held: HeldTakeovers;
  readonly #queue: WorkQueue;
  readonly #guard: RuleGuard;
  readonly #sockets: ServerSockets;
  readonly #inNamespace: NamespaceWork;

  constructor(
    poller: Poller,
    private readonly log: Logger,
    onEnded: (sandbox: string, takeover: Takeover) => void,
    /** The server has asked for what none of ours asks. */
    onMisuse: (what: string) => void,
    /** A namespace that is held redirects DNS itself by now: {@link giveBack} is to follow. */
    onOwnRules: (sandbox: string, error: unknown) => void = (sandbox, error) => void this.giveBack(sandbox, error),
  ) {
    this.#inNamespace = namespaceWork(log);
    const ends = new NamespaceEnds(poller);
    this.#held = new HeldTakeovers(ends, (sandbox, takeover) => {
      this.#guard.unwatch(sandbox);
      onEnded(sandbox, takeover);
    });
    this.#sockets = new ServerSockets(this.#held, this.#inNamespace, onMisuse);
    this.#guard = new RuleGuard(poller, ends, log, this.#held, {
      onChanged: (sandbox) => this.#failures.rulesChanged(sandbox),
      onOwnRules,
    });
    this.#queue = new WorkQueue({
      isHeld: (sandbox) => this.#held.has(sandbox),
      takeOver: (sandbox, wanted, opening) => this.#takeOver(sandbox, wanted, opening),
      repair: (sandbox) => this.#repair(sandbox),
    });
  }

  /** Why sandboxes are not taken over although they should be. */
  get failures(): ReadonlyMap<string, Failure> {
    return this.#failures.all;
  }

  has(sandbox: string): boolean {
    return this.#held.has(sandbox);
  }

  get sandboxes(): string[] {
    return this.#held.sandboxes;
  }

  /** Takes over a namespace soon, unless it is already. */
  want(sandbox: string, wanted: Wanted): void {
    this.#guard.want(sandbox);
    this.#queue.want(sandbox, wanted);
  }

  /** Gives a namespace back to Docker: no query is lost, and what is being asked is finished first. */
  async letGo(sandbox: string): Promise<void> {
    const unwatch = this.#guard.unwant(sandbox);
    await this.#letGo(sandbox);
    unwatch();
  }

  async #letGo(sandbox: string): Promise<void> {
    this.#failures.forget(sandbox);
    await this.#queue.forget(sandbox);
    const held = this.#held.get(sandbox);
    if (!held || held.isLettingGo) return;
    await this.#tell(held, "releasing", releasingTime, { kind: "release", sandbox });
    await held.repair;
    await this.#inNamespace(sandbox, () => disarmTakeover(held.takeover));
    await this.#tell(held, "released", releaseTime, { kind: "close", sandbox });
    await this.#inNamespace(sandbox, () => removeTakeover(held.takeover));
    this.#held.drop(sandbox, held);
  }

  /** Tells the server, if there is one, and waits until it has done so. */
  async #tell(
    held: HeldTakeover,
    step: "releasing" | "released",
    time: number,
    message: Parameters<SendToServer & {}>[0],
  ): Promise<void> {
    const { send } = this.#sockets;
    if (!send) return;
    const reached = held.reached(step, time);
    send(message);
    await reached;
  }

  /**
   * Gives a namespace back as {@link letGo} does, because of its own rules. It may be wanted again when these have
   * changed, or after a while: later each time, if it goes on like that.
   */
  async giveBack(sandbox: string, error: unknown): Promise<void> {
    await this.#letGo(sandbox);
    const times = this.#guard.givenBack(sandbox);
    if (times !== undefined)
      this.#failures.givenBack(sandbox, errorCode(error) ?? "UNKNOWN", describeError(error), times);
  }

  /** Gives everything back at once, without a server: the first queries after this go to Docker. */
  async abandonAll(): Promise<void> {
    await this.#queue.forgetAll();
    const abandon = async ([sandbox, held]: [string, HeldTakeover]) => {
      await held.repair;
      await this.#inNamespace(sandbox, () => removeTakeover(held.takeover));
      this.#held.drop(sandbox, held);
    };
    await Promise.all([...this.#held].map(abandon));
    this.#guard.unwatchAll();
  }

  /**
   * Keeps what a server held for an earlier daemon; what is not wanted any more is given back to Docker at once.
   * @param wantedOf undefined when a sandbox is not wanted, or not in that namespace
   */
  adopt(
    held: readonly HeldSandbox[],
    wantedOf: (sandbox: string, place: NamespacePlace) => Pick<Wanted, "hasDockerResolver"> | undefined,
  ): void {
    for (const { sandbox, descriptors, ...claim } of held) {
      const found = this.#held.has(sandbox) ? undefined : takeoverOf(claim, descriptors);
      const wanted = found && wantedOf(sandbox, found.place);
      const takeover = found && { ...found, hasDockerResolver: wanted?.hasDockerResolver ?? true };
      if (takeover && wanted) {
        this.#held.hold(sandbox, takeover);
        this.#repairSoon(sandbox); // its rules may be those of another version
        continue;
      }
      if (takeover) void this.#inNamespace(sandbox, () => removeTakeover(takeover));
      descriptors.forEach(closeDescriptor);
    }
  }

  /**
   * Sends the server its sockets: all but those of `known`, which it has.
   * @param isTold whether the server has been told of a sandbox: the others are sent later
   */
  connect(send: SendToServer & {}, known: ReadonlySet<string>, isTold?: (sandbox: string) => boolean): void {
    this.#sockets.connect(send, known, isTold);
  }

  /** The server does not answer in a namespace although it is held: gives it the sockets once more, and looks at the rules. */
  giveAgain(sandbox: string): void {
    const held = this.#held.get(sandbox);
    if (!held || held.isLettingGo) return;
    held.handedOut = 0; // the server closes what it has
    this.#sockets.give(sandbox);
    this.#repairSoon(sandbox);
  }

  disconnect(): void {
    this.#sockets.disconnect();
    this.#held.disconnect();
  }

  onMessage(message: ToDaemon): void {
    if (message.kind === "releasing" || message.kind === "released")
      this.#held.get(message.sandbox)?.acknowledge(message.kind);
    else if (message.kind === "want-sockets") this.#sockets.giveMore(message);
    else if (message.kind === "answering" && !message.answering) this.#repairSoon(message.sandbox);
  }

  /** As {@link RuleGuard.lookForSilentChanges}. */
  lookForSilentChanges(): Promise<void> {
    return this.#guard.lookForSilentChanges();
  }

  async #takeOver(sandbox: string, wanted: Wanted, opening: Opening): Promise<void> {
    const { place } = wanted;
    try {
      const takeover = await openTakeover(wanted, () => this.#guard.watch(sandbox, place));
      this.#failures.forget(sandbox);
      if (!opening.wanted) {
        this.#guard.unwatch(sandbox);
        closeTakeover(takeover);
        return await this.#inNamespace(sandbox, () => removeTakeover(takeover));
      }
      this.#held.hold(sandbox, takeover);
      this.#sockets.give(sandbox);
      this.#guard.listen(sandbox);
    } catch (error) {
      const code = errorCode(error) ?? "UNKNOWN";
      if (opening.wanted && code === OWN_RULES) this.#guard.listen(sandbox);
      else this.#guard.unwatch(sandbox);
      if (opening.wanted) this.#fail(sandbox, wanted, code, error);
    }
  }

  #fail(sandbox: string, { place, hasDockerResolver }: Wanted, code: string, error: unknown): void {
    if (place.kind === "process" && (code === "ESRCH" || code === "ENOENT")) {
      // The container has just ended, and dockerd is about to say so; or it has never been here.
      const reason = `there is no ${describePlace(place)} on this machine; if the container runs, its dockerd is elsewhere`;
      this.#failures.failed(sandbox, "CONTAINER_ELSEWHERE", reason);
      return;
    }
    const reason = describeError(error);
    if (this.#failures.failed(sandbox, code, reason))
      this.log.warn(
        { sandbox: sandbox.slice(0, 12), code, reason },
        hasDockerResolver ? "a container is left to Docker's resolver" : "nobody answers in a sandbox",
      );
  }

  /** Heartbeats do not come back: somebody has removed or changed the table. */
  #repairSoon(sandbox: string): void {
    if (this.#held.has(sandbox)) this.#queue.repair(sandbox);
  }

  async #repair(sandbox: string): Promise<void> {
    const held = this.#held.get(sandbox);
    const now = performance.now();
    if (!held || held.isLettingGo || held.repair || now < held.repairableAt) return;
    held.repairableAt = now + repairEvery;
    held.repair = this.#inNamespace(sandbox, async () => {
      if (!this.#guard.has(sandbox)) this.#guard.watchAdopted(sandbox, held.takeover);
      if (await repairTakeover(held.takeover))
        this.log.warn(
          { sandbox: sandbox.slice(0, 12) },
          "somebody had removed our rules from a container's network namespace; they are back",
        );
    });
    await held.repair;
    held.repair = undefined;
  }
}
