import { createRequire } from "node:module";
import t from "tap";
import { loadDockerode } from "./dockerode.js";

t.test("dockerode comes without gRPC and without a client of ssh", (t) => {
  const Dockerode = loadDockerode();
  t.ok("getEvents" in new Dockerode({ protocol: "http", host: "docker", port: 80 }));
  const { cache } = createRequire(import.meta.url);
  const loaded = (pattern: RegExp) => Object.keys(cache).filter((file) => pattern.test(file));
  t.ok(loaded(/\/node_modules\/dockerode\//).length > 1);
  t.same(loaded(/\/node_modules\/(protobufjs|cpu-features|asn1|long)\//), [], "nor what those load");
  t.ok(
    loaded(/\/node_modules\/(@grpc|ssh2)\//).every((file) => Object.keys(cache[file]!.exports as object).length === 0),
  );
  t.end();
});

t.test("dockerode is loaded, too, when it does without what is left out", (t) => {
  const leftOut = { dockerode: ["a-module-that-is-not-there"], "a-library-that-is-not-there": ["ssh2"] };
  t.equal(loadDockerode(leftOut), loadDockerode());
  t.end();
});
