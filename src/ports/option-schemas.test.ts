import t from "tap";
import { readToProxy } from "../../proxy/messages.js";
import {
  defaults,
  publicationOptions,
  publishOptionNames,
  type PublicationOptions,
  type PublishOptions,
} from "../../proxy/publication/options.js";
import { checkPublication } from "../../proxy/publication/publication.js";
import { chosenOptions, rememberedOptions } from "./option-schemas.js";

const publication = {
  id: "web",
  protocol: "tcp",
  listen: { ip: "0.0.0.0", port: 80 },
  target: undefined,
} as const;

t.test("what can be chosen is understood everywhere", (t) => {
  const chosen: Required<PublishOptions> = {
    proxyProtocol: "v2",
    acceptProxyProtocolFrom: ["10.0.0.1"],
    allowFrom: ["fd00::/8"],
    maxConnections: 5,
    drainMs: 0,
    connectTimeoutMs: 1500,
    udpIdleMs: 60_000,
    path: "auto",
  };
  const remembered: Required<PublicationOptions> = { ...chosen, proxyHeaderMs: 1, halfClosedIdleMs: 0.5, udpFlows: 1 };
  t.same(publishOptionNames, Object.keys(chosen));
  t.same(Object.keys(publicationOptions).sort(), Object.keys(remembered).sort());
  t.same(chosenOptions.parse(chosen), chosen);
  for (const options of [{}, chosen, remembered, defaults]) {
    t.same(rememberedOptions.parse(options), options);
    t.same(checkPublication({ ...publication, options }), { ...defaults, ...options });
    t.ok(readToProxy({ kind: "open", publication: { ...publication, options } }));
  }
  t.end();
});

t.test("what cannot be is not", (t) => {
  const wrong: Record<keyof PublicationOptions, unknown> = {
    proxyProtocol: "v3",
    acceptProxyProtocolFrom: "10.0.0.1",
    allowFrom: [1],
    maxConnections: -1,
    drainMs: -1,
    connectTimeoutMs: "1",
    udpIdleMs: null,
    proxyHeaderMs: NaN,
    halfClosedIdleMs: -0.5,
    udpFlows: Infinity,
    path: "tunnel",
  };
  for (const [name, value] of Object.entries(wrong)) {
    t.notOk(rememberedOptions.safeParse({ [name]: value }).success, name);
    t.notOk(readToProxy({ kind: "open", publication: { ...publication, options: { [name]: value } } }), name);
    t.notOk(chosenOptions.safeParse({ [name]: value }).success, name);
  }
  for (const asked of [{ proxyProtocol: "none" }, { udpFlows: 1 }, { drainMs: 0.5 }, { nosuch: 1 }])
    t.notOk(chosenOptions.safeParse(asked).success, JSON.stringify(asked));
  t.notOk(rememberedOptions.safeParse({ nosuch: 1 }).success);
  // @ts-expect-error a word that is not a version
  t.notOk(chosenOptions.safeParse({ proxyProtocol: "none" } satisfies PublishOptions).success);
  t.end();
});
