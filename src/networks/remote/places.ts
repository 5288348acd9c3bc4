import { statSync } from "node:fs";
import { z } from "zod";
import { describeError, errorCode, PontoonError } from "../../../common/errors.js";
import { readRegularFileSync } from "../../../common/files.js";

/** Where a plugin answers. */
export type PluginAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Where plugins are looked for, first sockets, then files that say where one is (pkg/plugins/discovery of moby). */
export interface PluginPlaces {
  readonly sockets: string;
  readonly specs: readonly string[];
}

export const dockersPlaces: PluginPlaces = {
  sockets: "/run/docker/plugins",
  specs: ["/etc/docker/plugins", "/usr/lib/docker/plugins"],
};

/** Bytes of a file that says where a plugin is, at most. */
const specAtMost = 65_536;

/** Fit for the name of a file; names of Docker's managed plugins, `registry/name:tag`, are not. */
export function isPluginName(name: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(name);
}

/** In words, for whoever looks for one in vain. */
export function placesInWords({ sockets, specs }: PluginPlaces): string {
  return [sockets, ...specs].join(", ");
}

/**
 * Where a plugin of that name answers, as Docker finds one that it does not manage itself.
 * @returns undefined where there is none. Throws PLUGIN_UNFIT for a file that says nothing of use.
 */
export function findPlugin(name: string, places: PluginPlaces = dockersPlaces): PluginAddress | undefined {
  if (!isPluginName(name)) return undefined;
  const sockets = [`${places.sockets}/${name}.sock`, `${places.sockets}/${name}/${name}.sock`];
  const path = sockets.find(isSocket);
  if (path !== undefined) return { kind: "unix", path };
  for (const folder of places.specs)
    for (const file of [`${folder}/${name}`, `${folder}/${name}/${name}`]) {
      const spec = textOf(name, `${file}.spec`);
      if (spec !== undefined) return addressOf(name, `${file}.spec`, spec.trim());
      const json = textOf(name, `${file}.json`);
      if (json !== undefined) return addressInJson(name, `${file}.json`, json);
    }
  return undefined;
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return false;
  }
}

function textOf(name: string, file: string): string | undefined {
  try {
    const { text, isWhole } = readRegularFileSync(file, specAtMost, { followLink: true });
    if (!isWhole) throw unfit(name, file, `it has more than ${specAtMost} bytes`);
    return text;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? "")) return undefined;
    throw error instanceof PontoonError && error.code === "PLUGIN_UNFIT"
      ? error
      : unfit(name, file, describeError(error));
  }
}

/** `NAME.json`. TLSConfig is null or empty where there is none. */
const jsonSpec = z.object({
  Name: z.string().max(255).nullish(),
  Addr: z.string().min(1).max(4096),
  TLSConfig: z.record(z.string(), z.unknown()).nullish(),
});

function addressInJson(name: string, file: string, text: string): PluginAddress {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unfit(name, file, "it is not JSON", error);
  }
  const read = jsonSpec.safeParse(value);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw unfit(name, file, `${issue?.path.map(String).join(".") || "it"}: ${issue?.message ?? "makes no sense"}`);
  }
  const { Addr, TLSConfig } = read.data;
  if (TLSConfig && Object.values(TLSConfig).some((set) => set !== "" && set !== false && set !== null))
    throw unfit(
      name,
      file,
      "it asks for TLS, which pontoon does not speak with plugins; let it listen on a unix socket",
    );
  return addressOf(name, file, Addr);
}

function addressOf(name: string, file: string, text: string): PluginAddress {
  const path = /^unix:\/\/(\/[^\0\n]{1,107})$/.exec(text)?.[1]; // as many as `sockaddr_un` takes
  if (path !== undefined) return { kind: "unix", path };
  const [, bracketed, plain, digits] =
    /^(?:tcp|http):\/\/(?:\[([0-9a-fA-F:.]+)\]|([\w.-]{1,253})):(\d{1,5})\/?$/.exec(text) ?? [];
  const [host, port] = [bracketed ?? plain, Number(digits)];
  if (host !== undefined && port >= 1 && port <= 65_535) return { kind: "tcp", host, port };
  throw unfit(name, file, "it names no address such as unix:///run/NAME.sock or tcp://127.0.0.1:8080");
}

function unfit(name: string, file: string, what: string, cause?: unknown): PontoonError {
  return new PontoonError("PLUGIN_UNFIT", name, `the plugin ${name} cannot be reached as ${file} says: ${what}`, {
    ...(cause !== undefined && { cause }),
  });
}
