import { describeError } from "../../../common/errors.js";
import type { Gateway } from "./gateway.js";
import type { Member } from "./member.js";
import { endpointName } from "./store-url.js";
import { fieldsOf, headerOf, listOf, textOf, type Fields } from "./wire.js";

/** How a member does. */
export interface MemberHealth {
  /** etcd's name of it; that of its endpoint while nobody tells. */
  readonly name: string;
  /** HOST:PORT */
  readonly endpoint: string;
  /** It answers, knows a leader, and belongs to the cluster. */
  readonly healthy: boolean;
  readonly isLeader: boolean;
  /** What is wrong with it. */
  readonly error?: string;
}

/** How the store does. */
export interface StoreHealth {
  /** Those that are asked, in the order in which they were given. */
  readonly members: readonly MemberHealth[];
  /** The leader's name. */
  readonly leader?: string;
  /** Empty while it is not known. */
  readonly clusterId: string;
  /** The newest that is known of. */
  readonly revision: number;
}

/** ms for a member to answer. */
const askTime = 1_500;

interface Told {
  readonly member: Member;
  readonly status: Fields | undefined;
  readonly error: string | undefined;
}

/**
 * Asks each member by itself. Never rejects.
 * @param clusterId the one that the members should belong to, if that is known
 */
export async function askHealth(gateway: Gateway, clusterId: string | undefined): Promise<StoreHealth> {
  const [told, names] = await Promise.all([
    Promise.all(gateway.members.map((member) => askStatus(gateway, member))),
    Promise.all(gateway.members.map((member) => askNames(gateway, member))),
  ]);
  const nameOf = new Map(names.flatMap((some) => [...some]));
  const headers = told.flatMap(({ status }) => (status ? [headerOf(status)] : []));
  const expected = clusterId ?? headers[0]?.clusterId ?? "";
  const leaderIds = new Set(told.map(({ status }) => textOf(status?.["leader"])).filter(isMember));
  const leader = [...leaderIds].map((id) => nameOf.get(id)).find((name) => name !== undefined);
  return {
    members: told.map((one) => healthOf(one, expected, nameOf)),
    ...(leader === undefined ? {} : { leader }),
    clusterId: expected,
    revision: Math.max(0, ...headers.filter((header) => header.clusterId === expected).map(({ revision }) => revision)),
  };
}

function healthOf(
  { member, status, error }: Told,
  clusterId: string,
  nameOf: ReadonlyMap<string, string>,
): MemberHealth {
  const id = status ? textOf(fieldsOf(status["header"])["member_id"]) : "";
  const leader = textOf(status?.["leader"]);
  const fault = error ?? (status && faultOf(status, leader, clusterId));
  return {
    name: nameOf.get(id) ?? member.name,
    endpoint: endpointName(member.endpoint),
    healthy: fault === undefined,
    isLeader: id !== "" && id === leader,
    ...(fault === undefined ? {} : { error: fault }),
  };
}

function faultOf(status: Fields, leader: string, expected: string): string | undefined {
  const { clusterId } = headerOf(status);
  if (clusterId !== expected) return `it belongs to cluster ${clusterId}, not to ${expected}`;
  if (!isMember(leader)) return "it knows no leader: too few members are in touch";
  const errors = listOf(status["errors"]).map(textOf);
  return errors.length > 0 ? errors.join(", ") : undefined;
}

function isMember(id: string): boolean {
  return id !== "" && id !== "0";
}

async function askStatus(gateway: Gateway, member: Member): Promise<Told> {
  try {
    const status = await gateway.askMember(member, "/v3/maintenance/status", {}, askTime);
    headerOf(status);
    return { member, status, error: undefined };
  } catch (error) {
    return { member, status: undefined, error: describeError(error) };
  }
}

async function askNames(gateway: Gateway, member: Member): Promise<readonly (readonly [string, string])[]> {
  try {
    const answer = await gateway.askMember(member, "/v3/cluster/member/list", {}, askTime);
    return listOf(answer["members"])
      .map(fieldsOf)
      .map((one) => [textOf(one["ID"]), textOf(one["name"])] as const);
  } catch {
    return []; // its status tells what is wrong with it
  }
}
