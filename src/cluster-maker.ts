import { existsSync, readFileSync } from "node:fs";
import type { Logger } from "pino";
import { ClusterController, type ClusterSurroundings } from "./cluster/controller.js";
import type { Config } from "./config.js";
import type { ClusterMaker } from "./daemon.js";
import { uplinkAddress } from "./networks/host-facts.js";
import { describeError, PontoonError } from "../common/errors.js";
import { hasWireguard } from "../linux/netlink/rtnetlink/link-kinds.js";
import { tunFile } from "../linux/tun.js";
import { EtcdStore } from "./store/etcd/etcd-store.js";
import { parseStoreUrl } from "./store/etcd/store-url.js";

/**
 * What makes a host one of those that share etcd, as configured. Loaded only where that is wanted.
 * Throws STORE_URL_WRONG, ADVERTISE_NEEDED, CONFIG_UNREADABLE, CONFIG_INVALID, WIREGUARD_MISSING.
 */
export function clusterMaker({ store, etcd, advertise, wireguard }: Config, log: Logger): ClusterMaker {
  const endpoints = parseStoreUrl(store);
  const own = advertise ?? uplinkAddress();
  if (own === undefined)
    throw new PontoonError(
      "ADVERTISE_NEEDED",
      store,
      "it is not known where other hosts reach this one, since it has no default route; give its address with --advertise",
    );
  const { ca, cert, key, user, "password-file": passwordFile } = etcd;
  const password = passwordFile === undefined ? undefined : contentOf("etcd.password-file", passwordFile).trimEnd();
  for (const [name, file] of Object.entries({ ca, cert, key })) if (file !== undefined) pemOf(`etcd.${name}`, file);
  const shared = new EtcdStore({
    endpoints,
    ...(ca !== undefined && {
      tls: { ca, ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) },
    }),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    log,
  });
  requireProgram(wireguard);
  return (parts) =>
    new ClusterController({
      ...parts,
      shared,
      storeUrl: store,
      advertise: own,
      wireguard: wireguardHere(wireguard, log),
    });
}

/** @returns undefined where encrypted networks are refused */
function wireguardHere({ use, port }: Config["wireguard"], log: Logger): ClusterSurroundings["wireguard"] {
  if (use === "off") return undefined;
  if (use === "kernel") return kernelHasWireguard(log) ? { by: "kernel", port } : undefined;
  return { by: { program: use }, port };
}

/** Throws WIREGUARD_MISSING for a program that is not there, or could not do its work. */
function requireProgram({ use }: Config["wireguard"]): void {
  if (!use.startsWith("/")) return;
  const missing = [use, tunFile].find((file) => !existsSync(file));
  if (missing === undefined) return;
  throw new PontoonError(
    "WIREGUARD_MISSING",
    missing,
    `there is no ${missing}, which wireguard.use in the configuration needs; install the program and load the kernel's module tun, or ` +
      "leave the key out",
  );
}

function kernelHasWireguard(log: Logger): boolean {
  try {
    return hasWireguard();
  } catch (error) {
    log.warn(
      { reason: describeError(error) },
      "whether the kernel has WireGuard is not known: networks are not encrypted",
    );
    return false;
  }
}

/** What is no certificate or key would be found at the first question only, and asked with for ever. */
function pemOf(key: string, file: string): void {
  if (!contentOf(key, file).includes("-----BEGIN "))
    throw new PontoonError(
      "CONFIG_INVALID",
      file,
      `${key}: ${file} has no certificate or key in it (PEM); check the file`,
    );
}

function contentOf(key: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new PontoonError(
      "CONFIG_UNREADABLE",
      file,
      `${key}: ${file} cannot be read; check the path and who may read it`,
      { cause: error },
    );
  }
}
