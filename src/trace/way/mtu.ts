import type { Journey } from "./journey.js";

/** The largest packet that passes: smaller links than the sender's are told of, since large packets may get lost there. */
export function tellMtu({ passed, trail }: Journey): void {
  const [first] = passed;
  if (!first) return;
  const narrow = passed.find(({ link }) => link.mtu < first.link.mtu);
  if (!narrow) return trail.passes("mtu", first.place, `packets of up to ${first.link.mtu} bytes all the way`);
  const sent = `${first.link.name} of ${first.place} sends up to ${first.link.mtu}`;
  const where = `${narrow.link.name} of ${narrow.place} takes ${narrow.link.mtu} bytes, ${sent}`;
  const what = narrow.isRouted
    ? "larger packets arrive only if the sender is told, by ICMP, which firewalls often keep back"
    : "larger packets are lost without a word";
  trail.warns("mtu", narrow.place, `${where}: ${what}`, { remedy: remedyFor(narrow.link.mtu) });
}

function remedyFor(mtu: number): string {
  return `make the network anew with -o com.docker.network.driver.mtu=${mtu}`;
}
