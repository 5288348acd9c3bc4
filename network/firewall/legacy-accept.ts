import { execaSync } from "execa";
import { describeError, PontoonError } from "../../common/errors.js";
import type { Family } from "../../common/address.js";
import { hasLegacyFilter, legacyFilterState } from "../../linux/legacy-filter.js";
import { foreignRuleComment } from "./chains-for-users.js";
import type { ForeignPlaces } from "./foreign-accept.js";
import { readLegacyForward } from "./legacy-rules.js";
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

/**
 * As `ForeignAccept`, in tables of iptables' legacy variant, which only its own program changes; where there are no such tables it is never
 * started. Needs capabilities that what is started can gain, too.
 */
export class LegacyAccept {
  /** The rules as they were when they were last looked at, and what was found then. */
  readonly #known = new Map<Family, { readonly state: string; readonly place: string | undefined }>();

  /** Sees to it that the rules are there. What cannot be done is part of the answer. */
  put(): ForeignPlaces {
    const places = { all: [] as string[], added: [] as string[], refused: new Map<string, string>() };
    for (const family of families) {
      if (!hasLegacyFilter(family)) continue;
      try {
        const { place, isNew } = this.#putIn(family);
        if (place !== undefined) places.all.push(place);
        if (place !== undefined && isNew) places.added.push(place);
      } catch (error) {
        places.refused.set(`${programs[family]} filter FORWARD`, describeError(error));
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
      for (const chain of readLegacyForward(run(family, "-S"), foreignRuleComment).ours)
        run(family, "-D", chain, ...rule);
    }
  }

  #putIn(family: Family): { place: string | undefined; isNew: boolean } {
    const state = legacyFilterState(family);
    const known = this.#known.get(family);
    if (known && known.state === state) return { place: known.place, isNew: false };
    const { refuses, place, ours } = readLegacyForward(run(family, "-S"), foreignRuleComment);
    const isNew = refuses && !ours.includes(place);
    if (isNew) run(family, "-I", place, "1", ...rule);
    const text = refuses ? `${programs[family]} filter ${place}` : undefined;
    const now = isNew ? legacyFilterState(family) : state;
    if (now !== undefined) this.#known.set(family, { state: now, place: text });
    return { place: text, isNew };
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
