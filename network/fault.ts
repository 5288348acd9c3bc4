import type { WorkEvents } from "./work.js";

/**
 * Has the process end before a step, as a crash would: tests go through every step with it.
 * @param given number of the step from 1 on, as the environment has it; undefined for never
 */
export function killAtStep(given: string | undefined): Pick<WorkEvents, "onStep"> {
  if (given === undefined) return {};
  let left = Number(given);
  return {
    onStep: () => {
      if (--left === 0) process.kill(process.pid, "SIGKILL");
    },
  };
}
