import { execaSync } from "execa";
import { describeError, PontoonError } from "../../common/errors.js";
import type { Family } from "../../common/address.js";
import { hasLegacyFilter, legacyFilterState } from "../../linux/legacy-filter.js";
import { foreignRuleComment } from "./chains-for-users.js";
import type { ForeignPlaces } from "./foreign-accept.js";
import { readLegacyHook, type LegacyHook } from "./legacy-rules.js";
import { PASS_MARK } from "./wanted.js";

const programs = { ipv4: "iptables-legacy", ipv6: "ip6tables-legacy" } as const satisfies Record<Family, string>;
const families = ["ipv4", "ipv6"] as const;
/** Seconds until another program lets go of the tables. */
const waitForOthers = 2;
/** ms */
const patience = 5_000;
const mark = `0x${PASS_MARK.toString(16)}`;
const rule = [
  "-m",
  "mark",
  "--mark",
  `${mark}/${mark}`,
  "-m",
  "comment",
  "--comment",
  foreignRuleComment,
  "-j",
  "ACCEPT",
];

/** Where a rule of ours stands. */
interface Place {
  readonly text: string;
  readonly isNew: boolean;
}

/**
 * As `ForeignAccept`, in tables of iptables' legacy variant, which only its own program changes; where there are no such tables it is never
 * started. Needs capabilities that what is started can gain, too.
 */
export class LegacyAccept {
  /** The rules as they were when they were last looked at, and what was found then. */
  readonly #known = new Map<Family, { readonly state: string; readonly places: readonly Place[] }>();
  #hooks: readonly LegacyHook[] = ["FORWARD"];

  /** Sees to it that the rules are there. What cannot be done is part of the answer. @param withInput also for what comes in to the host */
  put({ withInput = false } = {}): ForeignPlaces {
    if (withInput !== this.#hooks.includes("INPUT")) this.#known.clear();
    this.#hooks = withInput ? ["FORWARD", "INPUT"] : ["FORWARD"];
    const places = { all: [] as string[], added: [] as string[], refused: new Map<string, string>() };
    for (const family of families) {
      if (!hasLegacyFilter(family)) continue;
      try {
        const found = this.#putIn(family);
        places.all.push(...found.map(({ text }) => text));
        places.added.push(...found.filter(({ isNew }) => isNew).map(({ text }) => text));
      } catch (error) {
        places.refused.set(`${programs[family]} filter ${this.#hooks.join(", ")}`, describeError(error));
      }
    }
    return places;
  }

  /** Whether somebody has changed the rules since they were looked at. */
  hasChanged(): boolean {
    return families.some((family) => {
      const state = legacyFilterState(family);
      return state !== undefined && state !== this.#known.get(family)?.state;
    });
  }

  /** Takes the rules away. Throws LEGACY_RULES. */
  remove(): void {
    this.#known.clear();
    for (const family of families) {
      if (!hasLegacyFilter(family)) continue;
      for (const chain of readLegacyHook(run(family, "-S"), "FORWARD", foreignRuleComment).ours)
        run(family, "-D", chain, ...rule);
    }
  }

  #putIn(family: Family): readonly Place[] {
    const state = legacyFilterState(family);
    const known = this.#known.get(family);
    if (known && known.state === state) return known.places.map((place) => ({ ...place, isNew: false }));
    const printed = run(family, "-S");
    const places = this.#hooks.flatMap((hook): Place[] => {
      const { refuses, place, ours } = readLegacyHook(printed, hook, foreignRuleComment);
      const isNew = refuses && !ours.includes(place);
      if (isNew) run(family, "-I", place, "1", ...rule);
      return refuses ? [{ text: `${programs[family]} filter ${place}`, isNew }] : [];
    });
    const now = places.some(({ isNew }) => isNew) ? legacyFilterState(family) : state;
    if (now !== undefined) this.#known.set(family, { state: now, places });
    return places;
  }
}

function run(family: Family, ...words: readonly string[]): string {
  const program = programs[family];
  const { exitCode, stdout, stderr, message } = execaSync(program, ["-w", String(waitForOthers), ...words], {
    reject: false,
    timeout: patience,
  });
  if (exitCode === 0) return stdout;
  const reason = (stderr || message || "").trim().split("\n")[0] ?? "";
  throw new PontoonError(
    "LEGACY_RULES",
    program,
    `${program} could not do it: ${reason}; restart the daemon, or add the rule by hand: ${program} -I FORWARD ${rule.join(" ")}`,
  );
}
