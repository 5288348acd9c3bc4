import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import type { Change, Store } from "../store/store.js";
import { idOf } from "./entry.js";
import { explain, portSchema } from "./port-schema.js";
import { PublicationFile, type DamagedFile, type FileContent } from "./publication-file.js";
import type { PublishedPort } from "./published-port.js";

const kind = "publication";

/** What {@link PublicationStore.load} tells beside. */
export interface PublicationStoreEvents {
  /** The file of an older pontoon made no sense, or not all of it. */
  readonly onDamage: (file: DamagedFile) => void;
  /** It could not be taken over yet; what it says counts all the same. */
  readonly onUnwritable: (error: unknown) => void;
}

/** Remembers what pontoon publishes: a record for each port. What an older pontoon left in a file is taken over. */
export class PublicationStore {
  readonly #file: PublicationFile;
  /** What was read of a file that is still in its place. */
  #toMigrate: FileContent | undefined;
  /** What the store has, as text, by id. */
  readonly #stored = new Map<string, string>();
  #hasLost = false;

  /** @param stateDir where the file of an older pontoon may be */
  constructor(
    private readonly store: Store,
    stateDir: string,
    private readonly tell: PublicationStoreEvents,
  ) {
    this.#file = new PublicationFile(stateDir);
  }

  /** Whether more may have been saved than {@link load} found: nothing was there, or some of it made no sense. */
  get hasLost(): boolean {
    return this.#hasLost;
  }

  /** What was saved last, as far as it makes sense. Throws STORE_UNREADABLE. */
  load(): readonly PublishedPort[] {
    const ports = this.#readRecords();
    this.#toMigrate = this.#file.read();
    if (!this.#toMigrate) return ports;
    const { ports: left, damage } = this.#toMigrate;
    this.#hasLost = damage !== undefined;
    const keptAs = this.#migrate(left);
    if (damage) this.tell.onDamage({ keptAs, ...damage, kept: left.length });
    return left;
  }

  /** Replaces what was saved before, all or none of it. Throws STATE_DIR_UNFIT and STORE_UNWRITABLE. */
  save(ports: readonly PublishedPort[]): void {
    const wanted = new Map(ports.map((port) => [idOf(port), port]));
    const changes: Change[] = [...this.#stored.keys()]
      .filter((key) => !wanted.has(key))
      .map((key) => ({ kind, key, value: undefined }));
    for (const [key, value] of wanted)
      if (this.#stored.get(key) !== JSON.stringify(value)) changes.push({ kind, key, value });
    this.store.write(changes);
    for (const { key, value } of changes)
      if (value === undefined) this.#stored.delete(key);
      else this.#stored.set(key, JSON.stringify(value));
    this.#putFileAway();
  }

  #readRecords(): PublishedPort[] {
    const ports: PublishedPort[] = [];
    const records = this.store.all(kind);
    for (const [key, value] of records) {
      const read = portSchema.safeParse(value);
      const fault = read.success
        ? idOf(read.data) === key
          ? undefined
          : "is of another port"
        : explain(read.error, "it");
      if (fault !== undefined) this.store.putAside(kind, key, fault);
      if (fault !== undefined || !read.success) continue;
      ports.push(read.data);
      this.#stored.set(key, JSON.stringify(read.data));
    }
    this.#hasLost = this.store.hasLost;
    return ports;
  }

  /**
   * A file that is there was written later than the store: by an older pontoon that was installed again meanwhile.
   * @returns where it is now
   */
  #migrate(ports: readonly PublishedPort[]): string {
    try {
      this.save(ports);
    } catch (error) {
      this.tell.onUnwritable(error); // the next save tries again
    }
    return this.#file.place;
  }

  /** One that stayed would be taken over again at the next start, with what has changed since undone. */
  #putFileAway(): void {
    if (!this.#toMigrate) return;
    const { path } = this.#file;
    try {
      this.#file.putAway(this.#toMigrate);
      this.#toMigrate = undefined;
    } catch (error) {
      const why = errorCode(error) ?? describeError(error);
      throw new PontoonError("STORE_UNWRITABLE", path, `${path} cannot be moved away (${why}); move it away`, {
        cause: error,
      });
    }
  }
}
