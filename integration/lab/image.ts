import { readFile } from "node:fs/promises";
import { execa } from "execa";

const block = 512;
const busybox = "/bin/busybox";

/** A tar archive to import as an image: the machine's static busybox and a link for each of its commands. */
export async function busyboxArchive(): Promise<Buffer> {
  const [program, list] = await Promise.all([readFile(busybox), execa(busybox, ["--list-full"])]);
  const links = list.stdout.split("\n").filter((path) => path !== "" && path !== "bin/busybox");
  const folders = ["bin", "sbin", "usr", "usr/bin", "usr/sbin", "etc", "root", "tmp"];
  return Buffer.concat([
    ...folders.map((path) => header({ path: `${path}/`, type: "5", size: 0 })),
    ...file("bin/busybox", program),
    ...file("etc/passwd", Buffer.from("root:x:0:0:root:/root:/bin/sh\n")),
    ...file("etc/group", Buffer.from("root:x:0:\n")),
    ...links.map((path) => header({ path, type: "2", size: 0, target: busybox })),
    Buffer.alloc(2 * block),
  ]);
}

function file(path: string, content: Buffer): Buffer[] {
  const padding = Buffer.alloc((block - (content.length % block)) % block);
  return [header({ path, type: "0", size: content.length }), content, padding];
}

interface Entry {
  path: string;
  /** As ustar has it: 0 a file, 2 a symbolic link, 5 a folder. */
  type: "0" | "2" | "5";
  size: number;
  target?: string;
}

/** One ustar header; its checksum counts the checksum field as spaces. */
function header({ path, type, size, target = "" }: Entry): Buffer {
  const bytes = Buffer.alloc(block);
  bytes.write(path, 0);
  bytes.write("0000755\0", 100);
  bytes.write("0000000\0", 108);
  bytes.write("0000000\0", 116);
  bytes.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  bytes.write("00000000000\0", 136);
  bytes.write(" ".repeat(8), 148);
  bytes.write(type, 156);
  bytes.write(target, 157);
  bytes.write("ustar\x0000", 257);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return bytes;
}
