/** A takeover takes 5 to 20 ms of a quiet machine; one that is not answered for so long, ms, may have been forgotten on the way. */
const firstAfter = 15_000;
/** There is no end to it where somebody inside keeps our heartbeats from coming back: it is tried less and less often, ms. */
const againAtMost = 300_000;

/** Which sandboxes go unanswered, so that nothing that was lost on the way stays so for ever. */
export class Unanswered {
  readonly #since = new Map<string, { at: number; wait: number }>();

  /**
   * @param unanswered those that are to be answered, and are not, without a reason that is known
   * @param now ms
   * @returns those for which it is time to begin anew
   */
  overdue(unanswered: ReadonlySet<string>, now: number): string[] {
    for (const sandbox of this.#since.keys()) if (!unanswered.has(sandbox)) this.#since.delete(sandbox);
    return [...unanswered].filter((sandbox) => {
      const known = this.#since.get(sandbox);
      if (!known) this.#since.set(sandbox, { at: now, wait: firstAfter });
      else if (now - known.at >= known.wait)
        this.#since.set(sandbox, { at: now, wait: Math.min(againAtMost, known.wait * 2) });
      return known !== undefined && now - known.at >= known.wait;
    });
  }
}
