import t from "tap";
import { deadEndpoints } from "./dead-endpoints.js";

const endpoints = [
  { id: "not joined", hostLink: "ptv0" },
  { id: "alive", hostLink: "ptv1", path: "/proc/self/ns/net" },
  { id: "beginning", hostLink: "lo", path: "/run/docker/netns/none" },
  { id: "gone", hostLink: "ptv2", path: "/run/docker/netns/none" },
];

const silent = () => Promise.resolve(undefined);

t.test("an endpoint that has joined is dead when dockerd does not list it, whatever is left of it", async (t) => {
  const listed = () => Promise.resolve(new Set(["beginning"]));
  t.same(await deadEndpoints(() => Promise.resolve(endpoints), listed), ["alive", "gone"]);
});

t.test("while dockerd does not answer, one whose link is gone as well", async (t) => {
  t.same(await deadEndpoints(() => Promise.resolve(endpoints), silent, 0), ["gone"]);
});

t.test("links that are about to go are waited for", async (t) => {
  const goes = { id: "goes", path: "/run/docker/netns/none" };
  const looks = [
    { ...goes, hostLink: "lo" },
    { ...goes, hostLink: "lo" },
    { ...goes, hostLink: "ptv3" },
  ];
  t.same(await deadEndpoints(() => Promise.resolve([looks.shift()!]), silent), ["goes"]);
});

t.test("dockerd is not asked where there is nobody to ask for", async (t) => {
  const alive = endpoints.slice(0, 1);
  t.same(
    await deadEndpoints(
      () => Promise.resolve(alive),
      () => Promise.reject(new Error("it is asked")),
    ),
    [],
  );
});
