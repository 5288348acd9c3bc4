import { errorCode } from "./errors.js";

/**
 * Puts nothing in the place of modules that a library requires and we never use: they would cost memory and time to load.
 * Whoever else requires them gets nothing, too. A module that is not there is passed over.
 * @param require of the library
 */
export function leaveOut(require: NodeJS.Require, names: readonly string[]): void {
  for (const name of names) {
    const filename = placeOf(require, name);
    if (filename === undefined) continue;
    const empty: Partial<NodeJS.Module> = {
      id: filename,
      filename,
      loaded: true,
      exports: {},
      children: [],
      paths: [],
    };
    require.cache[filename] ??= empty as NodeJS.Module;
  }
}

/** The file that is loaded for a name; undefined when there is none. */
export function placeOf(require: NodeJS.Require, name: string): string | undefined {
  try {
    return require.resolve(name);
  } catch (error) {
    if (errorCode(error) === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}
