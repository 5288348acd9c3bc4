import type { Logger } from "pino";
import { z } from "zod";
import { describeError, errorCode } from "../../../common/errors.js";
import type { Store } from "../../store/store.js";
import type { Plugins } from "./plugins.js";
import { done } from "./protocol.js";

const callRecord = z.strictObject({ plugin: z.string(), method: z.string(), body: z.record(z.string(), z.unknown()) });

/** What plugins are to be told once a network or an endpoint is not there: what takes back what they were asked for. */
const dueRecord = z.strictObject({
  /** Of the network or the endpoint. */
  id: z.string(),
  /** Which came first. */
  number: z.number().int(),
  /** In words, for the log. */
  about: z.string(),
  calls: z.array(callRecord).readonly(),
});

export type DueCall = Readonly<z.infer<typeof callRecord>>;
type Due = Readonly<z.infer<typeof dueRecord>>;

/** More are not kept: the first is dropped, which is logged. */
const atMost = 1000;
/** Until plugins that did not hear are told again, ms; it doubles. */
const usualPause = { first: 15_000, atMost: 600_000 };
/** What a plugin says, as opposed to what it did not hear. */
const heard = ["PLUGIN_REFUSED", "PLUGIN_ANSWER_INVALID"];

/**
 * What is due to plugins. It is stored before a plugin is asked for what has to be taken back one day, and before its record
 * goes; while what it is about is registered, it is not due. So wherever a crash comes, the next daemon tells the plugin what the
 * last could not. A plugin that does not hear is told later; what it refuses is logged, and done, as in Docker.
 */
export class Dues {
  readonly #all = new Map<string, Due>();
  /** What is being made, or is about to go: it is not known yet what comes of it. */
  readonly #open = new Set<string>();
  #number = 0;
  #timer: NodeJS.Timeout | undefined;
  #last: Promise<void> = Promise.resolve();
  #nextPause: number;
  #isStopped = false;

  constructor(
    private readonly store: Store,
    private readonly plugins: Plugins,
    /** Whether there is a record of it. */
    private readonly isRegistered: (id: string) => boolean,
    private readonly log: Logger,
    private readonly pause = usualPause,
  ) {
    this.#nextPause = pause.first;
  }

  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  /** How many are to be told of. */
  get count(): number {
    return [...this.#all.values()].filter((due) => this.#isDue(due)).length;
  }

  /** Reads what there is; what makes no sense is put aside. Throws STORE_UNREADABLE. */
  load(): void {
    const found: Due[] = [];
    for (const [key, value] of this.store.all("due")) {
      const read = dueRecord.safeParse(value);
      if (read.success && read.data.id === key) found.push(read.data);
      else this.store.putAside("due", key, read.error?.issues[0]?.message ?? "its id is another one");
    }
    for (const due of found.sort((one, other) => one.number - other.number)) this.#all.set(due.id, due);
    this.#number = found.at(-1)?.number ?? 0;
  }

  /** Tells what an earlier daemon could not. What is registered after all is not due. Does not wait. */
  start(): void {
    for (const id of [...this.#all.keys()]) if (this.isRegistered(id)) this.drop(id);
    if (!this.isEmpty) void this.#round(() => true);
  }

  /**
   * These are due when there is no record of it, in the place of what was, and once it is clear what comes of it: by
   * {@link settle}, or {@link drop}, or the next start. Throws STORE_UNWRITABLE, STATE_DIR_UNFIT.
   */
  owe(id: string, about: string, calls: readonly DueCall[]): void {
    this.#open.add(id);
    const number = this.#all.get(id)?.number ?? ++this.#number;
    this.#put({ id, number, about, calls });
    const [first] = this.#all.values();
    if (this.#all.size <= atMost || !first) return;
    this.log.warn(
      { about: first.about, calls: first.calls },
      "plugins were not told what is due to them, and are not any more",
    );
    this.drop(first.id);
  }

  /** It is not due. */
  drop(id: string): void {
    this.#open.delete(id);
    if (!this.#all.delete(id)) return;
    this.store.write([{ kind: "due", key: id, value: undefined }]);
  }

  /** Tells plugins what is due about these, and to the same plugins from before; resolves once that is tried. Never rejects. */
  settle(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.#open.delete(id);
    const own = ids.flatMap((id) => this.#all.get(id) ?? []);
    if (own.length === 0) return Promise.resolve();
    const plugins = new Set(own.flatMap(({ calls }) => calls.map(({ plugin }) => plugin)));
    return this.#round(({ calls }) => calls.some(({ plugin }) => plugins.has(plugin)));
  }

  /** Nothing more is told. What is under way is waited for. Can be called twice. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#last;
  }

  #isDue({ id }: Due): boolean {
    return !this.#open.has(id) && !this.isRegistered(id);
  }

  #round(isMeant: (due: Due) => boolean): Promise<void> {
    this.#last = this.#last.then(async () => {
      const silent = new Set<string>();
      for (const due of [...this.#all.values()]) {
        if (this.#isStopped) return;
        if (!isMeant(due) || !this.#isDue(due)) continue;
        // In their order: no network goes before its endpoints.
        if (!due.calls.some(({ plugin }) => silent.has(plugin))) await this.#carryOut(due, silent);
        else for (const { plugin } of due.calls) silent.add(plugin);
      }
      this.#again();
    });
    return this.#last;
  }

  async #carryOut(due: Due, silent: Set<string>): Promise<void> {
    try {
      for (const [index, { plugin, method, body }] of due.calls.entries())
        try {
          await this.plugins.get(plugin).call(method, body, done, { again: [] });
        } catch (error) {
          const isHeard = heard.includes(errorCode(error) ?? "");
          const outcome = isHeard ? "a plugin did not take back what it was asked for" : "a plugin is told later";
          this.log.warn({ about: due.about, reason: describeError(error) }, outcome);
          if (isHeard) continue;
          for (const call of due.calls) silent.add(call.plugin);
          return this.#put({ ...due, calls: due.calls.slice(index) });
        }
      this.drop(due.id);
    } catch (error) {
      this.log.warn({ reason: describeError(error) }, "what is due to plugins could not be stored"); // it is told again
    }
  }

  #again(): void {
    clearTimeout(this.#timer);
    const isMore = this.count > 0;
    if (!isMore) this.#nextPause = this.pause.first;
    if (!isMore || this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#round(() => true), this.#nextPause).unref();
    this.#nextPause = Math.min(2 * this.#nextPause, this.pause.atMost);
  }

  #put(due: Due): void {
    this.store.write([{ kind: "due", key: due.id, value: due }]);
    this.#all.set(due.id, due);
  }
}
