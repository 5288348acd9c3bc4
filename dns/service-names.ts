// Service names of the IANA registry (RFC 6335) that containers commonly expose, for SRV questions such as `_http._tcp.web`.
// A table of our own, so that the answer does not depend on the host's /etc/services, which a minimal host lacks.
const ports: Record<string, readonly number[]> = {
  ftp: [21], ssh: [22], telnet: [23], smtp: [25], domain: [53], http: [80], kerberos: [88], pop3: [110], sunrpc: [111], ntp: [123], imap: [143],
  snmp: [161], bgp: [179], irc: [194], ldap: [389], https: [443], submissions: [465], submission: [587], syslog: [514], rtsp: [554], ipp: [631],
  ldaps: [636], "domain-s": [853], rsync: [873], imaps: [993], pop3s: [995], socks: [1080], openvpn: [1194], "ms-sql-s": [1433], radius: [1812],
  mqtt: [1883], nfs: [2049], docker: [2375], "docker-s": [2376], "etcd-client": [2379], "etcd-server": [2380], zookeeper: [2181],
  stun: [3478], mysql: [3306], svn: [3690], epmd: [4369], xmpp: [5222], "xmpp-client": [5222], "xmpp-server": [5269], sip: [5060], sips: [5061],
  postgresql: [5432], amqps: [5671], amqp: [5672], mdns: [5353], couchdb: [5984], x11: [6000], redis: [6379], ircd: [6667],
  "http-alt": [8080, 591, 8008], "https-alt": [8443], mqtts: [8883], "secure-mqtt": [8883], cassandra: [9042], kafka: [9092], git: [9418],
  memcache: [11211], mongodb: [27017],
};

/** Ports a service name stands for; none when it is not known. */
export function portsOfService(name: string): readonly number[] {
  return Object.hasOwn(ports, name) ? ports[name]! : [];
}
