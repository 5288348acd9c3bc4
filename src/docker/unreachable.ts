import { describeError, errorCode } from "../../common/errors.js";
import type { DockerAddress } from "./address.js";

/** Why a dockerd could not be spoken to, with the remedy where the cause is known; one line. */
export function reasonOf(error: unknown, address: DockerAddress): string {
  const said = describeError(error);
  const remedy = remedyOf(said, errorCode(error) ?? "", address);
  return remedy === undefined ? said : `${said}; ${remedy}`;
}

function remedyOf(said: string, code: string, address: DockerAddress): string | undefined {
  if (address.kind === "ssh") {
    if (code === "ENOENT") return "install ssh (Debian: openssh-client)";
    if (said.startsWith("ssh: "))
      return `\`ssh ${address.user === undefined ? "" : `${address.user}@`}${address.host} docker version\` must work as root without a password`;
    return undefined;
  }
  if (address.kind !== "tcp") return undefined;
  if (/HTTP request to an HTTPS server/.test(said))
    return "set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem";
  if (!address.tls) return undefined;
  const { folder } = address.tls;
  if (/wrong version number|packet length too long/i.test(said))
    return "dockerd speaks without TLS there; unset DOCKER_TLS_VERIFY";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "use a name or address that dockerd's certificate is for";
  if (code === "CERT_HAS_EXPIRED") return "renew dockerd's certificate";
  if (/SELF_SIGNED|UNABLE_TO|CERT_/.test(code))
    return `dockerd's certificate was not signed by ${folder}/ca.pem; put the certificate of the CA that signed it there`;
  if (/alert|certificate required|bad certificate/i.test(said))
    return `dockerd wants a client certificate signed by its CA, in ${folder}/cert.pem and key.pem`;
  return undefined;
}
