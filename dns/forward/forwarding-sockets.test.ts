import t from "tap";
import { openDescriptors, TestLoop } from "../../linux/testing/loop.js";
import { HostSockets, tcpSocketsAtMost, tcpWaitingAtMost } from "./forwarding-sockets.js";

t.test("each owner has so many TCP sockets at once, further questions wait, and then fail", (t) => {
  const { poller } = new TestLoop();
  const before = openDescriptors();
  const sockets = new HostSockets(poller, "ipv4");
  const [loud, quiet] = [sockets.shareOf({}), sockets.shareOf({})];
  const given: (number | undefined)[] = [];
  const take = (count: number) => {
    for (let taken = 0; taken < count; taken++) loud.takeTcp((fd) => given.push(fd));
  };
  take(tcpSocketsAtMost + tcpWaitingAtMost);
  t.equal(given.length, tcpSocketsAtMost);
  take(1);
  t.same(given.splice(tcpSocketsAtMost), [undefined], "no room to wait");
  quiet.takeTcp((fd) => {
    t.type(fd, "number", "another owner's are not touched");
    quiet.giveBackTcp(fd!);
  });
  loud.giveBackTcp(given[0]!);
  t.equal(given.length, tcpSocketsAtMost + 1, "the first that waits goes on");
  for (let next = 1; next < given.length; next++) loud.giveBackTcp(given[next]!);
  t.equal(given.length, tcpSocketsAtMost + tcpWaitingAtMost, "and all the others in turn");
  t.same(openDescriptors(), before);
  sockets.close();
  poller.close();
  t.end();
});

t.test("an owner finds its share again", (t) => {
  const { poller } = new TestLoop();
  const sockets = new HostSockets(poller, "ipv6");
  const owner = {};
  t.equal(sockets.shareOf(owner), sockets.shareOf(owner));
  t.not(sockets.shareOf(owner), sockets.shareOf({}));
  sockets.close();
  poller.close();
  t.end();
});
