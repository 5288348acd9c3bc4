// Which networks of Docker's need pontoon. Uses nothing but Node itself.
import { readdirSync, readlinkSync } from "node:fs";
import { get } from "node:http";
import { commandLineOf } from "./host-places.mjs";
import { messageOf } from "./prepare.mjs";

/**
 * @typedef {{Id: string, Name: string, Driver: string, IPAM?: {Driver?: string}}} Listed a network, as the engine's API lists it
 */

/** As `docker network create --driver` and `--ipam-driver` name it. */
const driver = "pontoon";
/** How long dockerd may take to answer, ms. */
const answersWithin = 10_000;
/** Bytes of its answer that are read. */
const answerAtMost = 64 << 20;

/**
 * Why pontoon must not be removed from under Docker's networks, in one sentence.
 * @param {string | undefined} followed the address that a daemon follows, which counts before DOCKER_HOST
 * @returns {Promise<{refusal: string} | {note: string | undefined}>} a note is for the user: what could not be looked at
 */
export async function dockerNeedsNetworks(followed) {
  const pid = runningDockerd();
  if (pid === undefined)
    return {
      note: "no dockerd runs here, so its networks were not looked at; those with driver pontoon no longer work",
    };
  const path = socketOf([followed, process.env.DOCKER_HOST]);
  try {
    return refusalFor(ours(await networksAt(path)));
  } catch (error) {
    return {
      refusal:
        `dockerd (pid ${pid}) cannot be asked at ${path} whether networks of its need pontoon (${messageOf(error)}); ` +
        "say where it listens with DOCKER_HOST=unix://…, or stop it, and try again; nothing was removed",
    };
  }
}

/**
 * @param {readonly string[]} names
 * @returns {{refusal: string} | {note: undefined}}
 */
function refusalFor(names) {
  if (names.length === 0) return { note: undefined };
  const [networks, them] = names.length === 1 ? ["a network", "it"] : ["networks", "them"];
  return {
    refusal:
      `Docker has ${networks} with the driver or IPAM driver ${driver}: ${names.join(", ")}; remove the containers on ` +
      `${them}, then ${them} with \`docker network rm ${names.join(" ")}\`, and try again; nothing was removed`,
  };
}

/**
 * @param {readonly Listed[]} networks
 * @returns names that can be typed, else ids
 */
function ours(networks) {
  return networks
    .filter((network) => network.Driver === driver || network.IPAM?.Driver === driver)
    .map(({ Id: id, Name: name }) => (/^\w[\w.-]*$/.test(name) ? name : id.replace(/\W/g, "")));
}

/** Of this host: one in a container, or a rootless one, has no networks of pontoon's. */
function runningDockerd() {
  const isHere = (/** @type {string} */ pid) =>
    ["net", "pid"].every((kind) => namespaceOf(pid, kind) === namespaceOf("self", kind));
  return readdirSync("/proc").find(
    (pid) => /^\d+$/.test(pid) && commandLineOf(pid)?.split("\0")[0]?.split("/").at(-1) === "dockerd" && isHere(pid),
  );
}

/**
 * @param {string} pid
 * @param {string} kind
 */
function namespaceOf(pid, kind) {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined; // it has ended
  }
}

/**
 * The first address that is a socket's, as `--docker` takes it; a dockerd with another has the usual one in most cases.
 * @param {readonly (string | undefined)[]} addresses
 */
function socketOf(addresses) {
  for (const address of addresses) {
    const path = address?.replace(/^unix:\/\//, "");
    if (path?.startsWith("/") === true) return path;
  }
  return "/var/run/docker.sock";
}

/**
 * @param {string} socketPath
 * @returns {Promise<readonly Listed[]>}
 */
function networksAt(socketPath) {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(answersWithin);
    const request = get({ socketPath, host: "docker", path: "/networks", agent: false, signal }, (answer) => {
      if (answer.statusCode !== 200) return reject(new Error(`it answers with status ${answer.statusCode}`));
      let text = "";
      answer.setEncoding("utf8").on("error", reject);
      answer.on("data", (/** @type {string} */ chunk) => {
        text += chunk;
        if (text.length > answerAtMost) answer.destroy(new Error("its answer is too long"));
      });
      answer.on("end", () => {
        try {
          /** @type {readonly Listed[]} */
          const networks = JSON.parse(text);
          resolve(networks);
        } catch {
          reject(new Error("its answer is no list of networks"));
        }
      });
    });
    request.on("error", (error) =>
      reject(signal.aborted ? new Error(`no answer within ${answersWithin / 1000} s`) : error),
    );
  });
}
