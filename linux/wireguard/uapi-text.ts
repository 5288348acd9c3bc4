import type { SocketAddress } from "../../common/address.js";
import type { WireguardChanges, WireguardPeer, WireguardState } from "./device.js";

// The cross-platform userspace protocol of WireGuard (https://www.wireguard.com/xplatform/): lines of `key=value`, and an empty one
// at the end. Keys are hexadecimal there.

export const getRequest = "get=1\n\n";

/** What sets a link otherwise. */
export function setRequest({ privateKey, port, put, removed }: WireguardChanges): string {
  const lines = [
    "set=1",
    ...(privateKey === undefined ? [] : [`private_key=${hexOf(privateKey)}`]),
    ...(port === undefined ? [] : [`listen_port=${port}`]),
    ...removed.flatMap((key) => [`public_key=${hexOf(key)}`, "remove=true"]),
    ...put.flatMap(({ publicKey, endpoint, allowed }) => [
      `public_key=${hexOf(publicKey)}`,
      ...(endpoint ? [`endpoint=${endpointText(endpoint)}`] : []),
      "replace_allowed_ips=true",
      ...allowed.map((range) => `allowed_ip=${range}`),
    ]),
  ];
  return `${lines.join("\n")}\n\n`;
}

/** What an answer says. `errno` is 0, or that of what went wrong. */
export interface UapiAnswer {
  readonly errno: number;
  readonly state: WireguardState;
}

/** @returns undefined for what is no answer of this protocol */
export function readAnswer(text: string): UapiAnswer | undefined {
  const peers: { publicKey: string; endpoint: SocketAddress | undefined; allowed: string[] }[] = [];
  let [privateKey, port, errno]: [string | undefined, number, number | undefined] = [undefined, 0, undefined];
  for (const line of text.split("\n")) {
    const [key = "", value = ""] = splitOnce(line, "=");
    const peer = peers.at(-1);
    if (key === "private_key") privateKey = base64Of(value);
    else if (key === "listen_port") port = Number(value);
    else if (key === "errno") errno = Math.abs(Number(value));
    else if (key === "public_key") peers.push({ publicKey: base64Of(value), endpoint: undefined, allowed: [] });
    else if (key === "endpoint" && peer) peer.endpoint = endpointIn(value);
    else if (key === "allowed_ip" && peer) peer.allowed.push(value);
  }
  if (errno === undefined || !Number.isInteger(errno) || !Number.isInteger(port)) return undefined;
  return { errno, state: { privateKey, port, peers: peers satisfies WireguardPeer[] } };
}

function splitOnce(text: string, by: string): string[] {
  const at = text.indexOf(by);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

const hexOf = (base64: string): string => Buffer.from(base64, "base64").toString("hex");
const base64Of = (hex: string): string => Buffer.from(hex, "hex").toString("base64");

function endpointText({ ip, port }: SocketAddress): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function endpointIn(text: string): SocketAddress | undefined {
  const [, six, four, port] = /^(?:\[([0-9a-f:.%a-z]+)\]|([0-9.]+)):(\d{1,5})$/i.exec(text) ?? [];
  const ip = six ?? four;
  return ip === undefined ? undefined : { ip, port: Number(port) };
}
