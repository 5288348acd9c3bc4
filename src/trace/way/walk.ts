import type { Request, World } from "../facts/world.js";
import { Stopped, Trail, type Trace } from "../steps.js";
import { begin } from "./begin.js";
import { cross } from "./cross.js";
import { deliver } from "./deliver.js";
import type { Journey, Stage } from "./journey.js";
import { receive } from "./receive.js";
import { send } from "./send.js";

/** Longer ways go round in circles. */
const stagesAtMost = 40;

/** Follows the first packet of a connection from its sender as far as it comes. */
export function walk(world: World, request: Request): Trace {
  const trail = new Trail();
  const journey: Journey = {
    world,
    trail,
    transport: request.transport,
    words: request.words,
    sentTo: undefined,
    passed: [],
    entered: undefined,
  };
  const end = (() => {
    try {
      return follow(journey, request);
    } catch (error) {
      if (error instanceof Stopped) return error.end;
      throw error;
    }
  })();
  const { sentTo } = journey;
  return { ...request.words, ...(sentTo !== undefined && { sentTo }), steps: trail.steps, end };
}

function follow(journey: Journey, request: Request) {
  let stage: Stage = begin(journey, request);
  for (let stages = 0; stages < stagesAtMost; stages++) {
    if (stage.at === "end") return stage.end;
    stage = next(journey, stage);
  }
  return journey.trail.stops("route", "host", "it goes round in circles: routes lead back to where it has been");
}

function next(journey: Journey, stage: Exclude<Stage, { at: "end" }>): Stage {
  switch (stage.at) {
    case "send":
      return send(journey, stage.place, stage.packet);
    case "cross":
      return cross(journey, stage.place, stage.link, stage.hop, stage.packet);
    case "receive":
      return receive(journey, stage.place, stage.link, stage.packet);
    case "deliver":
      return deliver(journey, stage.place, stage.packet);
  }
}
