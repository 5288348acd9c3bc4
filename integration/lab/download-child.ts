// Downloads from a port of this host, slower than it could, and prints how that ended: `download-child.js 8080`. Node itself takes
// some resets for ends.
import { setTimeout as sleep } from "node:timers/promises";
import { connectSocket, tcpSocket } from "../../linux/socket.js";
import { AGAIN, receiveShared } from "../../linux/stream.js";

const ECONNRESET = 104;
const fd = tcpSocket();
connectSocket(fd, { ip: "127.0.0.1", port: Number(process.argv[2]) });
for (let received = AGAIN; ;) {
  received = receiveShared(fd);
  if (received === 0) console.log("ended");
  else if (received < 0 && received !== AGAIN) console.log(received === -ECONNRESET ? "reset" : `errno ${-received}`);
  if (received === 0 || (received < 0 && received !== AGAIN)) break;
  await sleep(10);
}
