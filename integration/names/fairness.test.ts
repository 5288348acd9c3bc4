import t from "tap";
import { askSteadily, flood, percentile } from "../lab/fairness.js";
import { DockerHost } from "../lab/index.js";

const [quickUpstream, slowUpstream] = ["10.77.0.2", "10.77.0.3"] as const;
const seconds = 6;
const perSecond = 100;
const count = seconds * perSecond;

t.test("a container that floods costs another nothing it asked for", async (t) => {
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  const [quick, slow] = [await outside.dns({ address: quickUpstream }), await outside.dns({ address: slowUpstream })];
  await quick.answer("kept.example", "A", "192.0.2.1", { ttl: 3600 });
  await slow.delay(2000);
  await host.network("front");
  const quiet = await host.container({ name: "quiet", networks: ["front"], options: [`--dns=${quickUpstream}`] });
  const loud = await host.container({ name: "loud", networks: ["front"], options: [`--dns=${slowUpstream}`] });
  const pontoon = await host.pontoon();
  await pontoon.answersIn(quiet, loud);

  const names = ["quiet", "kept.example", "loud", "new-*.example"];
  const expected = {
    "quiet 0": count / 4,
    "kept.example 0": count / 4,
    "loud 0": count / 4,
    "new-*.example 3": count / 4,
  };
  const ask = () => askSteadily(host, quiet, { perSecond, count, names });
  const alone = await ask();
  t.same(alone.answers, expected, "alone");
  const flooding = flood(host, loud, { perSecond: 50_000, seconds: seconds + 4, suffix: "loud.example" });
  const flooded = await ask();
  t.match(
    flooded,
    { sent: count, lost: 0, answers: expected },
    "no question is lost, and every answer is right, while another container floods",
  );
  const { sent, replies, rcodes } = await flooding;
  const p99 = ({ latencies }: typeof alone) =>
    names.map((name) => `${name} ${percentile(latencies[name]!, 99).toFixed(2)}`).join(", ");
  t.comment(`99th percentiles alone, ms: ${p99(alone)}`);
  t.comment(
    `under a flood of ${Math.round(sent / (seconds + 4))} names a second: ${p99(flooded)}; ` +
      `${replies} of ${sent} replied to: ${JSON.stringify(rcodes)}`,
  );
  const seen = (await slow.queries()).length;
  t.ok(seen > 0 && seen < sent / 4, `the flood's upstream is asked ${seen} times of ${sent}`);
  t.ok(sent > count * 10, "there was a flood");
  await pontoon.stop();
});
