// Docker's own docker-proxy, which serves where pontoon does not.
#pragma once

/**
 * Executes it with the same arguments; descriptors 3 and 4 and the signal mask are the caller's to prepare.
 * Returns only if there is none.
 */
void exec_docker_proxy(char **argv);
