import { PontoonError } from "../../../common/errors.js";
import type { Header } from "./wire.js";

/** What was known when something was asked. */
export interface Mark {
  readonly life: number;
  readonly revision: number;
}

/**
 * Whether the store is still the one that it was: a cluster made anew has another id, and one restored from a backup with
 * the same members and token has the same id, but an earlier revision.
 */
export class Lineage {
  #life = 0;
  #clusterId: string | undefined;
  #revision = 0;

  /** @param onReplaced told each time that it is another one, which counts from then on */
  constructor(private readonly onReplaced: (error: PontoonError) => void) {}

  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  /** The newest revision that is known of. */
  get revision(): number {
    return this.#revision;
  }

  /** To be taken before something is asked, and given to {@link note}. */
  mark(): Mark {
    return { life: this.#life, revision: this.#revision };
  }

  /**
   * Notes what an answer says.
   * @param isAgreed all members agree on its revision; one member's own may lag behind
   */
  note({ clusterId, revision }: Header, isAgreed: boolean, mark: Mark): void {
    if (mark.life !== this.#life) return; // asked of another one: no later answer needs to fit to it
    if (this.#clusterId !== undefined && clusterId !== this.#clusterId)
      return this.#replace(clusterId, revision, `its cluster was ${this.#clusterId} and is ${clusterId} now`);
    this.#clusterId = clusterId;
    if (!isAgreed) return;
    if (revision < mark.revision)
      return this.#replace(clusterId, revision, `it was at revision ${mark.revision} and is at ${revision} now`);
    this.#revision = Math.max(this.#revision, revision);
  }

  #replace(clusterId: string, revision: number, why: string): void {
    this.#life += 1;
    this.#clusterId = clusterId;
    this.#revision = revision;
    this.onReplaced(replaced(clusterId, why));
  }
}

/** STORE_REPLACED. */
export function replaced(clusterId: string, why: string): PontoonError {
  const message = `the store is not the one that it was: ${why}; it was restored from a backup, or made anew, or the members belong to two clusters`;
  return new PontoonError("STORE_REPLACED", clusterId, message);
}
