import type { Logger } from "pino";
import { describeError } from "../../common/errors.js";
import { printable } from "../../common/printable.js";

/** A call takes some 300 ms of a quiet processor's. */
const timeout = 30_000; // ms
/** firewalld has its rules in place before it answers; ms until the same is asked again, after the 1st, 2nd, … failure in a row. */
const retryAfter = [1000, 4000, 15_000, 60_000, 300_000];

/** Asks firewalld. Rejects with what it says. @returns what it prints */
export type FirewallCmd = (...args: string[]) => Promise<string>;

const firewallCmd: FirewallCmd = async (...args) => {
  const { execa } = await import("execa"); // few hosts have firewalld
  const options = { timeout, maxBuffer: 1 << 20, stdin: "ignore", env: { LC_ALL: "C" } } as const;
  return (await execa("firewall-cmd", args, options)).stdout;
};

/**
 * Puts bridges of networks into a zone of firewalld's, as dockerd does with its own: firewalld refuses what comes to the host by
 * a link that is in no zone of its own. One that somebody has put into another zone stays there. Where firewalld keeps others
 * from changing its table, this is what lets networks lead out as well.
 */
export class FirewalldZones {
  #wanted: readonly string[] = [];
  #load: string | undefined;
  /** What was wanted, and of which load of firewalld's rules, when it was last brought about. */
  #done = "";
  /** The same, when it could not be: it waits for its time, however often it is wanted. */
  #failed = "";
  /** Those that we have put there. */
  readonly #ours = new Set<string>();
  #isBusy = false;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param zone undefined: everything is left to the host */
  constructor(
    private readonly zone: string | undefined,
    private readonly log: Logger,
    private readonly ask = firewallCmd,
  ) {}

  /** Why bridges are not in the zone, in words. */
  trouble: string | undefined;

  /**
   * These bridges are to be there, and no others of ours. Returns at once.
   * @param load tells one load of firewalld's rules from another; undefined where firewalld does not run
   */
  want(load: string | undefined, bridges: readonly string[]): void {
    this.#load = load;
    this.#wanted = [...bridges].sort();
    if (load === undefined || bridges.length === 0) this.trouble = undefined;
    if (this.#state !== this.#failed) this.#begin();
  }

  /** Can be called twice. */
  stop(): void {
    this.#load = undefined;
    clearTimeout(this.#timer);
  }

  #begin(): void {
    clearTimeout(this.#timer);
    if (!this.#isBusy) void this.#bringAbout();
  }

  async #bringAbout(): Promise<void> {
    this.#isBusy = true;
    try {
      while (this.zone !== undefined && this.#load !== undefined && this.#state !== this.#done) {
        const state = this.#state;
        await this.#change(this.zone, this.#wanted);
        this.#done = state;
        this.#failed = "";
        this.trouble = undefined;
        this.#failures = 0;
      }
    } catch (error) {
      if (this.#load !== undefined) this.#onFailed(error); // nobody waits for it any more otherwise
    }
    this.#isBusy = false;
  }

  get #state(): string {
    return `${this.#load} ${this.#wanted.join()}`;
  }

  async #change(zone: string, wanted: readonly string[]): Promise<void> {
    const zones = zonesOf(await this.ask("--get-active-zones"));
    const lacking = wanted.filter((bridge) => !zones.has(bridge));
    const left = [...zones].flatMap(([link, of]) =>
      of === zone && (this.#ours.has(link) || isOurName(link)) && !wanted.includes(link) ? [link] : [],
    );
    if (lacking.length > 0) await this.ask(`--zone=${zone}`, ...lacking.map((bridge) => `--add-interface=${bridge}`));
    if (left.length > 0) await this.ask(`--zone=${zone}`, ...left.map((bridge) => `--remove-interface=${bridge}`));
    for (const bridge of lacking) this.#ours.add(bridge);
    for (const bridge of left) this.#ours.delete(bridge);
    if (lacking.length > 0) this.log.info({ zone, bridges: lacking }, "bridges are in a zone of firewalld now");
  }

  #onFailed(error: unknown): void {
    const reason = printable(reasonOf(error));
    const trouble = `firewalld may refuse what passes from networks of pontoon's, since their bridges are in no zone: ${reason}`;
    const isNews = trouble !== this.trouble && this.#wanted.length > 0;
    if (isNews) this.log.warn({ reason }, "bridges could not be put into a zone of firewalld");
    if (isNews) this.trouble = trouble;
    this.#failed = this.#state;
    const wait = retryAfter[Math.min(this.#failures++, retryAfter.length - 1)]!;
    this.#timer = setTimeout(() => this.#begin(), wait).unref();
  }
}

/** `--get-active-zones`: a line for each zone, and lines with more space before them of what is in it. */
function zonesOf(text: string): Map<string, string> {
  const zones = new Map<string, string>();
  let zone = "";
  for (const line of text.split("\n")) {
    const [, name] = /^(\S+)/.exec(line) ?? [];
    if (name !== undefined) zone = name;
    const [, links = ""] = /^\s+interfaces: (.*)$/.exec(line) ?? [];
    for (const link of links.split(" ").filter(Boolean)) zones.set(link, zone);
  }
  return zones;
}

/** Of a bridge that nobody gave a name to: also one of a daemon before. */
function isOurName(link: string): boolean {
  return /^pt-[0-9a-f]{12}$/.test(link);
}

function reasonOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return describeError(error);
  if ("code" in error && error.code === "ENOENT") return "there is no firewall-cmd here";
  const said =
    "stderr" in error && typeof error.stderr === "string" ? error.stderr.trim().split("\n").at(-1) : undefined;
  return said || describeError(error);
}
