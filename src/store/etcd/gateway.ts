import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { PontoonError } from "../../../common/errors.js";
import type { Lineage } from "./lineage.js";
import { Member, type StoreTls } from "./member.js";
import type { Endpoint } from "./store-url.js";
import { judge, RefusedError, grpcCode, type Attempt } from "./verdict.js";
import { fieldsOf, headerOf, NonsenseError, textOf, type Fields } from "./wire.js";

/** How etcd is reached. */
export interface GatewayOptions {
  readonly endpoints: readonly Endpoint[];
  readonly tls?: StoreTls;
  readonly user?: string;
  readonly password?: string;
}

/** How a request is made. */
export interface Asking {
  /** `once`: it changes something, so that it is not repeated when it may have been done. */
  readonly repeat: "safely" | "once";
  /** Whether etcd answers in agreement with the other members: then its revision counts. */
  readonly isAgreed: boolean;
  /** ms that all attempts may take together. */
  readonly within?: number;
}

/** What told of a stream: each line's `result`, and its end, which is the last. */
export interface GatewayStreamEvents {
  onResult(result: Fields): void;
  /** A RefusedError, when etcd said that it will not. */
  onEnd(error: Error): void;
}

/** ms that an attempt may take. etcd itself takes 5 s and two elections' time before it gives up a proposal. */
const attemptTime = { safely: 2_000, once: 5_000 };
/** ms that all attempts may take. An election takes one or two seconds. */
const allTime = 6_000;
/** ms between two rounds through all members. */
const roundPause = 200;

/** etcd's HTTP/JSON gateway: one member is asked, the next one when that fails. Every request has a deadline. */
export class Gateway {
  readonly members: readonly Member[];
  readonly #closing = new AbortController();
  #current = 0;
  #token: string | undefined;

  constructor(
    private readonly options: GatewayOptions,
    private readonly lineage: Lineage,
  ) {
    this.members = options.endpoints.map((endpoint) => new Member(endpoint, options.tls));
    setMaxListeners(0, this.#closing.signal); // one for each request that waits
  }

  /** The member that is asked first. */
  get current(): Member {
    return this.members[this.#current]!;
  }

  /** Asks for the next member instead, if it is this one that is asked. */
  avoid(member: Member): void {
    member.forget();
    this.#token = undefined; // some versions of etcd just hang up on one that has expired (etcd's issue 20332)
    if (member === this.current) this.#current = (this.#current + 1) % this.members.length;
  }

  /** Rejects with STORE_UNREACHABLE, STORE_UNCERTAIN, or RefusedError. */
  async ask(path: string, body: unknown, { repeat, isAgreed, within = allTime }: Asking): Promise<Fields> {
    const deadline = performance.now() + within;
    let reason = "the store was closed";
    for (let asked = 1; !this.#closing.signal.aborted; asked++) {
      const member = this.current;
      const mark = this.lineage.mark();
      const time = Math.min(attemptTime[repeat], deadline - performance.now());
      const verdict = judge(await this.#attempt(member, path, body, time));
      if (verdict.kind === "done") return this.#noted(verdict.answer, isAgreed, mark);
      if (verdict.kind === "refused") throw verdict.error;
      this.avoid(member);
      ({ reason } = verdict);
      if (verdict.kind === "uncertain" && repeat === "once") throw this.#uncertain(reason);
      const pause = asked % this.members.length === 0 ? roundPause : 0;
      if (performance.now() + pause >= deadline) break;
      if (pause > 0) await sleep(pause, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
    throw this.#unreachable(reason);
  }

  /** Asks one member, and no other. Rejects with what is wrong. */
  async askMember(member: Member, path: string, body: unknown, time: number): Promise<Fields> {
    const verdict = judge(await this.#attempt(member, path, body, time));
    if (verdict.kind === "done") return verdict.answer;
    throw verdict.kind === "refused" ? verdict.error : new Error(verdict.reason);
  }

  /** Opens a stream with the current member. @returns what ends it, without `onEnd` */
  stream(path: string, body: unknown, events: GatewayStreamEvents): () => void {
    const end = (error: Error): void => {
      close();
      events.onEnd(error);
    };
    const close = this.current.stream(path, body, this.#token ?? "", {
      onLine: (line) => {
        try {
          const fields = fieldsOf(line);
          const verdict = judge({ kind: "answered", status: 200, body: line });
          if (verdict.kind === "done") events.onResult(fieldsOf(fields["result"]));
          else end(verdict.kind === "refused" ? verdict.error : new Error(verdict.reason));
        } catch (error) {
          if (!(error instanceof NonsenseError)) throw error;
          end(error);
        }
      },
      onEnd: (error) => events.onEnd(error),
    });
    return close;
  }

  /** Ends everything. What was asked rejects. Can be called twice. */
  close(): void {
    this.#closing.abort();
    for (const member of this.members) member.close();
  }

  async #attempt(member: Member, path: string, body: unknown, time: number): Promise<Attempt> {
    if (this.#closing.signal.aborted)
      return { kind: "failed", isSent: false, error: new Error("the store was closed") };
    const end = performance.now() + time;
    const failed = await this.#authenticate(member, time);
    if (failed) return failed;
    return member.request(path, body, this.#token ?? "", end - performance.now(), this.#closing.signal);
  }

  /** Has a token fetched, if there is a user and no token. @returns what went wrong */
  async #authenticate(member: Member, time: number): Promise<Attempt | undefined> {
    const { user: name, password = "" } = this.options;
    if (name === undefined || this.#token !== undefined) return undefined;
    const attempt = await member.request("/v3/auth/authenticate", { name, password }, "", time, this.#closing.signal);
    const verdict = judge(attempt);
    if (verdict.kind === "done") this.#token = textOf(verdict.answer["token"]);
    // Authentication is not enabled: nobody needs a token.
    else if (verdict.kind === "refused" && verdict.error.grpcCode === grpcCode.failedPrecondition) this.#token = "";
    else if (verdict.kind === "refused") return attempt;
    else return { kind: "failed", isSent: false, error: new Error(verdict.reason) };
    return undefined;
  }

  #noted(answer: Fields, isAgreed: boolean, mark: ReturnType<Lineage["mark"]>): Fields {
    try {
      // A stream of one answer has it in `result`: keepalives of leases do.
      this.lineage.note(headerOf("result" in answer ? fieldsOf(answer["result"]) : answer), isAgreed, mark);
    } catch (error) {
      if (!(error instanceof NonsenseError)) throw error;
      throw this.#uncertain(`the answer has no header (${error.message})`);
    }
    return answer;
  }

  get #name(): string {
    return this.members.map(({ name }) => name).join(",");
  }

  #unreachable(reason: string): PontoonError {
    const message = `etcd at ${this.#name} cannot be reached, nothing was changed (${reason}); check etcd and the network`;
    return new PontoonError("STORE_UNREACHABLE", this.#name, message);
  }

  #uncertain(reason: string): PontoonError {
    const message = `etcd at ${this.#name} gave no answer, so it is not known whether it was done (${reason}); look, and ask again`;
    return new PontoonError("STORE_UNCERTAIN", this.#name, message);
  }
}

/** A RefusedError as users see it: STORE_REFUSED. Anything else stays what it is. */
export function refusalFor(name: string, error: unknown): unknown {
  if (!(error instanceof RefusedError)) return error;
  const message = `etcd at ${name} refused it, nothing was changed; check its room, the user's permissions and the log`;
  return new PontoonError("STORE_REFUSED", name, message, { cause: error });
}
