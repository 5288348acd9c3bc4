interface Named {
  readonly id: string;
  readonly name: string;
}

/** Letters of an id that stand for the whole, at least. */
const idAtLeast = 4;

/** Records of one kind, found by their id and by their name, in the order in which they came. */
export class RecordsByName<Record extends Named> {
  readonly #byId = new Map<string, Record>();
  readonly #byName = new Map<string, Record>();

  get all(): ReadonlyMap<string, Record> {
    return this.#byId;
  }

  put(record: Record): void {
    this.delete(record.id, { keepsPlace: true });
    this.#byId.set(record.id, record);
    this.#byName.set(record.name, record);
  }

  delete(id: string, { keepsPlace = false } = {}): void {
    const known = this.#byId.get(id);
    if (known && this.#byName.get(known.name) === known) this.#byName.delete(known.name);
    if (!keepsPlace) this.#byId.delete(id);
  }

  named(name: string): Record | undefined {
    return this.#byName.get(name);
  }

  /** By name, id, or the beginning of an id that is no other's. */
  find(nameOrId: string): Record | undefined {
    const known = this.#byName.get(nameOrId) ?? this.#byId.get(nameOrId);
    if (known || nameOrId.length < idAtLeast) return known;
    const found = [...this.#byId.values()].filter(({ id }) => id.startsWith(nameOrId));
    return found.length === 1 ? found[0] : undefined;
  }
}
