// Runs in the network namespace of a container: starts others at once, and asks 127.0.0.11 for all their names.
import { Engine } from "../../integration/lab/engine.js";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { askUntil } from "../dns/asking.js";

export interface TogetherRequest {
  readonly network: string;
  readonly containers: number;
}

/** Milliseconds since the first of the requests to start one was sent. */
export interface TogetherReply {
  readonly running: number;
  readonly resolvable: number;
}

const withinMs = 30_000;
const engine = new Engine("/run/docker.sock");

answerRequests(async ({ network, containers }: TogetherRequest): Promise<TogetherReply> => {
  const names = Array.from({ length: containers }, (_, index) => `c${index}`);
  for (const name of names) await create(name, network);
  const begun = performance.now();
  await all(names, (name) => engine.post(`/containers/${name}/start`));
  const running = performance.now() - begun;
  const answers = await all(names, (name) => askUntil(name, ({ addresses }) => addresses.length > 0, withinMs));
  const resolvable = Math.max(...answers.map(({ at }) => at)) - begun;
  for (const [index, name] of names.entries()) await check(name, network, answers[index]!.response.addresses);
  await all(names, (name) => engine.delete(`/containers/${name}?force=true`));
  return { running, resolvable };
});

function all<Result>(names: readonly string[], act: (name: string) => Promise<Result>): Promise<Result[]> {
  return Promise.all(names.map(act));
}

async function create(name: string, network: string): Promise<void> {
  await engine.post(`/containers/create?name=${name}`, {
    Image: "busybox",
    Cmd: ["sleep", "1000000"],
    HostConfig: { NetworkMode: network },
  });
}

/** An answer counts only if it is the right one. */
async function check(name: string, network: string, addresses: readonly string[]): Promise<void> {
  const { State, NetworkSettings } = (await engine.get(`/containers/${name}/json`)) as {
    State: { Running: boolean };
    NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
  };
  const address = NetworkSettings.Networks[network]?.IPAddress;
  if (!State.Running || addresses[0] !== address)
    throw new Error(
      `${name} ${State.Running ? "runs" : "does not run"} and has ${address}; the answer was ${addresses[0]}`,
    );
}
