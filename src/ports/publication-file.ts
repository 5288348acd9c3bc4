import { lstatSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import { readRegularFileSync } from "../../common/files.js";
import { explain, portSchema, publishedPortOf } from "./port-schema.js";
import type { PublishedPort } from "./published-port.js";

const version = 1;
const fileAtMost = 16 * 1024 * 1024; // bytes, some 80,000 ports

const versionSchema = z.looseObject({ version: z.number().int().positive() });
const fileSchema = z.strictObject({ version: z.literal(version), ports: z.array(portSchema) });
const listSchema = z.looseObject({ ports: z.array(z.unknown()) });

/** Files put aside; the last is written over then. */
const damagedAtMost = 5;
/** Of what is dropped so much is told: entries, and letters of each. */
const droppedTold = 3;
const entryTold = 200;

/** A file that did not make sense, or not all of it. */
export interface DamagedFile {
  /** Where it is now, as it was. */
  readonly keptAs: string;
  /** What is wrong with it, on one line. */
  readonly reason: string;
  /** Ports that made sense, and are remembered on. */
  readonly kept: number;
  /** The first few entries that made none. */
  readonly dropped: readonly string[];
}

/** What a file said. */
export interface FileContent {
  readonly ports: readonly PublishedPort[];
  /** What is wrong with it, if anything is. */
  readonly damage: Pick<DamagedFile, "reason" | "dropped"> | undefined;
}

/** `publications.json` of the state directory, in which pontoon 0.1 remembered what it published. */
export class PublicationFile {
  readonly #path: string;
  #place: string;

  /** @param folder the state directory */
  constructor(folder: string) {
    this.#path = join(folder, "publications.json");
    this.#place = this.#path;
  }

  /** Of a damaged file what makes sense; undefined if there is none. Throws STORE_UNREADABLE. Changes nothing. */
  read(): FileContent | undefined {
    const text = this.#read();
    if (text === undefined) return undefined;
    const data = parseJson(text);
    const versioned = versionSchema.safeParse(data);
    if (versioned.success && versioned.data.version > version)
      throw this.#unreadable(
        `was written by a newer pontoon (version ${versioned.data.version} of the file, this one knows ${version}); ` +
          "install that one again, or move the file away and publish anew",
      );
    const file = fileSchema.safeParse(data);
    if (file.success) return { ports: file.data.ports, damage: undefined };
    return salvage(text, data, data === undefined ? "not JSON" : explain(file.error, "the file"));
  }

  /** Takes it out of the way, when what it said is safe elsewhere. Throws what rename(2) says. */
  putAway({ damage }: FileContent): void {
    const place = damage ? this.#freeName() : `${this.#path}.migrated`;
    renameSync(this.#path, place);
    this.#place = place;
    rmSync(`${this.#path}.tmp`, { force: true }); // of a save that was cut off
  }

  /** Where it is looked for. */
  get path(): string {
    return this.#path;
  }

  /** Where it is, also when it was put away. */
  get place(): string {
    return this.#place;
  }

  #read(): string | undefined {
    try {
      const { text, isWhole } = readRegularFileSync(this.#path, fileAtMost, { followLink: false });
      if (isWhole) return text;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return undefined;
      if (errorCode(error) === "FILE_UNFIT") throw this.#unreadable("is not a regular file; move it away", error);
      throw this.#unreadable(
        `cannot be read (${errorCode(error) ?? describeError(error)}); check it and its folder, or give another --state-dir`,
        error,
      );
    }
    throw this.#unreadable(`has more than ${fileAtMost} bytes; move it away`);
  }

  #freeName(): string {
    const base = `${this.#path}.damaged`;
    let name = base;
    for (let number = 2; number <= damagedAtMost && lstatSync(name, { throwIfNoEntry: false }); number++)
      name = `${base}.${number}`;
    return name;
  }

  #unreadable(what: string, cause?: unknown): PontoonError {
    return new PontoonError("STORE_UNREADABLE", this.#path, `${this.#path} ${what}`, { cause });
  }
}

/** What of a damaged file makes sense. */
function salvage(text: string, data: unknown, reason: string): FileContent {
  const entries = data === undefined ? linesOf(text) : (listSchema.safeParse(data).data?.ports ?? []);
  const read = entries.map((entry) => ({ entry, port: publishedPortOf(entry) }));
  const dropped = read
    .flatMap(({ entry, port }) => (port ? [] : [JSON.stringify(entry).slice(0, entryTold)]))
    .slice(0, droppedTold);
  return { ports: read.flatMap(({ port }) => port ?? []), damage: { reason, dropped } };
}

/** Undefined for what is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Entries of a file that is no JSON, cut off or overwritten in part: each stands on a line of its own. */
function linesOf(text: string): unknown[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("{") && /\},?$/.test(line))
    .map((line) => parseJson(line.endsWith(",") ? line.slice(0, -1) : line))
    .filter((entry) => entry !== undefined);
}
