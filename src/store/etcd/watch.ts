import type { Logger } from "pino";
import { describeError, PontoonError } from "../../../common/errors.js";
import type { Follower } from "../shared-store.js";
import { BackOff } from "./back-off.js";
import type { Gateway } from "./gateway.js";
import { replaced } from "./lineage.js";
import type { Member } from "./member.js";
import { WatchReader } from "./watch-reader.js";
import { NonsenseError, rangeEnd, toBytes, type Fields } from "./wire.js";

/** ms for etcd to say that a watch was created. */
const createTime = 5_000;
/** Checks in a row at which a stream owed something and said nothing, after which it is not believed; and the most of them. */
const [patienceAtFirst, patienceAtMost] = [2, 12];

/** What a watch needs of the store. */
export interface WatchPlace {
  readonly gateway: Gateway;
  /** Of all keys of the store. */
  readonly prefix: string;
  readonly log: Logger;
  /** The revision that all members agree on. Rejects with STORE_UNREACHABLE. */
  revision(): Promise<number>;
}

type Stream =
  | { readonly kind: "none" }
  | { readonly kind: "opening" | "open"; readonly member: Member; readonly close: () => void };

/**
 * One follower's watch: a stream that is opened again, from the last revision that was told, whenever it ends or is not to be
 * believed. etcd's streams can be silent for ever: when packets are lost, when a member has been cut off (etcd's issues 8980,
 * 11396), or when it has caught up by a snapshot (8411).
 */
export class Watch {
  readonly #backOff = new BackOff();
  #told: number;
  #stream: Stream = { kind: "none" };
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #silentChecks = 0;
  #patience = patienceAtFirst;

  /** @param prefix of the keys that are followed, without the store's own */
  constructor(
    private readonly place: WatchPlace,
    private readonly prefix: string,
    after: number,
    private readonly follower: Follower,
    private readonly onOver: () => void,
  ) {
    this.#told = after;
    void this.#open();
  }

  /** Nothing more is told. Can be called twice. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#endStream();
    this.onOver();
  }

  /** Ends it, and says why. */
  lose(error: PontoonError): void {
    if (this.#isClosed) return;
    this.close();
    this.follower.onLost(error);
  }

  /**
   * To be called from time to time, with the store's revision. A stream that has not told of it is either one of a prefix where
   * nothing happens, or is not alive. It is opened again in both cases; while that brings nothing to light, less and less often.
   */
  check(revision: number): void {
    if (this.#stream.kind !== "open") return;
    if (this.#stream.member !== this.place.gateway.current) return this.#reopen("its member did not answer");
    this.#silentChecks = revision > this.#told ? this.#silentChecks + 1 : 0;
    if (this.#silentChecks < this.#patience) return;
    this.#patience = Math.min(patienceAtMost, this.#patience * 2);
    this.#reopen(`it said nothing, and the store is at revision ${revision}`);
  }

  async #open(): Promise<void> {
    try {
      const revision = await this.place.revision();
      if (this.#isClosed) return;
      if (revision < this.#told)
        return this.lose(replaced("store", `revision ${this.#told} was told and it is at ${revision} now`));
      this.#openStream();
    } catch (error) {
      if (!this.#isClosed) this.#retry(error as Error);
    }
  }

  #openStream(): void {
    const { gateway, prefix } = this.place;
    const reader = new WatchReader(prefix);
    const begin = prefix + this.prefix;
    const request = {
      key: toBytes(begin),
      range_end: rangeEnd(begin),
      start_revision: String(this.#told + 1),
      progress_notify: true,
      fragment: true,
    };
    const member = gateway.current;
    const close = gateway.stream(
      "/v3/watch",
      { create_request: request },
      {
        onResult: (result) => this.#take(reader, result),
        onEnd: (error) => this.#failed(member, error),
      },
    );
    this.#stream = { kind: "opening", member, close };
    this.#timer = setTimeout(() => this.#failed(member, new Error("the watch was not created in time")), createTime);
  }

  #take(reader: WatchReader, result: Fields): void {
    const line = reader.read(result);
    this.#silentChecks = 0;
    switch (line.kind) {
      case "created":
        return this.#created();
      case "compacted":
        return this.lose(compacted(this.#told, line.revision));
      case "canceled":
        throw new NonsenseError(`the watch was canceled (${line.reason})`);
      case "news":
        for (const news of line.news) this.#tell(news);
    }
  }

  #tell(news: Parameters<Follower["onNews"]>[0]): void {
    // What was told before the stream was opened anew is not told again, whatever a member sends.
    if (this.#isClosed || news.revision <= this.#told) return;
    this.#told = news.revision;
    this.#patience = patienceAtFirst;
    this.follower.onNews(news);
  }

  #created(): void {
    clearTimeout(this.#timer);
    this.#backOff.reset();
    if (this.#stream.kind !== "none") this.#stream = { ...this.#stream, kind: "open" };
  }

  #failed(member: Member, error: Error): void {
    this.place.gateway.avoid(member);
    this.#retry(error);
  }

  #retry(error: Error): void {
    this.#endStream();
    const wait = this.#backOff.wait();
    this.place.log.debug({ prefix: this.prefix, told: this.#told, reason: describeError(error), wait }, "watch ended");
    this.#timer = setTimeout(() => void this.#open(), wait);
  }

  #reopen(reason: string): void {
    this.place.log.debug({ prefix: this.prefix, told: this.#told, reason }, "watch opened again");
    this.#endStream();
    void this.#open();
  }

  #endStream(): void {
    clearTimeout(this.#timer);
    if (this.#stream.kind !== "none") this.#stream.close();
    this.#stream = { kind: "none" };
    this.#silentChecks = 0;
  }
}

function compacted(told: number, first: number): PontoonError {
  const message = `etcd has no more what changed after revision ${told}, only what did from ${first} on: everything is read again`;
  return new PontoonError("STORE_COMPACTED", String(told), message);
}
