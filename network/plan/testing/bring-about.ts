import type { Wanted } from "../../wanted.js";
import { leftovers } from "../leftovers.js";
import { planEndpoints, planGround, type Scope } from "../plan.js";
import type { ObjectSteps, Step } from "../steps.js";
import type { Model } from "./model.js";

export const nothing: Scope["removed"] = { networks: [], sandboxes: [], endpoints: [], handovers: [] };

/** Carries out, in the model, what repairing or (with `removed`) a change takes. @returns the steps in words */
export function bringAbout(wanted: Wanted, model: Model, removed: Scope["removed"] = nothing): string[] {
  const scope: Scope = {
    networks: [...wanted.networks.values()],
    sandboxes: [...wanted.sandboxes.values()],
    endpoints: [...wanted.endpoints.values()],
    handovers: [...wanted.handovers.values()],
    removed,
  };
  const all = [...scope.sandboxes, ...removed.sandboxes, ...removed.endpoints.map(([, of]) => of)];
  const strays = removed !== nothing ? [] : leftovers(model.seen(all).host, wanted, false);
  carryOut(model, strays);
  const ground = planGround(scope, wanted, model.seen(all));
  carryOut(model, ground);
  const endpoints = planEndpoints(scope, wanted, model.seen(all));
  carryOut(model, endpoints);
  return [...strays, ...ground, ...endpoints].flatMap(({ object, steps }) =>
    steps.map((step) => `${object.id}: ${inWords(step)}`),
  );
}

function carryOut(model: Model, all: readonly ObjectSteps[]): void {
  for (const { steps } of all) for (const step of steps) model.apply(step);
}

/** A step, with what it adds and removes where that can be little or much. */
export function inWords(step: Step): string {
  if (step.kind === "add-bridge-address" || step.kind === "delete-bridge-address")
    return `${step.kind} ${step.address.ip}/${step.address.prefix}`;
  if (step.kind === "delete-link") return `${step.kind} ${step.link}`;
  if (step.kind === "add-host-route" || step.kind === "delete-host-route") return `${step.kind} ${step.ip}`;
  if (step.kind === "remove-namespace") return `${step.kind} ${step.path}`;
  if (step.kind === "add-proxy" || step.kind === "delete-proxy") return `${step.kind} ${step.ip}`;
  if (step.kind === "limit-rate") return `${step.kind} ${step.link} ${step.bucket.rate}`;
  if (step.kind !== "set-inside") return step.kind;
  const parts = (sign: string, { addresses, routes, rules }: typeof step.add) => [
    ...addresses.map(({ ip, prefix }) => `${sign}${ip}/${prefix}`),
    ...routes.map(({ gateway, table }) => `${sign}via ${gateway}${table === 254 ? "" : ` in ${table}`}`),
    ...rules.map(({ source = "all", table }) => `${sign}from ${source} to ${table}`),
  ];
  return [step.kind, ...parts("-", step.remove), ...parts("+", step.add)].join(" ");
}
