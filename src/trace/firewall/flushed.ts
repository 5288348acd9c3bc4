import { chainsAt } from "../rules/hook.js";
import type { World } from "../facts/world.js";
import { dockerBridges } from "../way/journey.js";

/** What to say where a network of Docker's has lost its rules. */
export const rulesGone = {
  why: "Docker's rules are gone (the firewall was flushed)",
  remedy: "systemctl restart docker",
} as const;

/** Whether Docker has networks here, and nothing that is forwarded meets a chain of its. */
export function dockersRulesAreGone(world: World): boolean {
  if (dockerBridges(world).length === 0) return false;
  const { book } = world.host;
  return !chainsAt(book.chains, "forward", ["ip", "inet", "ip6"]).some((chain) =>
    book
      .rules(chain)
      .some(({ expressions }) =>
        expressions.some(
          (one) =>
            one.kind === "immediate" && one.data && "verdict" in one.data && /^DOCKER/.test(one.data.chain ?? ""),
        ),
      ),
  );
}
