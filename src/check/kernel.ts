import { budget } from "../names/takeovers/namespace-rules.js";
import { loadedTable, takeoverTable } from "../names/takeovers/takeover-table.js";
import { describeError } from "../../common/errors.js";
import { insideNewNamespace } from "../../linux/netns.js";
import { withNfnetlink } from "../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import { checkLayouts, kernelFeatures, type KernelFeature } from "../../linux/selftest.js";

const somePort = 53053;

/** Tries everything pontoon needs of this machine; what needs root is left out without. */
export function probeKernel(isRoot: boolean): KernelFeature[] {
  const features = kernelFeatures(isRoot);
  const layouts: KernelFeature = { name: "struct layouts", problem: failureOf(checkLayouts) };
  const nftablesWorks = features.every(({ name, problem }) => !name.includes("nftables") || problem === undefined);
  return [
    ...features,
    layouts,
    ...(isRoot && nftablesWorks ? [{ name: "takeover in a namespace", problem: takeoverProblem() }] : []),
  ];
}

/** Loads the very table of a takeover in a network namespace made for it. */
function takeoverProblem(): string | undefined {
  const why = failureOf(() =>
    insideNewNamespace(() => {
      withNfnetlink((nfnetlink) => {
        takeoverTable(somePort, false).commit(nfnetlink);
        if (loadedTable(new Ruleset(nfnetlink), budget())?.port !== somePort)
          throw new Error("the kernel shows another table than it was given");
      });
    }),
  );
  return why === undefined
    ? undefined
    : `the rules of a takeover cannot be loaded in a network namespace (${why}); ` +
        "the kernel needs network namespaces and nf_tables with sets that expire";
}

function failureOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}
