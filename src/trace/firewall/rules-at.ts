import { bracketed } from "../../../common/address.js";
import { ruleText } from "../../../linux/netlink/nftables/rule-text.js";
import type { Hook } from "../../../linux/netlink/nftables/numbers.js";
import type { Place } from "../facts/world.js";
import type { Effect } from "../rules/effects.js";
import { isRefusal, passHook, type RulePlace, type Ruling } from "../rules/hook.js";
import type { Packet } from "../rules/packet.js";
import { whoseRule } from "./whose.js";
import { dockerBridges, surroundingsOf, type Journey } from "../way/journey.js";
import { refusalOf } from "./refusals.js";

/** Has all chains of a hook see the packet, and tells what each of them decides. Stops where one refuses. */
export function askRules(
  journey: Journey,
  place: Place,
  hook: Hook,
  packet: Packet,
  layer: "ip" | "bridge" = "ip",
): Packet {
  const {
    rulings,
    packet: after,
    isRefused,
  } = passHook(place.book, hook, packet, surroundingsOf(place, packet.family), layer);
  for (const [index, ruling] of rulings.entries()) {
    tellDoubts(journey, place, ruling);
    const isLast = index === rulings.length - 1;
    const whose = ownerOf(journey, place, ruling.by);
    const text = rulingText(ruling, after);
    if (!isRefused || !isLast) {
      journey.trail.passes("rules", place.name, text, whose);
      continue;
    }
    const { why, remedy } = refusalOf(journey, place, hook, packet, ruling, whose);
    journey.trail.stops("rules", place.name, why === "" ? text : `${why}: ${text}`, {
      ...(whose !== undefined && { whose }),
      remedy,
    });
  }
  return after;
}

function tellDoubts(journey: Journey, place: Place, { doubts }: Ruling): void {
  for (const { doubt, effect, ...by } of doubts) {
    if (!isRefusal(effect)) continue;
    const whose = ownerOf(journey, place, by);
    journey.trail.warns(
      "rules",
      place.name,
      `${chainText(by)}: may refuse it, which cannot be judged here (${doubt}): ${textOf(by)}`,
      { ...(whose !== undefined && { whose }), remedy: "give --probe, which tries it" },
    );
  }
}

function ownerOf({ world }: Journey, place: Place, by: RulePlace): string | undefined {
  return whoseRule(by, place === world.host ? dockerBridges(world) : [], place.book.chains);
}

function rulingText({ base, effect, by }: Ruling, after: Packet): string {
  const what = effectWords(effect, after);
  if (!by.rule) return `${chainText({ chain: base, rule: undefined })}: ${what} by its policy`;
  const through = by.chain.chain === base.chain ? "" : ` in ${by.chain.chain}`;
  return `${chainText({ chain: base, rule: undefined })}: ${what}${through}: ${textOf(by)}`;
}

function effectWords(effect: Effect, { from, to, toPort }: Packet): string {
  switch (effect.kind) {
    case "verdict":
      return (
        { accept: "accepts", drop: "drops", reject: "rejects", queue: "hands it to a program" }[
          effect.verdict as string
        ] ?? effect.verdict
      );
    case "destination":
    case "redirect":
      return `leads it to ${bracketed(to)}${toPort === undefined ? "" : `:${toPort}`}`;
    case "source":
    case "masquerade":
      return `has it come from ${from}`;
    default:
      return "lets it pass";
  }
}

/** As nft calls it: `ip filter FORWARD`. */
export function chainText({ chain }: RulePlace): string {
  return `${chain.family} ${chain.table} ${chain.chain}`;
}

/** The rule in its owner's words, or nearly in nft's. */
export function textOf({ rule }: RulePlace): string {
  if (rule === undefined) return "its policy";
  if (rule.text !== undefined) return rule.text;
  const words = ruleText(rule.expressions).split(" ");
  return words.filter((word) => word !== "counter").join(" ");
}
